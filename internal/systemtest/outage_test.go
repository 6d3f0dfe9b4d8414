package systemtest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/store"
)

// outageTime is how long a service is away.
const outageTime = time.Minute

// TestOutage takes each service, and the database, away for a minute, at several moments of a reboot and in several
// ways. The session resumes by itself; meanwhile the components say what they wait for, use no attempts, and others that
// do not need the service get on.
func TestOutage(t *testing.T) {
	t.Parallel()
	modes := []string{"503", "refuse", "blackhole"}
	moments := []time.Duration{0, 1500 * time.Millisecond, 4 * time.Second, 12 * time.Second, 20 * time.Second}
	if sparse() {
		modes, moments = modes[:1], moments[1:3]
	}
	for _, service := range []string{"hsm", "pcs", "cfs", "bss", "ims", "s3", "store"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			said := map[string]int{}
			for _, mode := range modes {
				for _, after := range moments {
					if service == "store" && mode != "503" {
						continue
					}
					o := outage{service: service, mode: mode, after: after, said: said}
					synctest.Test(t, func(t *testing.T) { o.run(t) })
				}
			}
			for text, times := range said {
				t.Logf("%d × %s", times, text)
			}
		})
	}
}

// outage is one case: the service goes away a while after the session was created.
type outage struct {
	service, mode string
	after         time.Duration
	said          map[string]int // what components said during outages

	mu       sync.Mutex
	attempts map[bos.ComponentID]int // highest counter seen
}

// waitsFor are the services that the next step of a component cannot do without, by status.
var waitsFor = map[bos.Status][]string{
	bos.StatusPowerOffPending: {"hsm", "pcs"},
	bos.StatusPowerOnPending:  {"hsm", "pcs", "cfs", "bss"},
	bos.StatusConfiguring:     {"cfs", "pcs"},
}

func (o *outage) run(t *testing.T) {
	name := fmt.Sprintf("%s for %s", o.mode, o.after)
	o.attempts = map[bos.ComponentID]int{}
	w := newWorld(t, worldConfig{nodes: 6, speed: 20, seed: 4, wrote: o.wrote})
	p := w.start("operators", watcher{})
	defer p.reap()
	w.session("booted", bos.OperationBoot, "")
	if err := w.await("booted", time.Hour); err != nil {
		t.Fatal(err)
	}
	members, others := w.ids[:4], w.ids[4:]
	before := w.node(members[0]).Commands
	w.session("s", bos.OperationReboot, join(members))
	time.Sleep(o.after)
	begin := time.Now()
	if o.service == "store" {
		w.setStore(true)
		time.AfterFunc(outageTime, func() { w.setStore(false) })
	} else {
		w.session("others", bos.OperationShutdown, join(others))
		w.inject(fleet.Fault{Kind: "outage", Service: o.service, Value: o.mode, For: outageTime})
	}
	if slices.Contains([]string{"cfs", "bss", "ims", "s3"}, o.service) {
		limit := 40 * time.Second
		if o.mode == "blackhole" { // each reading lasts until the service's read time-out
			limit = 2 * time.Minute
		}
		if err := w.await("others", limit); err != nil {
			t.Errorf("%s: a shutdown of others, which does not need %s: %v", name, o.service, err)
		}
	}
	time.Sleep(time.Until(begin.Add(outageTime - time.Second)))
	for _, id := range members {
		c := w.component(id)
		if slices.Contains(waitsFor[c.ComputeStatus()], o.service) && c.IsEnabled() {
			o.said[fmt.Sprintf("%s: %s", c.ComputeStatus(), c.ErrorText())]++
			if c.ErrorText() == "" && o.mode != "blackhole" { // that takes up to two read time-outs and a polling period
				t.Errorf("%s: a component says nothing of the outage: %s", name, w.describe(id))
			}
		}
	}
	limit := 3 * time.Minute
	unsure := o.service == "pcs" && o.mode != "503" // a command whose answer is lost may have been executed, and counts
	if unsure {
		limit = time.Hour
	}
	if err := w.await("s", limit); err != nil {
		t.Errorf("%s: %v\n%s", name, err, w.describe(members[0]))
	}
	for _, id := range members {
		c, n := w.component(id), w.node(id)
		if c.ComputeStatus() != bos.StatusStable || c.IsEnabled() || n.Phase != "up" {
			t.Errorf("%s: %s", name, w.describe(id))
		}
		if unsure {
			continue
		}
		if n.Commands["on"] != before["on"]+1 || n.Commands["forceoff"] != before["forceoff"] || n.Commands["gracefulshutdown"] > before["gracefulshutdown"]+2 {
			t.Errorf("%s: commands %v, before %v: %s", name, n.Commands, before, w.describe(id))
		}
		if o.attempts[id] > 1 {
			t.Errorf("%s: the outage used attempts: %d", name, o.attempts[id])
		}
	}
}

// wrote follows the counters of attempts.
func (o *outage) wrote(m store.Mutation) {
	c, ok := componentOf(m)
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := attemptsOf(&c)
	o.attempts[c.ID] = max(o.attempts[c.ID], n[0], n[1], n[2])
}
