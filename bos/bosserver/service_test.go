package bosserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

func (s *system) put(components ...string) {
	s.t.Helper()
	for _, text := range components {
		c := fromJSON[bos.Component](s.t, text)
		if _, err := s.svc.PutComponent(s.t.Context(), c.ID, c); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *system) get(id bos.ComponentID) bos.Component {
	s.t.Helper()
	c, err := s.svc.GetComponent(s.t.Context(), "", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// session creates a template and a session of it.
func (s *system) session(tenant, name string) bos.TenantKey {
	s.t.Helper()
	template := bos.SessionTemplate{BootSets: map[string]bos.BootSet{"a": {Path: "s3://boot-images/img1/manifest.json", Type: "s3", NodeGroups: []string{"g"}}}}
	if _, err := s.svc.PutTemplate(s.t.Context(), bos.TenantKey{Tenant: tenant, Name: "t1"}, template); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.svc.CreateSession(s.t.Context(), tenant, bos.SessionCreate{Name: name, Operation: bos.OperationBoot, TemplateName: "t1"}); err != nil {
		s.t.Fatal(err)
	}
	return bos.TenantKey{Tenant: tenant, Name: name}
}

func TestServiceWithoutNeighbours(t *testing.T) {
	st := memstore.New()
	defer st.Close()
	svc, ctx := New(st, Config{}), t.Context()
	if _, err := svc.CreateSession(ctx, "ten1", bos.SessionCreate{Operation: "boot", TemplateName: "t"}); bos.AsStatus(err).Title != bos.TitleInvalidTenant {
		t.Errorf("tenant: %v", err)
	}
	key := bos.TenantKey{Name: "t"}
	template := bos.SessionTemplate{BootSets: map[string]bos.BootSet{"a": {Path: "s3://b/i/manifest.json", Type: "s3", NodeGroups: []string{"g"}}}}
	if _, err := svc.PutTemplate(ctx, key, template); err != nil {
		t.Fatal(err)
	}
	const unreadable = "Can't find boot artifacts. Error: ManifestNotFound: Unable to read manifest file 's3://b/i/manifest.json'."
	if text, err := svc.ValidateTemplate(ctx, key); err != nil || !strings.HasSuffix(text, unreadable) {
		t.Errorf("validate: %q, %v", text, err)
	}
	if _, err := svc.CreateSession(ctx, "", bos.SessionCreate{Operation: "boot", TemplateName: "t"}); err == nil || !strings.Contains(err.Error(), unreadable) {
		t.Errorf("boot: %v", err)
	}
	if s, err := svc.CreateSession(ctx, "", bos.SessionCreate{Operation: "shutdown", TemplateName: "t"}); err != nil || len(s.Name) != 36 {
		t.Errorf("shutdown: %+v, %v", s, err)
	}
}

// TestTypedRequestsAreChecked calls the service with what HTTP would have refused.
func TestTypedRequestsAreChecked(t *testing.T) {
	s := newSystem(t)
	s.put(`{"id":"a","enabled":false}`)
	svc, ctx := s.svc, t.Context()
	one := func(_ any, err error) error { return err }
	for name, err := range map[string]error{
		"empty component":           one(svc.PutComponent(ctx, "a", bos.Component{})),
		"no id":                     one(svc.PutComponent(ctx, "", bos.Component{Error: new("e")})),
		"no id in list":             one(svc.PutComponents(ctx, []bos.Component{{Error: new("e")}})),
		"long id":                   one(svc.CreateComponents(ctx, []bos.Component{{ID: bos.ComponentID(strings.Repeat("x", 128))}})),
		"read-only stamp":           one(svc.PatchComponent(ctx, "", "a", bos.ComponentPatch{DesiredState: &bos.DesiredState{LastUpdated: new(bos.Timestamp("x"))}})),
		"computed status":           one(svc.PatchComponents(ctx, "", []bos.ComponentPatch{{ID: "a", Status: &bos.ComponentStatus{Status: new(bos.StatusStable)}}}, false)),
		"empty patch":               one(svc.PatchComponent(ctx, "", "a", bos.ComponentPatch{})),
		"unknown phase":             one(svc.PatchGuarded(ctx, bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: "a", Patch: bos.ComponentPatch{Status: &bos.ComponentStatus{Phase: new(bos.Phase("x"))}}}}})),
		"lease without operator":    one(svc.PatchGuarded(ctx, bos.GuardedPatches{Lease: 1})),
		"negative lease":            one(svc.PatchGuarded(ctx, bos.GuardedPatches{Lease: -1})),
		"no filter":                 one(svc.PatchComponentsWhere(ctx, bos.ComponentsPatch{Patch: bos.ComponentPatch{Error: new("e")}})),
		"two filters":               one(svc.PatchComponentsWhere(ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"a"}, Session: "s", Patch: bos.ComponentPatch{Error: new("e")}})),
		"filter with a bad session": one(svc.PatchComponentsWhere(ctx, bos.ComponentsPatch{Session: "-s", Patch: bos.ComponentPatch{Error: new("e")}})),
		"stage of nothing":          one(svc.ApplyStaged(ctx, "", []bos.ComponentID{""})),
		"operation":                 one(svc.CreateSession(ctx, "", bos.SessionCreate{Operation: "Boot", TemplateName: "t"})),
		"session state":             one(svc.PatchSession(ctx, bos.TenantKey{Name: "s"}, bos.SessionPatch{Status: &bos.SessionStatusPatch{Status: new(bos.SessionState("x"))}})),
		"session filter":            one(svc.ListSessions(ctx, bos.SessionFilter{Status: "x"})),
		"negative age":              svc.DeleteSessions(ctx, bos.SessionFilter{MinAge: new(-time.Second)}),
		"template":                  one(svc.PutTemplate(ctx, bos.TenantKey{Name: "t"}, bos.SessionTemplate{})),
		"template name":             one(svc.PutTemplate(ctx, bos.TenantKey{Name: "-t"}, bos.SessionTemplate{BootSets: map[string]bos.BootSet{"a": {Path: "p", Type: "s3", NodeGroups: []string{"g"}}}})),
		"option":                    one(svc.UpdateOptions(ctx, bos.OptionsPatch{BSSReadTimeout: new(5)})),
		"no option":                 one(svc.UpdateOptions(ctx, bos.OptionsPatch{})),
		"setting":                   one(svc.UpdateSettings(ctx, bos.SettingsPatch{MaxNodesPerTransition: new(0)})),
		"no token":                  svc.PutBootArtifacts(ctx, "", bos.BootArtifacts{}),
		"long kernel":               svc.PutBootArtifacts(ctx, "t", bos.BootArtifacts{Kernel: strings.Repeat("x", 4096)}),
		"long lease":                one(svc.AcquireLease(ctx, "power-on", "me", time.Hour)),
		"nobody's lease":            one(svc.AcquireLease(ctx, "power-on", "", time.Minute)),
		"lease of nothing":          one(svc.AcquireLease(ctx, "", "me", time.Minute)),
	} {
		if !errors.Is(err, bos.ErrInvalid) || bos.AsStatus(err).Status != http.StatusBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, f := range []bos.ComponentFilter{{PageSize: -1}, {Phase: "x"}, {Session: "-x"}} {
		for _, err := range svc.ListComponents(ctx, f) {
			if !errors.Is(err, bos.ErrInvalid) {
				t.Errorf("%+v: %v", f, err)
			}
		}
	}
	if c := s.get("a"); c.Error != nil || c.DesiredState != nil {
		t.Errorf("something was written: %+v", c)
	}
}

