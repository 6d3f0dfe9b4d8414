package builtin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/cfs/cfstest"
	"github.com/bootorch/bosgo/clients/bss/bsstest"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/ims/imstest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

// chain is all ten operators in their loops over a machine that takes no time, in a synctest bubble.
type chain struct {
	t   testing.TB
	bos *operatortest.BOS
	pcs *pcstest.Fake
	cfs *cfstest.Fake
	bss *bsstest.Fake
	ids []bos.ComponentID

	images *manifesttest.Fake
	ctx    context.Context // ends with the test
	wg     sync.WaitGroup

	mu       sync.Mutex
	silent   bool                             // nodes do not report
	down     bool                             // PCS takes no commands
	statuses map[bos.ComponentID][]bos.Status // that each component went through
}

// newChain makes the machine, starts the operators and puts template "t" for its nodes. All ends with the test.
func newChain(t testing.TB, ids ...bos.ComponentID) *chain {
	c := newMachine(t, ids...)
	c.run(c.deps(), "test")
	time.Sleep(2 * time.Second)
	c.template()
	return c
}

// newMachine makes BOS and the machine, without operators.
func newMachine(t testing.TB, ids ...bos.ComponentID) *chain {
	images := new(manifesttest.Fake)
	images.PutImage(image, "")
	c := &chain{
		t: t, bos: operatortest.NewBOS(t, func(cfg *bosserver.Config) { cfg.Manifests = images }), pcs: pcstest.New(ids...),
		cfs: cfstest.New(ids...), bss: new(bsstest.Fake), images: images, ids: ids, statuses: map[bos.ComponentID][]bos.Status{},
	}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		c.wg.Wait()
	})
	c.pcs.OnCall = func(call pcstest.Call) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.down && call.Method == "Transition" {
			return unavailable
		}
		return nil
	}
	c.pcs.OnAnswer = func(call pcstest.Call) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if call.Method == "Transition" && call.Operation == pcs.On && !c.silent {
			for _, id := range call.IDs {
				c.wg.Go(func() { c.boot(c.ctx, id) })
			}
		}
		return nil
	}
	c.wg.Go(func() { c.follow(c.ctx) })
	return c
}

// deps is what the operators of one process work with.
func (c *chain) deps() Deps {
	return Deps{
		API: c.bos, Inventory: hsmtest.NewNodes(c.ids...), Power: c.pcs, Config: c.cfs, Boot: c.bss, Manifests: c.images,
		Images: imstest.New(ims.Image{ID: image}), Tenants: new(tapmstest.Fake),
	}
}

// run starts the ten operators of one process and returns what ends it.
func (c *chain) run(d Deps, holder string) context.CancelFunc {
	ctx, cancel := context.WithCancel(c.ctx)
	for _, op := range All(d) {
		c.wg.Go(func() { _ = (&operator.Loop{Operator: op, API: d.API.(operator.API), Holder: holder}).Run(ctx) })
	}
	return cancel
}

// template puts template "t", which boots all nodes.
func (c *chain) template() {
	c.t.Helper()
	_, err := c.bos.PutTemplate(c.t.Context(), bos.TenantKey{Name: "t"}, bos.SessionTemplate{
		CFS: &bos.CFSParameters{Configuration: new("cfg1")},
		BootSets: map[string]bos.BootSet{"compute": {
			Type: "s3", Path: "s3://boot-images/" + image + "/manifest.json", NodeRolesGroups: []string{"Compute"},
			RootfsProvider: new("sbps"), RootfsProviderPassthrough: new("p"),
		}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// configureTime is what CFS takes, so that the components are seen configuring.
const configureTime = 20 * time.Millisecond

// boot is the node after its power-on: it reports its token until that is accepted, and CFS configures it.
func (c *chain) boot(ctx context.Context, id bos.ComponentID) {
	_, token, ok := c.bss.Parameters(id)
	if !ok {
		return
	}
	for ctx.Err() == nil {
		_, err := c.bos.PatchComponent(ctx, "", id, bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(token)}})
		if err == nil {
			break
		}
		time.Sleep(2 * time.Second)
	}
	time.Sleep(configureTime)
	c.cfs.Finish(cfs.StatusConfigured, id)
}

// follow notes the statuses that the components go through.
func (c *chain) follow(ctx context.Context) {
	for ch, err := range c.bos.Changes(ctx, bos.ChangeFilter{Kinds: []bos.ChangeKind{bos.ChangeComponent}}) {
		if err != nil {
			return
		}
		c.mu.Lock()
		seen := c.statuses[bos.ComponentID(ch.ID)]
		if len(seen) == 0 || seen[len(seen)-1] != ch.Status {
			c.statuses[bos.ComponentID(ch.ID)] = append(seen, ch.Status)
		}
		c.mu.Unlock()
	}
}

func (c *chain) set(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

// forget empties the record of statuses.
func (c *chain) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.statuses)
}

// went returns the statuses that a component went through.
func (c *chain) went(id bos.ComponentID) []bos.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.statuses[id])
}

