package builtin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/pcs"
)

// process is a process of operators that dies at one of its calls that change something: before the call is made, or
// after it was made and before its answer is seen.
type process struct {
	mu    sync.Mutex
	calls []string
	dieAt int // number of the call, from 1; 0 = never
	after bool
	dead  bool
	kill  context.CancelFunc
}

var errDead = errors.New("the process is dead")

// change makes one call, if the process lives.
func (p *process) change(what string, call func() error) error {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return errDead
	}
	p.calls = append(p.calls, what)
	dies := len(p.calls) == p.dieAt
	p.dead = dies
	p.mu.Unlock()
	if !dies {
		return call()
	}
	p.kill()
	if p.after {
		_ = call()
	}
	return errDead
}

func changeFor[T any](p *process, what string, call func() (T, error)) (T, error) {
	var v T
	err := p.change(what, func() (err error) {
		v, err = call()
		return err
	})
	return v, err
}

// mortal puts the process between the operators and everything they change.
func (p *process) mortal(d Deps) Deps {
	d.API = mortalAPI{d.API.(*operatortest.BOS), p}
	d.Power = mortalPower{d.Power, d.Power.(pcs.TransitionReader), p}
	d.Config, d.Boot, d.Images = mortalConfig{d.Config, p}, mortalBoot{d.Boot, p}, mortalImages{d.Images, p}
	return d
}

type mortalAPI struct {
	*operatortest.BOS
	p *process
}

func (a mortalAPI) PatchGuarded(ctx context.Context, ps bos.GuardedPatches) (bos.GuardedResult, error) {
	return changeFor(a.p, "BOS guarded by "+bos.Writer(ctx), func() (bos.GuardedResult, error) { return a.BOS.PatchGuarded(ctx, ps) })
}

func (a mortalAPI) PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skip bool) ([]bos.Component, error) {
	return changeFor(a.p, "BOS components by "+bos.Writer(ctx), func() ([]bos.Component, error) { return a.BOS.PatchComponents(ctx, tenant, ps, skip) })
}

func (a mortalAPI) CreateComponents(ctx context.Context, cs []bos.Component) ([]bos.ComponentID, error) {
	return changeFor(a.p, "BOS create components", func() ([]bos.ComponentID, error) { return a.BOS.CreateComponents(ctx, cs) })
}

func (a mortalAPI) PatchSession(ctx context.Context, key bos.TenantKey, s bos.SessionPatch) (bos.Session, error) {
	return changeFor(a.p, "BOS session by "+bos.Writer(ctx), func() (bos.Session, error) { return a.BOS.PatchSession(ctx, key, s) })
}

func (a mortalAPI) SaveSessionStatus(ctx context.Context, key bos.TenantKey) (bos.ExtendedStatus, error) {
	return changeFor(a.p, "BOS saved status", func() (bos.ExtendedStatus, error) { return a.BOS.SaveSessionStatus(ctx, key) })
}

func (a mortalAPI) PutBootArtifacts(ctx context.Context, token bos.BSSToken, b bos.BootArtifacts) error {
	return a.p.change("BOS token", func() error { return a.BOS.PutBootArtifacts(ctx, token, b) })
}

func (a mortalAPI) PutPowerTransition(ctx context.Context, t bos.PowerTransition) error {
	return a.p.change("BOS transition", func() error { return a.BOS.PutPowerTransition(ctx, t) })
}

func (a mortalAPI) DeletePowerTransition(ctx context.Context, id string) error {
	return a.p.change("BOS transition over", func() error { return a.BOS.DeletePowerTransition(ctx, id) })
}

func (a mortalAPI) ReleaseLease(ctx context.Context, op, holder string) error {
	a.p.mu.Lock()
	dead := a.p.dead
	a.p.mu.Unlock()
	if dead {
		return errDead
	}
	return a.BOS.ReleaseLease(ctx, op, holder)
}

type mortalPower struct {
	pcs.PowerClient
	pcs.TransitionReader
	p *process
}

func (m mortalPower) Transition(ctx context.Context, op pcs.Operation, ids []bos.ComponentID) (pcs.TransitionID, error) {
	return changeFor(m.p, "PCS "+string(op), func() (pcs.TransitionID, error) { return m.PowerClient.Transition(ctx, op, ids) })
}