func TestBulkPatchWritesNothingWhenAnIDIsUnknown(t *testing.T) {
	s := newSystem(t)
	const n = 3 * stepSize
	var cs []bos.Component
	var ps []bos.ComponentPatch
	for i := range n {
		id := bos.ComponentID(fmt.Sprintf("x%05d", i))
		cs = append(cs, bos.Component{ID: id, Enabled: new(false)})
		ps = append(ps, bos.ComponentPatch{ID: id, Error: new("e")})
	}
	if _, err := s.svc.PutComponents(t.Context(), cs); err != nil {
		t.Fatal(err)
	}
	bad := append(slices.Clone(ps), bos.ComponentPatch{ID: "none", Error: new("e")})
	for _, list := range [][]bos.ComponentPatch{bad, bad[n-10:]} {
		if _, err := s.svc.PatchComponents(t.Context(), "", list, false); !errors.Is(err, bos.ErrNotFound) || err.Error() != "Component 'none' does not exist" {
			t.Errorf("err = %v", err)
		}
	}
	for c, err := range s.svc.ListComponents(t.Context(), bos.ComponentFilter{}) {
		if err != nil || c.ErrorText() != "" {
			t.Fatalf("%s was written: %v", c.ID, err)
		}
	}
	written, err := s.svc.PatchComponents(t.Context(), "", bad, true)
	if err != nil || len(written) != n || written[n-1].ErrorText() != "e" {
		t.Errorf("%d written, %v", len(written), err)
	}
}