// start posts a session.
func (c *chain) start(name string, op bos.Operation) {
	c.t.Helper()
	if _, err := c.bos.CreateSession(c.t.Context(), "", bos.SessionCreate{Name: name, Operation: op, TemplateName: "t"}); err != nil {
		c.t.Fatal(err)
	}
}

// finish waits until the session is complete, and returns how long that took.
func (c *chain) finish(name string, limit time.Duration) time.Duration {
	c.t.Helper()
	begin := time.Now()
	for time.Since(begin) < limit {
		s, err := c.bos.GetSession(c.t.Context(), bos.TenantKey{Name: name})
		if err != nil {
			c.t.Fatal(err)
		}
		if s.State() == bos.SessionComplete {
			if s.Status.Error != "" {
				c.t.Errorf("session %s failed: %s", name, s.Status.Error)
			}
			return time.Since(begin)
		}
		pause := 5 * time.Millisecond
		if time.Since(begin) > 10*time.Second {
			pause = time.Second
		}
		time.Sleep(pause)
	}
	c.t.Fatalf("session %s is not complete after %s; x1 went through %v, error %q", name, limit, c.went(x1), new(c.bos.Get(x1)).ErrorText())
	return 0
}

// transitions returns the operations that PCS accepted.
func (c *chain) transitions() []pcs.Operation {
	var ops []pcs.Operation
	for _, tr := range c.pcs.Transitions() {
		ops = append(ops, tr.Operation)
	}
	return ops
}

// wantNobodyEnables checks that no operator but session-setup has enabled a component.
func (c *chain) wantNobodyEnables() {
	c.t.Helper()
	for _, w := range c.bos.Writes() {
		if bos.Value(w.Patch.Enabled) && w.Writer != "session-setup" {
			c.t.Errorf("%s enabled a component: %s", w.Writer, operatortest.PatchJSON(w.GuardedPatch))
		}
	}
}

func (c *chain) wantWent(want ...bos.Status) {
	c.t.Helper()
	synctest.Wait()
	if got := c.went(x1); !slices.Equal(got, want) {
		c.t.Errorf("x1 went through %v, want %v", got, want)
	}
}