func (m mortalPower) AbortTransition(ctx context.Context, id pcs.TransitionID) error {
	return m.p.change("PCS abort", func() error { return m.TransitionReader.AbortTransition(ctx, id) })
}

type mortalConfig struct {
	cfs.ConfigClient
	p *process
}

func (m mortalConfig) Assign(ctx context.Context, ids []bos.ComponentID, a cfs.Assignment) error {
	return m.p.change("CFS assign", func() error { return m.ConfigClient.Assign(ctx, ids, a) })
}

type mortalBoot struct {
	bss.BootClient
	p *process
}

func (m mortalBoot) SetBootParameters(ctx context.Context, ids []bos.ComponentID, a bos.BootArtifacts) (bos.BSSToken, error) {
	return changeFor(m.p, "BSS", func() (bos.BSSToken, error) { return m.BootClient.SetBootParameters(ctx, ids, a) })
}

type mortalImages struct {
	ims.ImageClient
	p *process
}

func (m mortalImages) Tag(ctx context.Context, id, key, value string) error {
	return m.p.change("IMS tag", func() error { return m.ImageClient.Tag(ctx, id, key, value) })
}

// A process that dies at any of its calls, before or after it, leaves a session that another one brings to its end:
// every node as desired, and no node switched off again once it was on.
func TestCrash(t *testing.T) {
	order := regexp.MustCompile(`^(Soft-Off )+(On )+$`)
	run := func(t *testing.T, dieAt int, after bool) (calls []string) {
		synctest.Test(t, func(t *testing.T) {
			c := newMachine(t, x1)
			first := &process{}
			first.kill = c.run(c.deps(), "setting up")
			time.Sleep(2 * time.Second)
			c.template()
			c.start("boot", bos.OperationBoot)
			c.finish("boot", time.Minute)
			first.kill()
			time.Sleep(time.Second)
			before := len(c.transitions())

			doomed := &process{dieAt: dieAt, after: after, kill: func() {}}
			kill := c.run(doomed.mortal(c.deps()), "doomed")
			doomed.mu.Lock()
			doomed.kill = kill
			doomed.mu.Unlock()
			time.Sleep(2 * time.Second)
			c.start("reboot", bos.OperationReboot)
			time.Sleep(5 * time.Second)
			c.run(c.deps(), "heir")
			took := c.finish("reboot", 10*time.Minute)

			if comp := c.bos.Get(x1); comp.ComputeStatus() != bos.StatusStable || comp.IsEnabled() || c.pcs.State(x1) != pcs.StateOn {
				t.Errorf("x1 ended %s, enabled %t, power %s, error %q", comp.ComputeStatus(), comp.IsEnabled(), c.pcs.State(x1), comp.ErrorText())
			}
			st, err := c.bos.SessionStatus(t.Context(), bos.TenantKey{Name: "reboot"})
			if err != nil || st.PercentSuccessful != 100 {
				t.Errorf("session: %.0f %% successful: %v", st.PercentSuccessful, err)
			}
			var ops strings.Builder
			for _, op := range c.transitions()[before:] {
				ops.WriteString(string(op) + " ")
			}
			if !order.MatchString(ops.String()) {
				t.Errorf("power transitions %s: want Soft-Off and On, each at least once", ops.String())
			}
			doomed.mu.Lock()
			defer doomed.mu.Unlock()
			calls = doomed.calls
			if dieAt > 0 && !doomed.dead {
				t.Errorf("the process made %d calls and did not die", len(calls))
			}
			t.Logf("transitions %s, complete after %s", ops.String(), took)
		})
		return calls
	}
	calls := run(t, 0, false)
	t.Logf("a reboot takes %d calls: %s", len(calls), strings.Join(calls, ", "))
	for i, call := range calls {
		for _, after := range []bool{false, true} {
			when := map[bool]string{false: "before", true: "after"}[after]
			t.Run(fmt.Sprintf("%s call %d, %s", when, i+1, call), func(t *testing.T) { run(t, i+1, after) })
		}
	}
}
