package builtin

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/cfs/cfstest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

// The fixtures of operators 9.1 and 9.6.
const (
	fixtureImage  = "11111111-aaaa-4bbb-8ccc-222222222222"
	fixtureBase   = "s3://boot-images/" + fixtureImage + "/"
	fixturePT     = "sbps:v1:iqn.2023-06.csm.iscsi:_sbps-hsn._tcp.a.b:300"
	fixtureParams = "a=1 b=2 c=3 quiet ip=dhcp root=sbps-s3:" + fixtureBase + "rootfs:e-rootfs:" + fixturePT +
		" nmd_data=url=" + fixtureBase + "rootfs,etag=e-rootfs bos_update_frequency=4h"
)

var fixtureArtifacts = bos.BootArtifacts{Kernel: fixtureBase + "kernel", Initrd: fixtureBase + "initrd", KernelParameters: fixtureParams}

// world is a BOS with services around it, all in memory, and a clock that stands still.
type world struct {
	t       testing.TB
	now     time.Time
	clock   func() time.Time // of BOS; returns now
	store   store.Store
	service *bosserver.Service
	api     *spyAPI // what the operator under test sees
	hsm     *hsmtest.Fake
	cfs     *cfstest.Fake
	images  *manifesttest.Fake
	tenants *tapmstest.Fake
	sched   *fakeScheduler
}

// newWorld returns a world with the nodes x1 to x6 of operators 9.6, all known to BOS and disabled, one image, and a
// template "t" for x1.
func newWorld(t testing.TB) *world {
	w := &world{
		t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), store: memstore.New(),
		hsm: hsmtest.New(
			hsm.Node{ID: "x1", Enabled: true, Role: "Compute", Arch: "X86"},
			hsm.Node{ID: "x2", Enabled: false, Role: "Compute", Arch: "X86"},
			hsm.Node{ID: "x3", Enabled: true, Role: "Compute", Arch: "ARM"},
			hsm.Node{ID: "x4", Enabled: true, Role: "Application", SubRole: "UAN", Arch: "UNKNOWN"},
			hsm.Node{ID: "x5", Enabled: true, Role: "Compute"},
			hsm.Node{ID: "x6", Enabled: true, Role: "Management", SubRole: "Worker", Arch: "X86"},
		),
		cfs: cfstest.New(), images: new(manifesttest.Fake), tenants: new(tapmstest.Fake), sched: newFakeScheduler(),
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.hsm.SetGroup("g1", "x1", "x3")
	w.hsm.SetGroup("g2", "x3", "x4")
	w.hsm.SetPartition("p1", "x1", "x2")
	w.images.PutImage(fixtureImage, "a=1   b=2\nc=3\n")
	w.clock = func() time.Time { return w.now }
	w.service = bosserver.New(w.store, bosserver.Config{Tenants: w.tenants, Manifests: w.images, Now: func() time.Time { return w.clock() }})
	w.api = &spyAPI{API: w.service}
	for i := range 6 {
		w.component(newlyDiscovered(bos.ComponentID(fmt.Sprintf("x%d", i+1))))
	}
	w.template("t", func(*bos.SessionTemplate, *bos.BootSet) {})
	return w
}

func (w *world) deps() Deps {
	return Deps{API: w.api, Inventory: w.hsm, Config: w.cfs, Manifests: w.images, Tenants: w.tenants, Log: slog.New(slog.DiscardHandler)}
}

// component stores the record as it is, past the rules of the API.
func (w *world) component(c bos.Component) {
	w.t.Helper()
	if err := w.store.Components().Put(w.t.Context(), c.ID, c); err != nil {
		w.t.Fatal(err)
	}
}

// template stores a template of the system after fn has changed it: by default one boot set, "compute", for x1.
func (w *world) template(name string, fn func(t *bos.SessionTemplate, b *bos.BootSet)) {
	w.t.Helper()
	w.tenantTemplate("", name, fn)
}

func (w *world) tenantTemplate(tenant, name string, fn func(t *bos.SessionTemplate, b *bos.BootSet)) {
	w.t.Helper()
	tpl := bos.SessionTemplate{Name: name, Tenant: bos.NullString(tenant), CFS: &bos.CFSParameters{Configuration: new("tcfg")}}
	b := bos.BootSet{
		Type: "s3", Path: fixtureBase + "manifest.json", ETag: new("zz"), Arch: new(bos.ArchX86), KernelParameters: new("quiet ip=dhcp"),
		RootfsProvider: new("sbps"), RootfsProviderPassthrough: new(fixturePT), NodeList: []string{"x1"},
	}
	fn(&tpl, &b)
	if tpl.BootSets == nil {
		tpl.BootSets = map[string]bos.BootSet{"compute": b}
	}
	if err := w.store.Templates().Put(w.t.Context(), tpl.Key(), tpl); err != nil {
		w.t.Fatal(err)
	}
}