func TestOPChain(t *testing.T) {
	cases := []struct {
		name string
		run  func(t *testing.T, c *chain)
	}{
		{"OP-135", func(t *testing.T, c *chain) {
			synctest.Wait()
			c.forget()
			c.start("s1", bos.OperationBoot)
			c.finish("s1", time.Minute)
			c.wantWent("on_hold", "power_on_pending", "power_on_called", "configuring", "stable")
			comp := c.bos.Get(x1)
			if on, graceful, forceful := comp.Attempts(); on+graceful+forceful != 0 || comp.SessionName() != "s1" || comp.IsEnabled() || comp.ErrorText() != "" {
				t.Errorf("at the end: attempts %d, session %q, enabled %t, error %q", on+graceful+forceful, comp.SessionName(), comp.IsEnabled(), comp.ErrorText())
			}
			if ops := c.transitions(); !slices.Equal(ops, []pcs.Operation{pcs.On}) {
				t.Errorf("power transitions %v, want one On", ops)
			}
		}},
		{"OP-136", func(t *testing.T, c *chain) {
			c.start("s1", bos.OperationBoot)
			c.finish("s1", time.Minute)
			synctest.Wait()
			c.forget()
			c.start("s2", bos.OperationReboot)
			took := c.finish("s2", time.Minute)
			c.wantWent("on_hold", "power_off_pending", "power_off_gracefully_called", "power_on_pending", "power_on_called", "configuring", "stable")
			if took > time.Second {
				t.Errorf("the reboot of a machine that takes no time took %s, want at most 1 s", took)
			}
			t.Logf("reboot: %s", took)
		}},
		{"OP-137", func(t *testing.T, c *chain) {
			c.bos.Put(operatortest.Component(x1, artifacts, off))
			c.pcs.SetState(pcs.StateOn, x1)
			_, err := c.bos.PatchComponent(t.Context(), "", x1, bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken("t"))}})
			if !errors.Is(err, bos.ErrConflict) {
				t.Errorf("report while power_off_pending: %v, want a conflict", err)
			}
			if comp := c.bos.Get(x1); !comp.ActualArtifacts().Empty() {
				t.Error("the actual state was changed")
			}
		}},
		{"OP-138", func(t *testing.T, c *chain) {
			c.set(func() { c.silent = true })
			c.start("s1", bos.OperationBoot)
			c.finish("s1", 2*time.Hour)
			want := []pcs.Operation{pcs.On, pcs.SoftOff, pcs.On, pcs.SoftOff, pcs.On, pcs.SoftOff}
			if ops := c.transitions(); !slices.Equal(ops, want) {
				t.Errorf("power transitions %v, want %v", ops, want)
			}
			comp := c.bos.Get(x1)
			if comp.ComputeStatus() != bos.StatusFailed || comp.IsEnabled() || c.pcs.State(x1) != pcs.StateOff {
				t.Errorf("status %s, enabled %t, power %s; want failed while off", comp.ComputeStatus(), comp.IsEnabled(), c.pcs.State(x1))
			}
			if want := "powered on, but no boot report within 20m0s (attempt 3 of 3)"; comp.ErrorText() != want {
				t.Errorf("error %q, want %q", comp.ErrorText(), want)
			}
		}},
		{"OP-139", func(t *testing.T, c *chain) {
			c.set(func() { c.silent = true })
			c.start("s1", bos.OperationBoot)
			time.Sleep(5 * time.Second)
			if _, err := c.bos.PatchComponent(t.Context(), "", x1, bos.ComponentPatch{Enabled: new(false)}); err != nil {
				t.Fatal(err)
			}
			c.finish("s1", time.Second)
			time.Sleep(2 * time.Hour)
			if s := new(c.bos.Get(x1)).ComputeStatus(); s != bos.StatusPowerOnCalled {
				t.Errorf("status %s, want power_on_called for ever", s)
			}
			if ops := c.transitions(); !slices.Equal(ops, []pcs.Operation{pcs.On}) {
				t.Errorf("power transitions %v: a disabled component was touched", ops)
			}
		}},
		{"OP-140", func(t *testing.T, c *chain) {
			c.set(func() { c.silent = true })
			c.start("s1", bos.OperationBoot)
			time.Sleep(5 * time.Second)
			c.set(func() { c.silent = false })
			c.start("s2", bos.OperationReboot)
			c.finish("s1", time.Second)
			if st, err := c.bos.SessionStatus(t.Context(), bos.TenantKey{Name: "s1"}); err != nil || st.ManagedComponentsCount != 0 {
				t.Errorf("s1 manages %d components (%v), want 0", st.ManagedComponentsCount, err)
			}
			c.finish("s2", 2*time.Hour)
			if comp := c.bos.Get(x1); comp.SessionName() != "s2" || comp.ComputeStatus() != bos.StatusStable {
				t.Errorf("session %s, status %s, want the second session's success", comp.SessionName(), comp.ComputeStatus())
			}
		}},
		{"a node that ignores a graceful power-off is forced off in time", func(t *testing.T, c *chain) {
			c.start("s1", bos.OperationBoot)
			c.finish("s1", time.Minute)
			c.pcs.Ignore(true, x1)
			c.start("s2", bos.OperationShutdown)
			time.Sleep(299 * time.Second)
			synctest.Wait()
			if ops := c.transitions(); ops[len(ops)-1] != pcs.SoftOff {
				t.Errorf("power transitions after 299 s: %v, want no Force-Off yet", ops)
			}
			c.pcs.Ignore(false, x1)
			c.finish("s2", 3*time.Second)
			if ops := c.transitions(); !slices.Equal(ops, []pcs.Operation{pcs.On, pcs.SoftOff, pcs.ForceOff}) {
				t.Errorf("power transitions %v, want one Force-Off at the end", ops)
			}
		}},
		{"an outage of PCS uses no attempt", func(t *testing.T, c *chain) {
			c.start("s1", bos.OperationBoot)
			c.finish("s1", time.Minute)
			c.set(func() { c.down = true })
			c.start("s2", bos.OperationReboot)
			time.Sleep(10 * time.Minute)
			comp := c.bos.Get(x1)
			if comp.ComputeStatus() != bos.StatusPowerOffPending || !strings.Contains(comp.ErrorText(), "service is away") {
				t.Errorf("status %s, error %q during the outage", comp.ComputeStatus(), comp.ErrorText())
			}
			c.set(func() { c.down = false })
			if took := c.finish("s2", time.Hour); took > 20*time.Second {
				t.Errorf("the session took %s after the outage, want no more than a polling period", took)
			}
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, x1)
				tc.run(t, c)
				c.wantNobodyEnables()
			})
		})
	}
	t.Run("OP-141", func(t *testing.T) {
		r := newRig(t)
		r.put(x1, off, action(bos.ActionPoweringOffGraceful, 100), actual(artifacts), errorText("keep"), func(c *bos.Component) {
			c.ActualState.LastUpdated = new(bos.Stamp(rigNow.Add(-5 * time.Hour)))
		})
		if err := r.pass(r.operator("actual-state-cleanup")); err != nil {
			t.Fatal(err)
		}
		c := r.bos.Get(x1)
		if c.Action() != bos.ActionPoweringOffGraceful || c.ActionTime() != bos.Stamp(rigNow.Add(-100*time.Second)) || c.ErrorText() != "keep" {
			t.Errorf("last action %s at %s, error %q: the escalation clock was touched", c.Action(), c.ActionTime(), c.ErrorText())
		}
		if !c.ActualArtifacts().Empty() {
			t.Error("the actual state is still there")
		}
	})
}

