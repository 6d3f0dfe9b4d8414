package builtin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/cfs/cfstest"
	"github.com/bootorch/bosgo/clients/bss/bsstest"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/ims/imstest"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

// The fixtures of BOS v2 operators 9.1. In expected texts x1 to x3 stand for the names below.
const (
	x1 bos.ComponentID = "x1000c0s0b0n0"
	x2 bos.ComponentID = "x1000c0s0b0n1"
	x3 bos.ComponentID = "x1000c0s0b0n2"

	image     = "11111111-aaaa-4bbb-8ccc-222222222222"
	kernelK   = "s3://boot-images/" + image + "/kernel"
	initrdI   = "s3://boot-images/" + image + "/initrd"
	paramsP   = "quiet root=sbps-s3:s3://boot-images/" + image + "/rootfs:etag1:sbps:v1 bos_update_frequency=4h"
	generic   = bos.GenericRetryError
	zeroStats = `{"power_on_attempts":0,"power_off_graceful_attempts":0,"power_off_forceful_attempts":0}`
	emptied   = `{"boot_artifacts":{"kernel":"","kernel_parameters":"","initrd":""},"bss_token":""}`
)

var (
	rigNow    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	artifacts = bos.BootArtifacts{Kernel: kernelK, KernelParameters: paramsP, Initrd: initrdI}
	none      = bos.BootArtifacts{}
)

// rig is BOS and its services in memory, for one operator at a time. Every call that changes something is in the log,
// in order.
type rig struct {
	t      *testing.T
	bos    *operatortest.BOS
	hsm    *hsmtest.Fake
	pcs    *pcstest.Fake
	cfs    *cfstest.Fake
	bss    *bsstest.Fake
	ims    *imstest.Fake
	shared *Transitions
	sched  *operatortest.Scheduler

	mu  sync.Mutex
	log []string
	// fail returns the error of a call, by its text in the log ("PCS On x1"); nil = none.
	fail func(call string) error
}

func newRig(t *testing.T) *rig {
	r := &rig{
		t: t, bos: operatortest.NewBOS(t), hsm: hsmtest.NewNodes(x1, x2, x3), pcs: pcstest.New(x1, x2, x3), cfs: cfstest.New(x1, x2, x3),
		bss: new(bsstest.Fake), ims: imstest.New(ims.Image{ID: image, Arch: "x86_64"}), sched: new(operatortest.Scheduler),
	}
	for _, id := range []bos.ComponentID{x1, x2, x3} {
		r.cfs.Set(cfs.Component{ID: id, DesiredConfig: "cfg1", Status: cfs.StatusConfigured, Enabled: true})
	}
	r.bos.SetNow(rigNow)
	r.pcs.OnCall = func(c pcstest.Call) error {
		switch c.Method {
		case "Transition":
			return r.called("PCS %s %s", c.Operation, names(c.IDs))
		case "AbortTransition":
			return r.called("PCS abort %s", c.Transition)
		}
		return r.read("PCS %s %s", c.Method, names(c.IDs))
	}
	r.cfs.OnCall = func(c cfstest.Call) error {
		if c.Method == "Assign" {
			a := c.Assignment
			return r.called("CFS %s config=%q session=%q enabled=%t clear=%t", names(c.IDs), a.Configuration, a.Session, a.Enabled, a.ClearState)
		}
		return r.read("CFS %s %s", c.Method, names(c.IDs))
	}
	r.bss.OnCall = func(c bsstest.Call) error {
		return r.called("BSS %s kernel=%s params=%s initrd=%s", names(c.IDs), c.Artifacts.Kernel, c.Artifacts.KernelParameters, c.Artifacts.Initrd)
	}
	r.ims.OnCall = func(c imstest.Call) error { return r.called("IMS %s %s %s=%s", c.Method, c.ID, c.Key, c.Value) }
	r.hsm.OnCall = func(c hsmtest.Call) error { return r.read("HSM %s %s", c.Method, names(c.IDs)) }
	r.bos.OnWrite = func(ps []bos.GuardedPatch) error {
		texts := make([]string, len(ps))
		for i, p := range ps {
			texts[i] = operatortest.PatchJSON(p)
		}
		return r.called("BOS [%s]", strings.Join(texts, ","))
	}
	r.bos.OnArtifacts = func(token bos.BSSToken, a bos.BootArtifacts) error {
		return r.called("TOKEN %s kernel=%s params=%s initrd=%s", string(token), a.Kernel, a.KernelParameters, a.Initrd)
	}
	r.shared = NewTransitions(r.pcs, r.bos)
	return r
}

func (r *rig) deps() Deps {
	return Deps{API: r.bos, Inventory: r.hsm, Power: r.pcs, Config: r.cfs, Boot: r.bss, Images: r.ims, Transitions: r.shared}
}

// operator builds an operator.
func (r *rig) operator(name string) operator.Operator {
	r.t.Helper()
	op, err := New(name, r.deps())
	if err != nil {
		r.t.Fatal(err)
	}
	return op
}

// called logs a call that changes something, and read asks fail alone.
func (r *rig) called(format string, args ...any) error {
	text := short(fmt.Sprintf(format, args...))
	r.mu.Lock()
	r.log = append(r.log, text)
	r.mu.Unlock()
	return r.failure(text)
}