// session stores a session that began now; what is not given is that of a pending boot with template "t".
func (w *world) session(s bos.Session) {
	w.t.Helper()
	s.TemplateName = cmp.Or(s.TemplateName, "t")
	s.Operation = cmp.Or(s.Operation, bos.OperationBoot)
	if s.Status == nil {
		s.Status = &bos.SessionStatus{StartTime: bos.Stamp(w.now), Status: bos.SessionPending}
	}
	if err := w.store.Sessions().Put(w.t.Context(), s.Key(), s); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options(p bos.OptionsPatch) {
	w.t.Helper()
	if _, err := w.service.UpdateOptions(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) settings(p bos.SettingsPatch) {
	w.t.Helper()
	if _, err := w.service.UpdateSettings(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
}

// tick returns what a pass gets to know now. With ids it looks at those only.
func (w *world) tick(ids ...string) operator.Tick {
	w.t.Helper()
	options, err := w.service.Options(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	settings, err := w.service.Settings(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return operator.Tick{Now: w.now, Options: options, Settings: settings, Sched: w.sched, Changed: ids, Log: slog.New(slog.DiscardHandler)}
}

// run makes one pass.
func (w *world) run(op operator.Operator, ids ...string) error {
	w.t.Helper()
	return op.Run(bos.WithWriter(w.t.Context(), op.Name()), w.tick(ids...))
}

// pass makes one pass that must succeed.
func (w *world) pass(op operator.Operator, ids ...string) {
	w.t.Helper()
	if err := w.run(op, ids...); err != nil {
		w.t.Fatalf("%s: %v", op.Name(), err)
	}
}

// settled makes another pass and fails if it changes anything, at BOS or at a service.
func (w *world) settled(op operator.Operator) {
	w.t.Helper()
	w.sched.elapse()
	before, assigned := len(w.api.writes()), w.assigned()
	w.pass(op)
	if again := w.api.writes()[before:]; len(again) > 0 {
		w.t.Errorf("another pass wrote %q", again)
	}
	if again := w.assigned() - assigned; again > 0 {
		w.t.Errorf("another pass made %d assignments", again)
	}
}

func (w *world) assigned() int {
	n := 0
	for _, c := range w.cfs.Calls() {
		if c.Method == "Assign" {
			n++
		}
	}
	return n
}

func (w *world) getComponent(id bos.ComponentID) bos.Component {
	w.t.Helper()
	c, err := w.service.GetComponent(w.t.Context(), "", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) getSession(tenant, name string) bos.Session {
	w.t.Helper()
	s, err := w.store.Sessions().Get(w.t.Context(), bos.TenantKey{Tenant: tenant, Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// wantRunning checks that the session runs with the components.
func (w *world) wantRunning(tenant, name, components string) {
	w.t.Helper()
	s := w.getSession(tenant, name)
	if s.State() != bos.SessionRunning || s.Components != components || s.Status.Error != "" {
		w.t.Errorf("session %s is %s with %q, error %q; want it running with %q", name, s.State(), s.Components, s.Status.Error, components)
	}
}

// wantFailed checks that the session is complete, without components, with the text in its error, and that its summary
// is saved.
func (w *world) wantFailed(tenant, name, text string) {
	w.t.Helper()
	s := w.getSession(tenant, name)
	if s.State() != bos.SessionComplete || !strings.Contains(string(s.Status.Error), text) || s.Components != "" {
		w.t.Errorf("session %s is %s with %q, error %q; want it failed with %q", name, s.State(), s.Components, s.Status.Error, text)
	}
	w.wantEnded(tenant, name)
}

// wantEnded checks that the session is complete, since now, and that its summary is saved.
func (w *world) wantEnded(tenant, name string) {
	w.t.Helper()
	s := w.getSession(tenant, name)
	if want := bos.NullString(bos.Stamp(w.now)); s.State() != bos.SessionComplete || s.Status.EndTime != want {
		w.t.Errorf("session %s is %s since %q, want it complete since %q", name, s.State(), s.Status.EndTime, want)
	}
	saved, err := w.store.SavedStatuses().Get(w.t.Context(), s.Key())
	if err != nil || saved.Status != bos.SessionComplete {
		w.t.Errorf("saved summary of %s: status %q, %v", name, saved.Status, err)
	}
}

// wantState checks the state of a session.
func (w *world) wantState(tenant, name string, want bos.SessionState) {
	w.t.Helper()
	if s := w.getSession(tenant, name); s.State() != want {
		w.t.Errorf("session %s is %s, want %s", name, s.State(), want)
	}
}

// spyAPI notes the calls of an operator in order and lets a test spoil them.
type spyAPI struct {
	API
	before func(call string) error // its error is the answer, and nothing is done
	after  func(call string) error // its error is the answer, although the call was done

	mu      sync.Mutex
	hooks   sync.Mutex // held while a hook runs
	calls   []string
	patches []bos.GuardedPatch
}

// isWrite reports whether a call that spyAPI noted changes something.
func isWrite(call string) bool {
	return !strings.HasPrefix(call, "Get") && !strings.HasPrefix(call, "List")
}

// writes returns the calls that change something.
func (a *spyAPI) writes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.calls), func(c string) bool { return !isWrite(c) })
}

// spy makes a call.
func spy[T any](a *spyAPI, call string, do func() (T, error)) (T, error) {
	a.mu.Lock()
	a.calls = append(a.calls, call)
	a.mu.Unlock()
	var none T
	if err := a.hook(a.before, call); err != nil {
		return none, err
	}
	v, err := do()
	if err == nil {
		err = a.hook(a.after, call)
	}
	if err != nil {
		return none, err
	}
	return v, nil
}

// hook runs a hook; they need not be safe for concurrent use.
func (a *spyAPI) hook(fn func(string) error, call string) error {
	if fn == nil {
		return nil
	}
	a.hooks.Lock()
	defer a.hooks.Unlock()
	return fn(call)
}

func (a *spyAPI) ListComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	all, err := spy(a, "ListComponents", func() (iter.Seq2[bos.Component, error], error) { return a.API.ListComponents(ctx, f), nil })
	if err != nil {
		return func(yield func(bos.Component, error) bool) { yield(bos.Component{}, err) }
	}
	return all
}

func (a *spyAPI) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error) {
	ids := make([]string, len(p.Patches))
	for i := range p.Patches {
		ids[i] = string(p.Patches[i].ID)
	}
	a.mu.Lock()
	a.patches = append(a.patches, p.Patches...)
	a.mu.Unlock()
	return spy(a, "PatchGuarded "+strings.Join(ids, ","), func() (bos.GuardedResult, error) { return a.API.PatchGuarded(ctx, p) })
}

func (a *spyAPI) PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skipBadIDs bool) ([]bos.Component, error) {
	return spy(a, fmt.Sprintf("PatchComponents %d skip=%v", len(ps), skipBadIDs), func() ([]bos.Component, error) {
		return a.API.PatchComponents(ctx, tenant, ps, skipBadIDs)
	})
}

func (a *spyAPI) CreateComponents(ctx context.Context, cs []bos.Component) ([]bos.ComponentID, error) {
	ids := make([]string, len(cs))
	for i := range cs {
		ids[i] = string(cs[i].ID)
	}
	return spy(a, "CreateComponents "+strings.Join(ids, ","), func() ([]bos.ComponentID, error) { return a.API.CreateComponents(ctx, cs) })
}

func (a *spyAPI) ListSessions(ctx context.Context, f bos.SessionFilter) ([]bos.Session, error) {
	return spy(a, "ListSessions "+string(f.Status), func() ([]bos.Session, error) { return a.API.ListSessions(ctx, f) })
}

func (a *spyAPI) GetSession(ctx context.Context, key bos.TenantKey) (bos.Session, error) {
	return spy(a, "GetSession "+key.String(), func() (bos.Session, error) { return a.API.GetSession(ctx, key) })
}

func (a *spyAPI) PatchSession(ctx context.Context, key bos.TenantKey, p bos.SessionPatch) (bos.Session, error) {
	return spy(a, "PatchSession "+key.String()+" "+string(bos.Value(p.Status.Status)), func() (bos.Session, error) { return a.API.PatchSession(ctx, key, p) })
}

func (a *spyAPI) CancelSession(ctx context.Context, key bos.TenantKey, reason string) (bos.SessionCanceled, error) {
	return spy(a, "CancelSession "+key.String(), func() (bos.SessionCanceled, error) { return a.API.CancelSession(ctx, key, reason) })
}

func (a *spyAPI) DeleteSessions(ctx context.Context, f bos.SessionFilter) error {
	_, err := spy(a, fmt.Sprintf("DeleteSessions %s %s", f.Status, bos.Value(f.MinAge)), func() (struct{}, error) {
		return struct{}{}, a.API.DeleteSessions(ctx, f)
	})
	return err
}

func (a *spyAPI) SaveSessionStatus(ctx context.Context, key bos.TenantKey) (bos.ExtendedStatus, error) {
	return spy(a, "SaveSessionStatus "+key.String(), func() (bos.ExtendedStatus, error) { return a.API.SaveSessionStatus(ctx, key) })
}

func (a *spyAPI) GetTemplate(ctx context.Context, key bos.TenantKey) (bos.SessionTemplate, error) {
	return spy(a, "GetTemplate "+key.String(), func() (bos.SessionTemplate, error) { return a.API.GetTemplate(ctx, key) })
}

// fakeScheduler keeps the wishes; its back-offs end when a test says so.
type fakeScheduler struct {
	mu      sync.Mutex
	at      map[string]time.Time
	waiting map[string]bool
}

func newFakeScheduler() *fakeScheduler {
	return &fakeScheduler{at: map[string]time.Time{}, waiting: map[string]bool{}}
}

func (s *fakeScheduler) At(id string, when time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[id] = when
}

func (s *fakeScheduler) Cancel(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, id)
	delete(s.waiting, id)
}

func (s *fakeScheduler) Retry(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[id] = true
}

func (s *fakeScheduler) Ready(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.waiting[id]
}

// elapse ends all back-offs.
func (s *fakeScheduler) elapse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.waiting)
}

// retries returns how many ids wait in a back-off.
func (s *fakeScheduler) retries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// errAway is how a service that is away fails.
var errAway = fmt.Errorf("connection refused: %w", bos.ErrUnavailable)