// manyIDs returns n xnames.
func manyIDs(n int) []bos.ComponentID {
	ids := make([]bos.ComponentID, n)
	for i := range ids {
		ids[i] = bos.ComponentID(fmt.Sprintf("x%dc%ds%db%dn%d", 1000+i/512, i/64%8, i/8%8, i/2%4, i%2))
	}
	return ids
}

// A reboot of many nodes that take no time: every node in its order, no report lost, one command each.
func TestChainMany(t *testing.T) {
	ids := manyIDs(200)
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, ids...)
		c.start("s1", bos.OperationBoot)
		c.finish("s1", time.Minute)
		c.start("s2", bos.OperationReboot)
		took := c.finish("s2", time.Minute)
		st, err := c.bos.SessionStatus(t.Context(), bos.TenantKey{Name: "s2"})
		if err != nil || st.PercentSuccessful != 100 {
			t.Errorf("%.2f %% successful, want all: %v", st.PercentSuccessful, err)
		}
		commands := map[bos.ComponentID]int{}
		for _, tr := range c.pcs.Transitions() {
			for id := range tr.Tasks {
				commands[id]++
			}
		}
		for _, id := range ids {
			if commands[id] != 3 {
				t.Errorf("%s got %d commands, want On, Soft-Off and On", id, commands[id])
			}
		}
		t.Logf("reboot of %d nodes: %s", len(ids), took)
	})
}

// BenchmarkReboot measures our own time in a reboot, from the session to its completion: the machine takes none.
func BenchmarkReboot(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newChain(b, manyIDs(n)...)
			c.start("boot", bos.OperationBoot)
			c.finish("boot", time.Hour)
			i := 0
			for b.Loop() {
				i++
				name := fmt.Sprintf("reboot-%d", i)
				c.start(name, bos.OperationReboot)
				c.finish(name, time.Hour)
			}
		})
	}
}