func TestPatchGuarded(t *testing.T) {
	s := newSystem(t)
	s.put(`{"id":"a","session":"s1","enabled":false}`, `{"id":"b","session":"s2","enabled":false}`)
	ctx := bos.WithWriter(t.Context(), "status")
	lease, err := s.svc.AcquireLease(ctx, "status", "me", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	patch := func(id bos.ComponentID, session, text string) bos.GuardedPatch {
		return bos.GuardedPatch{ID: id, If: &bos.Guard{Session: new(session)}, Patch: bos.ComponentPatch{Error: new(text)}}
	}
	for _, token := range []int64{0, lease.Token} {
		text := fmt.Sprint("under ", token)
		got, err := s.svc.PatchGuarded(ctx, bos.GuardedPatches{Lease: token, Patches: []bos.GuardedPatch{
			patch("none", "s1", text), patch("b", "s1", text), patch("a", "other", "the last of duplicates counts"), patch("a", "s1", text),
		}})
		want := bos.GuardedResult{Written: []bos.ComponentID{"a"}, Stale: []bos.ComponentID{"b"}, Missing: []bos.ComponentID{"none"}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("lease %d: %v\n%s", token, err, diff)
		}
		if a, b := s.get("a"), s.get("b"); a.ErrorText() != text || b.ErrorText() != "" {
			t.Errorf("lease %d: errors %q and %q", token, a.ErrorText(), b.ErrorText())
		}
	}

	if err := s.svc.ReleaseLease(ctx, "status", "me"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.svc.AcquireLease(ctx, "status", "you", time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := s.svc.AcquireLease(ctx, "status", "me", time.Minute); !errors.Is(err, bos.ErrConflict) || !strings.Contains(err.Error(), "you") {
		t.Errorf("second holder: %v", err)
	}
	for _, ps := range [][]bos.GuardedPatch{nil, {patch("a", "s1", "too late")}} {
		if _, err := s.svc.PatchGuarded(ctx, bos.GuardedPatches{Lease: lease.Token, Patches: ps}); !errors.Is(err, bos.ErrConflict) {
			t.Errorf("old token: %v", err)
		}
	}
	if c := s.get("a"); c.ErrorText() == "too late" {
		t.Error("written under a lost lease")
	}
}

// TestPatchesOfOneComponentAreAllKept lets every kind of patch meet on one record.
func TestPatchesOfOneComponentAreAllKept(t *testing.T) {
	s := newSystem(t)
	s.put(`{"id":"a","enabled":false}`)
	ctx := bos.WithWriter(t.Context(), "status")
	lease, err := s.svc.AcquireLease(ctx, "status", "me", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	patches := []bos.ComponentPatch{
		{ID: "a", Error: new("e")}, {ID: "a", RetryPolicy: new(7)}, {ID: "a", Status: &bos.ComponentStatus{Phase: new(bos.PhaseConfiguring)}},
		{ID: "a", ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken("t"))}}, {ID: "a", LastAction: &bos.LastAction{Failed: new(true)}},
		{ID: "a", StagedState: &bos.StagedState{Session: new("s1")}}, {ID: "a", EventStats: &bos.EventStats{PowerOnAttempts: new(1)}},
		{ID: "a", Status: &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)}},
	}
	var wg sync.WaitGroup
	for i, p := range patches {
		wg.Go(func() {
			var err error
			switch i % 4 {
			case 0:
				_, err = s.svc.PatchComponent(ctx, "", "a", p)
			case 1:
				_, err = s.svc.PatchComponents(ctx, "", []bos.ComponentPatch{p}, false)
			case 2:
				_, err = s.svc.PatchGuarded(ctx, bos.GuardedPatches{Lease: lease.Token, Patches: []bos.GuardedPatch{{ID: "a", Patch: p}}})
			case 3:
				_, err = s.svc.PatchComponentsWhere(ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"a"}, Patch: p})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	c := s.get("a")
	if c.ErrorText() != "e" || *c.RetryPolicy != 7 || c.CurrentPhase() != bos.PhaseConfiguring || *c.ActualState.BSSToken != "t" || !c.ActionFailed() ||
		c.StagedSession() != "s1" || *c.EventStats.PowerOnAttempts != 1 || c.Override() != bos.StatusFailed {
		t.Errorf("something is lost: %+v", c)
	}
}

func TestApplyStagedTwiceInOneRequest(t *testing.T) {
	s := newSystem(t)
	s.session("", "s1")
	s.put(`{"id":"a","staged_state":{"session":"s1","boot_artifacts":{"kernel":"k"}}}`)
	got, err := s.svc.ApplyStaged(t.Context(), "", []bos.ComponentID{"a", "none", "a"})
	if want := (bos.ApplyStagedResult{Succeeded: []bos.ComponentID{"a", "a"}, Failed: []bos.ComponentID{}, Ignored: []bos.ComponentID{"none"}}); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.svc.UpdateOptions(t.Context(), bos.OptionsPatch{ClearStage: new(true)}); err != nil {
		t.Fatal(err)
	}
	got, err = s.svc.ApplyStaged(t.Context(), "", []bos.ComponentID{"a", "a"})
	if want := (bos.ApplyStagedResult{Succeeded: []bos.ComponentID{"a"}, Failed: []bos.ComponentID{}, Ignored: []bos.ComponentID{"a"}}); err != nil || !cmp.Equal(want, got) {
		t.Errorf("with clear_stage: %+v, %v", got, err)
	}
}

func TestSessionsHaveIncarnations(t *testing.T) {
	s := newSystem(t)
	key := s.session("ten1", "s1")
	incarnation := func() (id string) {
		err := s.svc.st.Transact(t.Context(), func(tx store.Tx) (err error) {
			if id, err = tx.Incarnations().Get(key); errors.Is(err, bos.ErrNotFound) {
				id, err = "", nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := incarnation()
	if err := s.svc.DeleteSession(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	gone := incarnation()
	s.session("ten1", "s1")
	if second := incarnation(); first == "" || gone != "" || second == "" || second == first {
		t.Errorf("incarnations %q, then %q, then %q", first, gone, second)
	}
}

func TestCompletionByAnOperatorSavesTheStatus(t *testing.T) {
	s := newSystem(t)
	s.put(`{"id":"a","session":"s1"}`)
	key := s.session("", "s1")
	complete := bos.SessionPatch{Status: &bos.SessionStatusPatch{Status: new(bos.SessionComplete), EndTime: new(bos.NullString("2026-01-01T00:00:00"))}}
	if _, err := s.svc.PatchSession(bos.WithWriter(t.Context(), "session-completion"), key, complete); err != nil {
		t.Fatal(err)
	}
	if err := s.svc.DeleteComponent(t.Context(), "", "a"); err != nil {
		t.Fatal(err)
	}
	if st, err := s.svc.SessionStatus(t.Context(), key); err != nil || st.ManagedComponentsCount != 1 || st.Status != bos.SessionComplete || st.Timing.EndTime == "" {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := s.svc.PatchSession(bos.WithWriter(t.Context(), "session-completion"), key, complete); err != nil {
		t.Fatal(err)
	}
	if st, err := s.svc.SessionStatus(t.Context(), key); err != nil || st.ManagedComponentsCount != 1 {
		t.Errorf("completed again: %+v, %v", st, err)
	}

	other := s.session("", "s2") // as the reference's operator does it: the status is what it is until somebody saves it
	s.put(`{"id":"b","session":"s2"}`)
	if _, err := s.svc.PatchSession(t.Context(), other, complete); err != nil {
		t.Fatal(err)
	}
	if err := s.svc.DeleteComponent(t.Context(), "", "b"); err != nil {
		t.Fatal(err)
	}
	if st, err := s.svc.SessionStatus(t.Context(), other); err != nil || st.ManagedComponentsCount != 0 {
		t.Errorf("completed by somebody else: %+v, %v", st, err)
	}
}

func TestTemplatePatchesAreAllKept(t *testing.T) {
	s := newSystem(t)
	s.session("", "s1")
	key := bos.TenantKey{Name: "t1"}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			set := bos.BootSet{Path: fmt.Sprintf("s3://boot-images/img%d/manifest.json", i), Type: "s3", NodeGroups: []string{"g"}}
			if _, err := s.svc.PatchTemplate(t.Context(), key, bos.TemplatePatch{BootSets: map[string]bos.BootSet{fmt.Sprint("set", i): set}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if template, err := s.svc.GetTemplate(t.Context(), key); err != nil || len(template.BootSets) != 9 {
		t.Errorf("%d boot sets, %v", len(template.BootSets), err)
	}
}

// slowReader answers nothing until its caller gives up.
type slowReader struct{ manifest.Reader }

func (slowReader) Manifest(ctx context.Context, _, _ string) (*manifest.Manifest, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestImagesAreLookedAtTogetherAndNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, func(c *Config, _ *HandlerConfig) { c.Manifests = slowReader{} })
		sets := map[string]bos.BootSet{}
		for i := range imageWorkers {
			sets[fmt.Sprint("set", i)] = bos.BootSet{Path: fmt.Sprintf("s3://boot-images/img%d/manifest.json", i), Type: "s3", NodeGroups: []string{"g"}}
		}
		start := time.Now()
		if _, err := s.svc.PutTemplate(t.Context(), bos.TenantKey{Name: "t1"}, bos.SessionTemplate{BootSets: sets}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != imageTimeout {
			t.Errorf("it took %v, want %v", d, imageTimeout)
		}
		if text, err := s.svc.ValidateTemplate(t.Context(), bos.TenantKey{Name: "t1"}); err != nil || !strings.Contains(text, "S3 cannot be reached") {
			t.Errorf("%q, %v", text, err)
		}
	})
}

func TestOneLookPerImage(t *testing.T) {
	s := newSystem(t)
	set := bos.BootSet{Path: "s3://boot-images/img1/manifest.json", Type: "s3", NodeGroups: []string{"g"}}
	if _, err := s.svc.PutTemplate(t.Context(), bos.TenantKey{Name: "t1"}, bos.SessionTemplate{BootSets: map[string]bos.BootSet{"a": set, "b": set, "c": set}}); err != nil {
		t.Fatal(err)
	}
	if calls := s.images.Calls(); len(calls) != 1 {
		t.Errorf("IMS was asked %d times", len(calls))
	}
}

func TestTenantServiceAway(t *testing.T) {
	s := newSystem(t)
	s.tenants.OnCall = func(string) error { return fmt.Errorf("dial tcp 10.1.2.3:80: %w", bos.ErrUnavailable) }
	_, err := s.svc.GetComponent(t.Context(), "ten1", "a")
	if se := bos.AsStatus(err); se.Status != 503 || se.Title == bos.TitleStoreDown || strings.Contains(se.Detail, "10.1.2.3") || se.RetryAfter == 0 {
		t.Errorf("%+v", se)
	}
}

func TestReadingOptionsWritesNothing(t *testing.T) {
	s := newSystem(t)
	before := s.svc.Cursor()
	o, err := s.svc.UpdateOptions(t.Context(), bos.OptionsPatch{PollingFrequency: new(20), Extra: bos.Extra{"foo": []byte("1")}})
	if err != nil || o.Extra == nil || s.svc.Cursor() == before {
		t.Fatalf("%+v, %v", o, err)
	}
	before = s.svc.Cursor()
	if o, err = s.svc.Options(t.Context()); err != nil || o.Extra != nil || o.PollingFrequency != 20*time.Second || s.svc.Cursor() != before {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestSplitVersion(t *testing.T) {
	for text, want := range map[string]string{
		"2.50.0": "2 50 0", "v1.2.3-rc.1": "1 2 3", "1.2": "1 2 0", "dev": "0 0 0", "1.02.00": "1 2 0", "": "0 0 0", "1..x": "1 0 0",
	} {
		if v := splitVersion(text); v.Major+" "+v.Minor+" "+v.Patch != want {
			t.Errorf("%q is %+v", text, v)
		}
	}
}
