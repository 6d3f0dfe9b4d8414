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
var faultsSeed = flag.Uint64("faults-seed", 5, "seed of the machine with faults")

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

// TestFaults reboots a machine of which a fifth is broken, once more while two services go away for half a minute each: the
// session completes, every node ends as it should with its cause, and the healthy nodes take at most a tenth longer than on
// a machine without faults. CFS takes the same time for all, or chance and company would decide.
func TestFaults(t *testing.T) {
	t.Parallel()
	var fine *healthy
	for _, day := range []struct {
		name            string
		broken, outages bool
		wait            time.Duration // for BOS and PCS, beyond that of a day without faults
	}{
		{"without faults", false, false, 0},
		{"with broken nodes", true, false, 5 * time.Second},
		{"with broken nodes and outages", true, true, 2*shortOutage + 10*time.Second},
	} {
		if sparse() && day.broken != day.outages {
			continue
		}
		var got *healthy
		synctest.Test(t, func(t *testing.T) { got = rebootWithFaults(t, day.broken, day.outages) })
		if t.Failed() {
			t.Fatalf("not compared: %s", day.name)
		}
		if fine == nil {
			fine = got
		}
		for _, p := range []int{50, 90, 99} {
			took, usual := at(got.took, p), at(fine.took, p)
			waited, usually := at(got.waited, p), at(fine.waited, p)
			t.Logf("healthy nodes %s, p%d: %s from POST to stable (%+.1f %%); waited for BOS and PCS for %s (%+.1f s)",
				day.name, p, took.Round(time.Second), 100*(took.Seconds()/usual.Seconds()-1), waited.Round(100*time.Millisecond), (waited - usually).Seconds())
			if took > usual+usual/10 {
				t.Errorf("healthy nodes %s, p%d: %s from POST to stable, without faults %s", day.name, p, took, usual)
			}
			if waited > usually+day.wait {
				t.Errorf("healthy nodes %s, p%d: waited for BOS and PCS for %s, without faults %s", day.name, p, waited, usually)
			}
		}
	}
}

// shortOutage is how long each of two services is away.
const shortOutage = 30 * time.Second

// healthy is how long the healthy nodes took, in virtual time, in ascending order: in all, and less what they themselves
// and CFS spent.
type healthy struct{ took, waited []time.Duration }

// at is the time within which so many percent are done.
func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)-1)*percent/100]
}

// rebootWithFaults reboots a machine.
func rebootWithFaults(t *testing.T, broken, outages bool) *healthy {
	var mu sync.Mutex
	stable := map[bos.ComponentID]time.Time{}
	w := newWorld(t, worldConfig{nodes: *nodesFlag, speed: 1, seed: *faultsSeed, configure: 6 * time.Minute, wrote: func(m store.Mutation) {
		c, ok := componentOf(m)
		mu.Lock()
		defer mu.Unlock()
		if ok && c.SessionName() == "s" && c.ComputeStatus() == bos.StatusStable && stable[c.ID].IsZero() {
			stable[c.ID] = time.Now()
		}
	}})
	p := w.startDirect("operators", watcher{})
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
		w.inject(fleet.Fault{Kind: "outage", Service: "pcs", After: time.Minute, For: shortOutage})
		w.inject(fleet.Fault{Kind: "outage", Service: "cfs", After: 7 * time.Minute, For: shortOutage})
	}
	begin := time.Now()
	w.session("s", bos.OperationReboot, "")
	if err := w.await("s", 6*time.Hour); err != nil {
		t.Fatal(err)
	}
	var h healthy
	for _, id := range w.ids {
		cl := of[id]
		if cl.fault == nil {
			spent, _ := w.machine.Spent(string(id), begin, stable[id])
			took := stable[id].Sub(begin)
			h.took, h.waited = append(h.took, took), append(h.waited, took-spent.Node-spent.CFS)
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
	slices.Sort(h.took)
	slices.Sort(h.waited)
	return &h
}

// componentOf returns the component that was written; ok is false for any other write.
func componentOf(m store.Mutation) (c bos.Component, ok bool) {
	if m.Bucket != store.BucketComponents || m.New == nil || json.Unmarshal(m.New, &c) != nil {
		return c, false
	}
	c.ID = bos.ComponentID(m.Key)
	return c, true
}
