package systemtest

import (
	"encoding/json"
	"flag"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/store"
)

var nodesFlag = flag.Int("nodes", 100, "size of the machine with faults; a multiple of 100")

// class is a share of the nodes with the same fault, and how they end.
type class struct {
	name    string
	percent int
	fault   *fleet.Fault
	status  bos.Status
	phase   string   // of the node; empty = any
	causes  []string // one of which the error holds; none = no error
}

// classes are the nodes of a machine on a bad day.
var classes = []class{
	{"dead controller", 10, &fleet.Fault{Kind: "bmc_unreachable"}, bos.StatusFailed, "", []string{"management controller", "pcs soft-off: ", "pcs force-off: "}},
	{"refuses to shut down", 5, &fleet.Fault{Kind: "soft_off_ignored"}, bos.StatusStable, "up", nil},
	{"never boots", 3, &fleet.Fault{Kind: "kernel_panic"}, bos.StatusFailed, "", []string{"no boot report within"}},
	{"cannot be configured", 2, &fleet.Fault{Kind: "cfs_fail", Value: "0"}, bos.StatusFailed, "up", []string{"cfs configuration failed"}},
	{"healthy", 80, nil, bos.StatusStable, "up", nil},
}

// TestFaults reboots a machine of which a fifth is broken while two services go away for half a minute each: the
// session completes, and every node ends as it should with its cause. The log compares the times of the healthy nodes
// with those of a machine without faults.
func TestFaults(t *testing.T) {
	if sparse() {
		t.Skip("takes minutes")
	}
	var fine []time.Duration
	for _, day := range []struct {
		name            string
		broken, outages bool
	}{{"without faults", false, false}, {"with broken nodes", true, false}, {"with broken nodes and outages", true, true}} {
		var took []time.Duration
		synctest.Test(t, func(t *testing.T) { took = rebootWithFaults(t, day.broken, day.outages) })
		if t.Failed() {
			t.Fatal(day.name)
		}
		if fine == nil {
			fine = took
		}
		for _, p := range []int{50, 99} {
			a, b := fine[(len(fine)-1)*p/100], took[(len(took)-1)*p/100]
			t.Logf("healthy nodes %s, from POST to stable, p%d: %s (%+.1f %%)", day.name, p, b.Round(time.Second), 100*(b.Seconds()/a.Seconds()-1))
		}
	}
}

// rebootWithFaults reboots a machine and returns how long the healthy nodes took, in ascending order.
func rebootWithFaults(t *testing.T, broken, outages bool) []time.Duration {
	var mu sync.Mutex
	stable := map[bos.ComponentID]time.Time{}
	w := newWorld(t, worldConfig{nodes: *nodesFlag, speed: 1, seed: 5, wrote: func(m store.Mutation) {
		c, ok := componentOf(m)
		mu.Lock()
		defer mu.Unlock()
		if ok && c.SessionName() == "s" && c.ComputeStatus() == bos.StatusStable && stable[c.ID].IsZero() {
			stable[c.ID] = time.Now()
		}
	}})
	p := w.start("operators", watcher{})
	defer p.reap()
	w.session("booted", bos.OperationBoot, "")
	if err := w.await("booted", time.Hour); err != nil {
		t.Fatal(err)
	}
	of := map[bos.ComponentID]class{}
	for i, id := range w.ids {
		for rank, k := i%100, 0; ; k++ {
			if rank -= classes[k].percent; rank < 0 {
				of[id] = classes[k]
				break
			}
		}
	}
	if broken {
		for _, cl := range classes {
			if cl.fault == nil {
				continue
			}
			f := *cl.fault
			for _, id := range w.ids {
				if of[id].name == cl.name {
					f.Nodes = append(f.Nodes, string(id))
				}
			}
			w.inject(f)
		}
		time.Sleep(time.Minute) // PCS notices the controllers
	}
	if outages {
		w.inject(fleet.Fault{Kind: "outage", Service: "pcs", After: time.Minute, For: 30 * time.Second})
		w.inject(fleet.Fault{Kind: "outage", Service: "cfs", After: 7 * time.Minute, For: 30 * time.Second})
	}
	begin := time.Now()
	w.session("s", bos.OperationReboot, "")
	if err := w.await("s", 6*time.Hour); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for _, id := range w.ids {
		cl := of[id]
		if cl.fault == nil {
			took = append(took, stable[id].Sub(begin))
		}
		if !broken {
			cl = classes[len(classes)-1]
		}
		c, n := w.component(id), w.node(id)
		right := c.ComputeStatus() == cl.status && !c.IsEnabled() && (cl.phase == "" || n.Phase == cl.phase)
		if len(cl.causes) == 0 {
			right = right && c.ErrorText() == ""
		} else {
			right = right && slices.ContainsFunc(cl.causes, func(cause string) bool { return strings.Contains(c.ErrorText(), cause) })
		}
		if !right {
			t.Errorf("%s: %s", cl.name, w.describe(id))
		}
	}
	slices.Sort(took)
	return took
}

// componentOf returns the component that was written; ok is false for any other write.
func componentOf(m store.Mutation) (c bos.Component, ok bool) {
	if m.Bucket != store.BucketComponents || m.New == nil || json.Unmarshal(m.New, &c) != nil {
		return c, false
	}
	c.ID = bos.ComponentID(m.Key)
	return c, true
}