func (r *rig) read(format string, args ...any) error {
	return r.failure(short(fmt.Sprintf(format, args...)))
}

func (r *rig) failure(call string) error {
	if r.fail == nil {
		return nil
	}
	return r.fail(call)
}

// takeLog returns the calls so far and forgets them.
func (r *rig) takeLog() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log
	r.log = nil
	return log
}

// failing makes the calls whose text begins with prefix fail.
func failing(prefix string, err error) func(string) error {
	return func(call string) error {
		if strings.HasPrefix(call, prefix) {
			return err
		}
		return nil
	}
}

// put stores x1 to x3 as the default component of the suite with the changes.
func (r *rig) put(id bos.ComponentID, change ...func(*bos.Component)) {
	r.t.Helper()
	change = slices.Concat([]func(*bos.Component){desired(artifacts, "cfg1"), action(bos.ActionSessionSetup, 10)}, change)
	r.bos.Put(operatortest.Component(id, artifacts, change...))
}

// pass makes a full pass at the present of the rig.
func (r *rig) pass(op operator.Operator) error {
	r.t.Helper()
	return op.Run(bos.WithWriter(r.t.Context(), op.Name()), r.bos.Tick(r.sched))
}

// passIDs makes a pass over ids.
func (r *rig) passIDs(op operator.Operator, ids ...string) error {
	r.t.Helper()
	return op.Run(bos.WithWriter(r.t.Context(), op.Name()), r.bos.Tick(r.sched, ids...))
}

// later moves the clock.
func (r *rig) later(d time.Duration) { r.bos.SetNow(r.bos.Now().Add(d)) }

// wantLog checks the calls since the last check. An expected text may leave the rest of a line open with "…".
func (r *rig) wantLog(want ...string) {
	r.t.Helper()
	got := r.takeLog()
	if len(got) != len(want) {
		r.t.Errorf("calls:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		return
	}
	for i := range want {
		start, open := strings.CutSuffix(want[i], "…")
		if fits := got[i] == want[i] || open && strings.HasPrefix(got[i], start); !fits {
			r.t.Errorf("call %d:\n  %s\nwant:\n  %s", i+1, got[i], want[i])
		}
	}
}

// wantPatch checks that the only calls since the last check were writes of one component each, which together amount to
// the wanted members; "" means none.
func (r *rig) wantPatch(want string) {
	r.t.Helper()
	got := map[string]any{}
	for _, call := range r.takeLog() {
		text, ok := strings.CutPrefix(call, "BOS ")
		var items []map[string]any
		if !ok || json.Unmarshal([]byte(text), &items) != nil || len(items) != 1 {
			r.t.Errorf("unexpected call %s", call)
			continue
		}
		for k, v := range items[0] {
			got[k] = v
		}
	}
	wanted := map[string]any{}
	if want != "" {
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			r.t.Fatalf("%s: %v", want, err)
		}
		wanted["id"] = "x1"
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		r.t.Errorf("patch (-want +got):\n%s", diff)
	}
}

// short replaces the names of the nodes.
func short(text string) string {
	return strings.NewReplacer(string(x1), "x1", string(x2), "x2", string(x3), "x3").Replace(text)
}

func names(ids []bos.ComponentID) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// The changes of a component; ago is in seconds before the present of the rig.

type change = func(*bos.Component)

func phase(p bos.Phase) change { return func(c *bos.Component) { c.Status.Phase = new(p) } }
func override(s bos.Status) change {
	return func(c *bos.Component) { c.Status.StatusOverride = new(s) }
}
func errorText(s string) change { return func(c *bos.Component) { c.Error = new(s) } }
func policy(n int) change       { return func(c *bos.Component) { c.RetryPolicy = new(n) } }
func session(s string) change   { return func(c *bos.Component) { c.Session = new(s) } }

func action(a bos.Action, ago int) change {
	return func(c *bos.Component) {
		stamp := bos.Stamp(rigNow.Add(-time.Duration(ago) * time.Second))
		c.LastAction = &bos.LastAction{Action: new(a), Failed: new(false), LastUpdated: new(stamp)}
	}
}

func failedAction(a bos.Action, ago int) change {
	return func(c *bos.Component) {
		action(a, ago)(c)
		c.LastAction.Failed = new(true)
	}
}

func desired(a bos.BootArtifacts, configuration string) change {
	return func(c *bos.Component) {
		c.DesiredState.BootArtifacts, c.DesiredState.Configuration = a.Fields(), new(configuration)
	}
}

func actual(a bos.BootArtifacts) change {
	return func(c *bos.Component) { c.ActualState.BootArtifacts = a.Fields() }
}

func attempts(on, graceful, forceful int) change {
	return func(c *bos.Component) {
		c.EventStats = &bos.EventStats{PowerOnAttempts: new(on), PowerOffGracefulAttempts: new(graceful), PowerOffForcefulAttempts: new(forceful)}
	}
}

// unavailable is an outage, and refused what a service says that will not change its mind.
var (
	unavailable = &bos.StatusError{Status: 503, Detail: "service is away"}
	refused     = &bos.StatusError{Status: 400, Detail: "no good"}
)

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
