package builtin

import (
	"fmt"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/operator"
)

// benchNodes is the size of the machine in the benchmarks.
const benchNodes = 10_000

// benchWorld returns a machine of benchNodes compute nodes, n00000 and so on, whose components are as record makes them.
func benchWorld(b *testing.B, record func(w *world, id bos.ComponentID) bos.Component) *world {
	b.Helper()
	w := newWorld(b)
	for i := range benchNodes {
		id := bos.ComponentID(fmt.Sprintf("n%05d", i))
		w.hsm.Set(hsm.Node{ID: id, Enabled: true, Role: "Bench", Arch: "X86"})
		w.cfs.Set(cfs.Component{ID: id})
		w.component(record(w, id))
	}
	return w
}

func discovered(_ *world, id bos.ComponentID) bos.Component { return newlyDiscovered(id) }

// BenchmarkSessionSetup sets one session up, for all nodes of the machine: our own time, without that of HSM and S3.
func BenchmarkSessionSetup(b *testing.B) {
	w := benchWorld(b, discovered)
	w.template("t", func(_ *bos.SessionTemplate, set *bos.BootSet) {
		set.NodeList, set.NodeRolesGroups = nil, []string{"Bench"}
	})
	op := newSessionSetup(w.deps())
	for i := 0; b.Loop(); i++ {
		w.session(bos.Session{Name: fmt.Sprintf("s%d", i), Operation: bos.OperationReboot})
		w.pass(op)
	}
	b.ReportMetric(float64(len(w.api.calls))/float64(b.N), "calls/op")
}

// BenchmarkPass makes one full pass of each operator over the machine while there is nothing to do for it.
func BenchmarkPass(b *testing.B) {
	for _, row := range []struct {
		name   string
		record func(w *world, id bos.ComponentID) bos.Component
		make   func(Deps) operator.Operator
	}{
		{"discovery", discovered, newDiscovery},
		{"configuration", discovered, newConfiguration},
		{"configuration-matching", func(_ *world, id bos.ComponentID) bos.Component { return configuring(id, "s", "", "") }, newConfiguration},
		{"actual-state-cleanup", func(w *world, id bos.ComponentID) bos.Component { return w.reported(id, 0) }, newActualStateCleanup},
		{"session-completion", func(_ *world, id bos.ComponentID) bos.Component { return owner(id, "s", true) }, newSessionCompletion},
		{"session-setup", discovered, newSessionSetup},
	} {
		b.Run(row.name, func(b *testing.B) {
			w := benchWorld(b, row.record)
			w.session(running("", "s", ""))
			op := row.make(w.deps())
			for b.Loop() {
				w.pass(op)
			}
			b.ReportMetric(float64(len(w.api.calls))/float64(b.N), "calls/op")
			if n := len(w.api.writes()); n > 0 {
				b.Errorf("%d writes", n)
			}
		})
	}
}
