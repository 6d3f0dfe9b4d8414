package bostest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bootorch/bosgo/bos"
)

// methodCase is one behaviour of bos.API.
type methodCase struct {
	name string
	run  func(m *methods)
}

// RunMethods checks a bos.API through its methods, each case against one of its own over an empty store with the
// surroundings that NewServer makes: a service in process and a client of it must behave alike.
func RunMethods(t *testing.T, api func(t testing.TB) bos.API) {
	passed := 0
	cases := slices.Concat(methodCases, cancelCases)
	for _, c := range cases {
		if t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.run(&methods{T: t, API: api(t), ctx: ctx})
		}) {
			passed++
		}
	}
	t.Logf("method cases: %d of %d passed", passed, len(cases))
}

// methods is the API of one case, and the assertions about it.
type methods struct {
	*testing.T
	bos.API

	ctx context.Context
}

// sentinels are what errors may match; an error matches one of them at most.
var sentinels = []error{
	bos.ErrInvalid, bos.ErrUnauthenticated, bos.ErrForbidden, bos.ErrNotFound, bos.ErrExists, bos.ErrConflict, bos.ErrTooLarge,
	bos.ErrUnavailable, bos.ErrUnsupported,
}

// fails asserts that err matches the sentinel and no other.
func (m *methods) fails(err, want error, what string) {
	m.Helper()
	for _, s := range sentinels {
		if errors.Is(err, s) != errors.Is(s, want) {
			m.Errorf("%s: error %v, want %v", what, err, want)
			return
		}
	}
}

// ok asserts that there is no error.
func (m *methods) ok(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// same asserts that two values are equal; nil and empty lists are.
func same[T any](m *methods, what string, got, want T) {
	m.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		m.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// all reads a sequence to its end.
func all[T any](seq iter.Seq2[T, error]) (items []T, err error) {
	for item, err := range seq {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

// lists asserts the ids of the components that match, in order.
func (m *methods) lists(what string, f bos.ComponentFilter, want ...bos.ComponentID) {
	m.Helper()
	components, err := all(m.ListComponents(m.ctx, f))
	m.ok(err)
	var ids []bos.ComponentID
	for _, c := range components {
		ids = append(ids, c.ID)
	}
	same(m, what, ids, want)
}

func (m *methods) component(id bos.ComponentID) bos.Component {
	m.Helper()
	c, err := m.GetComponent(m.ctx, "", id)
	m.ok(err)
	return c
}

func (m *methods) put(cs ...bos.Component) {
	m.Helper()
	_, err := m.PutComponents(m.ctx, cs)
	m.ok(err)
}

// template stores a template for the key, which a session can use.
func (m *methods) template(key bos.TenantKey) bos.SessionTemplate {
	m.Helper()
	t, err := m.PutTemplate(m.ctx, key, template())
	m.ok(err)
	return t
}

func template() bos.SessionTemplate {
	return bos.SessionTemplate{
		Name: "ignored", Tenant: "ignored",
		BootSets: map[string]bos.BootSet{"compute": {Path: "s3://boot-images/img1/manifest.json", Type: "s3", NodeGroups: []string{"g"}}},
	}
}

func (m *methods) session(tenant, name string) bos.Session {
	m.Helper()
	m.template(bos.TenantKey{Tenant: tenant, Name: "ok"})
	s, err := m.CreateSession(m.ctx, tenant, bos.SessionCreate{Name: name, Operation: bos.OperationBoot, TemplateName: "ok"})
	m.ok(err)
	return s
}

func (m *methods) complete(key bos.TenantKey) {
	m.Helper()
	_, err := m.PatchSession(m.ctx, key, bos.SessionPatch{Status: &bos.SessionStatusPatch{Status: new(bos.SessionComplete)}})
	m.ok(err)
}

func sessionNames(ss []bos.Session) []string {
	var names []string
	for _, s := range ss {
		names = append(names, s.Key().String())
	}
	return sorted(names)
}

// artifacts are three that belong together.
func artifacts(n int) bos.BootArtifacts {
	return bos.BootArtifacts{Kernel: fmt.Sprintf("k%d", n), KernelParameters: fmt.Sprintf("p%d", n), Initrd: fmt.Sprintf("i%d", n)}
}

func system(name string) bos.TenantKey { return bos.TenantKey{Name: name} }

func owned(name string) bos.TenantKey { return bos.TenantKey{Tenant: "ten1", Name: name} }

var methodCases = []methodCase{
	{"version and health", func(m *methods) {
		v, err := m.Version(m.ctx)
		m.ok(err)
		if v.Major == "" || v.Minor == "" || v.Patch == "" {
			m.Errorf("version %+v", v)
		}
		h, err := m.Health(m.ctx)
		m.ok(err)
		same(m, "health", h, bos.Health{APIStatus: "ok", DBStatus: "ok"})
	}},
	{"options", func(m *methods) {
		o, err := m.Options(m.ctx)
		m.ok(err)
		same(m, "defaults", o, bos.DefaultOptions())
		want := bos.DefaultOptions()
		want.PollingFrequency, want.ClearStage = 20*time.Second, true
		o, err = m.UpdateOptions(m.ctx, bos.OptionsPatch{PollingFrequency: new(20), ClearStage: new(true)})
		m.ok(err)
		same(m, "updated", o, want)
		_, err = m.UpdateOptions(m.ctx, bos.OptionsPatch{})
		m.fails(err, bos.ErrInvalid, "empty patch")
		_, err = m.UpdateOptions(m.ctx, bos.OptionsPatch{BSSReadTimeout: new(5)})
		m.fails(err, bos.ErrInvalid, "out of range")
		o, err = m.Options(m.ctx)
		m.ok(err)
		same(m, "read again", o, want)
	}},
	{"settings", func(m *methods) {
		s, err := m.Settings(m.ctx)
		m.ok(err)
		same(m, "defaults", s, bos.DefaultSettings())
		want := bos.DefaultSettings()
		want.MaxConfigureWaitTime = 3600
		s, err = m.UpdateSettings(m.ctx, bos.SettingsPatch{MaxConfigureWaitTime: new(3600)})
		m.ok(err)
		same(m, "updated", s, want)
		_, err = m.UpdateSettings(m.ctx, bos.SettingsPatch{MaxNodesPerTransition: new(0)})
		m.fails(err, bos.ErrInvalid, "out of range")
		s, err = m.Settings(m.ctx)
		m.ok(err)
		same(m, "read again", s, want)
	}},
	{"templates", func(m *methods) {
		put := m.template(system("t1"))
		same(m, "key", put.Key(), system("t1"))
		same(m, "arch", *put.BootSets["compute"].Arch, bos.ArchX86)
		m.template(owned("t1"))
		got, err := m.GetTemplate(m.ctx, system("t1"))
		m.ok(err)
		same(m, "read", got, put)
		ts, err := m.ListTemplates(m.ctx, "")
		m.ok(err)
		same(m, "number of all", len(ts), 2)
		ts, err = m.ListTemplates(m.ctx, "ten1")
		m.ok(err)
		same(m, "number of the tenant's", len(ts), 1)
		ts, err = m.ListTemplates(m.ctx, "unknown")
		m.ok(err)
		same(m, "number of nobody's", len(ts), 0)
		got, err = m.PatchTemplate(m.ctx, system("t1"), bos.TemplatePatch{Description: new("d")})
		m.ok(err)
		put.Description = new("d")
		same(m, "patched", got, put)
		m.ok(m.DeleteTemplate(m.ctx, system("t1")))
		_, err = m.GetTemplate(m.ctx, system("t1"))
		m.fails(err, bos.ErrNotFound, "deleted")
		_, err = m.GetTemplate(m.ctx, owned("t1"))
		m.ok(err)
	}},
	{"templates that are refused", func(m *methods) {
		_, err := m.GetTemplate(m.ctx, system("nosuch"))
		m.fails(err, bos.ErrNotFound, "get")
		same(m, "text", err.Error(), "Session template 'nosuch' does not exist")
		_, err = m.PatchTemplate(m.ctx, system("nosuch"), bos.TemplatePatch{})
		m.fails(err, bos.ErrNotFound, "patch")
		m.fails(m.DeleteTemplate(m.ctx, system("nosuch")), bos.ErrNotFound, "delete")
		_, err = m.ValidateTemplate(m.ctx, system("nosuch"))
		m.fails(err, bos.ErrNotFound, "validate")
		_, err = m.PutTemplate(m.ctx, system("-bad"), template())
		m.fails(err, bos.ErrInvalid, "illegal name")
		_, err = m.PutTemplate(m.ctx, system("t1"), bos.SessionTemplate{})
		m.fails(err, bos.ErrInvalid, "no boot sets")
		bare := template()
		bare.BootSets["compute"] = bos.BootSet{Path: "p", Type: "s3"}
		_, err = m.PutTemplate(m.ctx, system("t1"), bare)
		m.fails(err, bos.ErrInvalid, "no nodes")
		_, err = m.PutTemplate(m.ctx, bos.TenantKey{Tenant: "unknown", Name: "t1"}, template())
		m.fails(err, bos.ErrInvalid, "unknown tenant")
		if answer, ok := errors.AsType[*bos.StatusError](err); !ok || answer.Title != bos.TitleInvalidTenant {
			m.Errorf("unknown tenant: %#v, want the title %q", err, bos.TitleInvalidTenant)
		}
	}},
	{"template validation and example", func(m *methods) {
		m.template(system("t1"))
		text, err := m.ValidateTemplate(m.ctx, system("t1"))
		m.ok(err)
		same(m, "verdict", text, "Valid")
		t, err := m.ExampleTemplate(m.ctx)
		m.ok(err)
		if _, ok := t.BootSets["name_your_boot_set"]; !ok || t.Name != "" {
			m.Errorf("example %+v", t)
		}
	}},
	{"sessions", func(m *methods) {
		s := m.session("", "s1")
		same(m, "state", s.State(), bos.SessionPending)
		same(m, "key", s.Key(), system("s1"))
		got, err := m.GetSession(m.ctx, system("s1"))
		m.ok(err)
		same(m, "read", got, s)
		unnamed, err := m.CreateSession(m.ctx, "", bos.SessionCreate{Operation: bos.OperationShutdown, TemplateName: "ok", Limit: "x1", Stage: true, IncludeDisabled: true})
		m.ok(err)
		if len(unnamed.Name) != 36 || unnamed.Limit != "x1" || !unnamed.Stage || !unnamed.IncludeDisabled {
			m.Errorf("session without a name: %+v", unnamed)
		}
		got, err = m.PatchSession(m.ctx, system("s1"), bos.SessionPatch{
			Components: new("a,b"),
			Status:     &bos.SessionStatusPatch{Status: new(bos.SessionRunning), Error: new(bos.NullString("E"))},
		})
		m.ok(err)
		s.Components, s.Status.Status, s.Status.Error = "a,b", bos.SessionRunning, "E"
		same(m, "patched", got, s)
		m.ok(m.DeleteSession(m.ctx, system("s1")))
		m.fails(m.DeleteSession(m.ctx, system("s1")), bos.ErrNotFound, "delete again")
	}},
	{"sessions that are refused", func(m *methods) {
		m.session("", "s1")
		_, err := m.CreateSession(m.ctx, "", bos.SessionCreate{Name: "s1", Operation: bos.OperationBoot, TemplateName: "ok"})
		m.fails(err, bos.ErrExists, "taken name")
		_, err = m.CreateSession(m.ctx, "", bos.SessionCreate{Operation: bos.OperationBoot, TemplateName: "nosuch"})
		m.fails(err, bos.ErrInvalid, "no such template")
		_, err = m.CreateSession(m.ctx, "", bos.SessionCreate{Operation: "explode", TemplateName: "ok"})
		m.fails(err, bos.ErrInvalid, "unknown operation")
		_, err = m.CreateSession(m.ctx, "unknown", bos.SessionCreate{Operation: bos.OperationBoot, TemplateName: "ok"})
		m.fails(err, bos.ErrInvalid, "unknown tenant")
		_, err = m.GetSession(m.ctx, system("nosuch"))
		m.fails(err, bos.ErrNotFound, "get")
		_, err = m.GetSession(m.ctx, owned("s1"))
		m.fails(err, bos.ErrNotFound, "get of somebody else's")
		_, err = m.PatchSession(m.ctx, system("nosuch"), bos.SessionPatch{})
		m.fails(err, bos.ErrNotFound, "patch")
		_, err = m.PatchSession(m.ctx, system("s1"), bos.SessionPatch{Status: &bos.SessionStatusPatch{Status: new(bos.SessionState("bogus"))}})
		m.fails(err, bos.ErrInvalid, "unknown state")
		_, err = m.SessionStatus(m.ctx, system("nosuch"))
		m.fails(err, bos.ErrNotFound, "status")
		_, err = m.SaveSessionStatus(m.ctx, system("nosuch"))
		m.fails(err, bos.ErrNotFound, "save status")
	}},
	{"session filters", func(m *methods) {
		m.session("", "s1")
		m.session("", "s2")
		m.session("ten1", "s1")
		m.complete(system("s2"))
		m.complete(owned("s1"))
		for _, tt := range []struct {
			what string
			f    bos.SessionFilter
			want []string
		}{
			{"all", bos.SessionFilter{}, []string{"s1", "s1 (tenant ten1)", "s2"}},
			{"tenant", bos.SessionFilter{Tenant: "ten1"}, []string{"s1 (tenant ten1)"}},
			{"state", bos.SessionFilter{Status: bos.SessionComplete}, []string{"s1 (tenant ten1)", "s2"}},
			{"old", bos.SessionFilter{MinAge: new(time.Hour)}, nil},
			{"young", bos.SessionFilter{MaxAge: new(time.Hour), Status: bos.SessionPending}, []string{"s1"}},
		} {
			ss, err := m.ListSessions(m.ctx, tt.f)
			m.ok(err)
			same(m, tt.what, sessionNames(ss), tt.want)
		}
		_, err := m.ListSessions(m.ctx, bos.SessionFilter{Status: "bogus"})
		m.fails(err, bos.ErrInvalid, "unknown state")
		m.ok(m.DeleteSessions(m.ctx, bos.SessionFilter{Status: bos.SessionComplete, Tenant: "ten1"}))
		ss, err := m.ListSessions(m.ctx, bos.SessionFilter{})
		m.ok(err)
		same(m, "after the tenant's were deleted", sessionNames(ss), []string{"s1", "s2"})
		m.ok(m.DeleteSessions(m.ctx, bos.SessionFilter{}))
		ss, err = m.ListSessions(m.ctx, bos.SessionFilter{})
		m.ok(err)
		same(m, "after all were deleted", len(ss), 0)
	}},
	{"session status", func(m *methods) {
		m.session("", "s1")
		m.put(bos.Component{ID: "a", Session: new("s1"), Enabled: new(false)},
			bos.Component{ID: "b", Session: new("s1"), Error: new("E"), Status: &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)}})
		st, err := m.SessionStatus(m.ctx, system("s1"))
		m.ok(err)
		if st.Timing.StartTime == "" || st.Timing.EndTime != "" || st.Timing.Duration == "" {
			m.Errorf("timing %+v", st.Timing)
		}
		st.Timing = bos.SessionTiming{}
		want := bos.ExtendedStatus{
			Status: bos.SessionPending, ManagedComponentsCount: 2, Phases: bos.PhasePercentages{Complete: 100},
			PercentSuccessful: 50, PercentFailed: 50, ErrorSummary: map[string]bos.ErrorSummary{"E": {Count: 1, List: "b"}},
		}
		same(m, "computed", st, want)
		m.complete(system("s1"))
		_, err = m.SaveSessionStatus(m.ctx, system("s1"))
		m.ok(err)
		m.ok(m.DeleteComponent(m.ctx, "", "a"))
		st, err = m.SessionStatus(m.ctx, system("s1"))
		m.ok(err)
		want.Status, st.Timing = bos.SessionComplete, bos.SessionTiming{}
		same(m, "saved", st, want)
	}},
	{"component lists", func(m *methods) {
		m.put(
			bos.Component{ID: "c", Enabled: new(true)},
			bos.Component{ID: "a", Enabled: new(false), Session: new("s1")},
			bos.Component{ID: "b", StagedState: &bos.StagedState{Session: new("s2")}},
			bos.Component{ID: "d", Status: &bos.ComponentStatus{Phase: new(bos.PhasePoweringOn)}},
			bos.Component{ID: "x1000c0s0b0n0"},
		)
		m.lists("all", bos.ComponentFilter{}, "a", "b", "c", "d", "x1000c0s0b0n0")
		m.lists("some", bos.ComponentFilter{IDs: []bos.ComponentID{"d", "zz", "a", "a"}}, "a", "d")
		m.lists("none", bos.ComponentFilter{IDs: []bos.ComponentID{}})
		m.lists("after b", bos.ComponentFilter{StartAfter: "b"}, "c", "d", "x1000c0s0b0n0")
		m.lists("two after a", bos.ComponentFilter{StartAfter: "a", PageSize: 2}, "b", "c")
		m.lists("some after a", bos.ComponentFilter{IDs: []bos.ComponentID{"d", "a", "c"}, StartAfter: "a", PageSize: 1}, "c")
		m.lists("enabled", bos.ComponentFilter{Enabled: new(true)}, "c")
		m.lists("disabled", bos.ComponentFilter{Enabled: new(false)}, "a")
		m.lists("of a session", bos.ComponentFilter{Session: "s1"}, "a")
		m.lists("of a stage", bos.ComponentFilter{StagedSession: "s2"}, "b")
		m.lists("in a phase", bos.ComponentFilter{Phase: bos.PhasePoweringOn}, "d")
		m.lists("with a status", bos.ComponentFilter{Status: []bos.Status{bos.StatusOnHold, bos.StatusPowerOnPending}}, "c", "d")
		m.lists("of a tenant", bos.ComponentFilter{Tenant: "ten1"}, "x1000c0s0b0n0")
		m.lists("of a tenant, by id", bos.ComponentFilter{Tenant: "ten1", IDs: []bos.ComponentID{"a"}})
		_, err := all(m.ListComponents(m.ctx, bos.ComponentFilter{Tenant: "unknown"}))
		m.fails(err, bos.ErrInvalid, "unknown tenant")
		_, err = all(m.ListComponents(m.ctx, bos.ComponentFilter{Session: "-bad"}))
		m.fails(err, bos.ErrInvalid, "illegal session")
		for c, err := range m.ListComponents(m.ctx, bos.ComponentFilter{}) {
			m.ok(err)
			same(m, "the first of a list that is not read to its end", c.ID, "a")
			break
		}
	}},
	{"a list of many components by id", func(m *methods) {
		var (
			components []bos.Component
			ids        []bos.ComponentID
		)
		for i := range 1200 {
			id := bos.ComponentID(fmt.Sprintf("x%04dc0s0b0n0", i))
			components = append(components, bos.Component{ID: id})
			ids = append(ids, id)
		}
		m.put(components...)
		m.lists("many", bos.ComponentFilter{IDs: ids}, ids...)
	}},
	{"components", func(m *methods) {
		put, err := m.PutComponent(m.ctx, "x1", bos.Component{ID: "other", Enabled: new(true), Error: new("E")})
		m.ok(err)
		same(m, "put", put, bos.Component{ID: "x1", Enabled: new(true), Error: new("E"), Status: &bos.ComponentStatus{StatusOverride: new(bos.StatusOnHold)}})
		put.Status.Status = new(bos.StatusOnHold)
		same(m, "read", m.component("x1"), put)
		patched, err := m.PatchComponent(m.ctx, "", "x1", bos.ComponentPatch{Enabled: new(false)})
		m.ok(err)
		if patched.IsEnabled() || patched.ErrorText() != "E" {
			m.Errorf("patched %+v", patched)
		}
		many, err := m.PutComponents(m.ctx, []bos.Component{{ID: "b"}, {ID: "a"}, {ID: "b", Error: new("last")}})
		m.ok(err)
		same(m, "put many", many, []bos.Component{{ID: "b", Error: new("last")}, {ID: "a"}})
		many, err = m.PutComponents(m.ctx, nil)
		m.ok(err)
		same(m, "put none", many, nil)
		m.ok(m.DeleteComponent(m.ctx, "", "x1"))
		m.fails(m.DeleteComponent(m.ctx, "", "x1"), bos.ErrNotFound, "delete again")
		_, err = m.GetComponent(m.ctx, "", "x1")
		m.fails(err, bos.ErrNotFound, "get")
		same(m, "text", err.Error(), "Component 'x1' does not exist")
	}},
	{"components that are refused", func(m *methods) {
		m.put(bos.Component{ID: "x1", Enabled: new(true), LastAction: &bos.LastAction{Action: new(bos.ActionSessionSetup)}}, bos.Component{ID: "x1000c0s0b0n0"})
		_, err := m.PutComponent(m.ctx, "x1", bos.Component{})
		m.fails(err, bos.ErrInvalid, "empty")
		_, err = m.PutComponent(m.ctx, "x1", m.component("x1"))
		m.fails(err, bos.ErrInvalid, "as it was read")
		_, err = m.PutComponent(m.ctx, "x1", bos.Component{Session: new("-bad")})
		m.fails(err, bos.ErrInvalid, "illegal session")
		_, err = m.PutComponents(m.ctx, []bos.Component{{Enabled: new(true)}})
		m.fails(err, bos.ErrInvalid, "without an id")
		_, err = m.PatchComponent(m.ctx, "", "nosuch", bos.ComponentPatch{Error: new("")})
		m.fails(err, bos.ErrNotFound, "patch")
		_, err = m.PatchComponent(m.ctx, "ten1", "x1", bos.ComponentPatch{Error: new("")})
		m.fails(err, bos.ErrNotFound, "patch of somebody else's")
		_, err = m.PatchComponent(m.ctx, "unknown", "x1", bos.ComponentPatch{Error: new("")})
		m.fails(err, bos.ErrInvalid, "patch of an unknown tenant")
		_, err = m.PatchComponent(m.ctx, "", "x1", bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken("t"))}})
		m.fails(err, bos.ErrConflict, "actual state while BOS acts")
		if answer, ok := errors.AsType[*bos.StatusError](err); !ok || answer.Title != bos.TitleActualState {
			m.Errorf("actual state while BOS acts: %#v, want the title %q", err, bos.TitleActualState)
		}
		_, err = m.GetComponent(m.ctx, "ten1", "x1000c0s0b0n0")
		m.ok(err)
	}},
	{"patches of many components", func(m *methods) {
		m.put(bos.Component{ID: "a"}, bos.Component{ID: "b"}, bos.Component{ID: "x1000c0s0b0n0"})
		list := []bos.ComponentPatch{{ID: "b", Error: new("first")}, {ID: "zz", Error: new("E")}, {ID: "a", Error: new("E")}, {ID: "b", Error: new("last")}}
		_, err := m.PatchComponents(m.ctx, "", list, false)
		m.fails(err, bos.ErrNotFound, "with an unknown id")
		same(m, "after that", m.component("a").Error, nil)
		stored, err := m.PatchComponents(m.ctx, "", list, true)
		m.ok(err)
		same(m, "with an unknown id skipped", stored, []bos.Component{{ID: "b", Error: new("last")}, {ID: "a", Error: new("E")}})
		stored, err = m.PatchComponents(m.ctx, "ten1", []bos.ComponentPatch{{ID: "a", Error: new("T")}, {ID: "x1000c0s0b0n0", Error: new("T")}}, true)
		m.ok(err)
		same(m, "of a tenant", stored, []bos.Component{{ID: "x1000c0s0b0n0", Error: new("T")}})
		stored, err = m.PatchComponents(m.ctx, "", nil, false)
		m.ok(err)
		same(m, "none", stored, nil)
		_, err = m.PatchComponents(m.ctx, "unknown", list, true)
		m.fails(err, bos.ErrInvalid, "unknown tenant")
		_, err = m.PatchComponents(m.ctx, "", []bos.ComponentPatch{{Error: new("E")}}, true)
		m.fails(err, bos.ErrInvalid, "without an id")
	}},
	{"one patch for many components", func(m *methods) {
		m.put(bos.Component{ID: "a", Session: new("s1")}, bos.Component{ID: "b", Session: new("s1")}, bos.Component{ID: "c"})
		patch := bos.ComponentPatch{ID: "zz", Error: new("E")}
		stored, err := m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"c", "a"}, Patch: patch})
		m.ok(err)
		same(m, "by id", stored, []bos.Component{{ID: "c", Error: new("E")}, {ID: "a", Session: new("s1"), Error: new("E")}})
		patch.Error = new("F")
		stored, err = m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{Session: "s1", Patch: patch})
		m.ok(err)
		same(m, "by session", stored, []bos.Component{{ID: "a", Session: new("s1"), Error: new("F")}, {ID: "b", Session: new("s1"), Error: new("F")}})
		_, err = m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"a", "zz"}, Patch: patch})
		m.fails(err, bos.ErrNotFound, "with an unknown id")
		stored, err = m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"a", "zz"}, SkipBadIDs: true, Patch: patch})
		m.ok(err)
		same(m, "with an unknown id skipped", len(stored), 1)
		_, err = m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{Patch: patch})
		m.fails(err, bos.ErrInvalid, "without a filter")
		_, err = m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"a"}, Session: "s1", Patch: patch})
		m.fails(err, bos.ErrInvalid, "with both filters")
		_, err = m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{IDs: []bos.ComponentID{"a"}})
		m.fails(err, bos.ErrInvalid, "with an empty patch")
	}},
	{"one patch for more components than a filter takes", func(m *methods) {
		var (
			components []bos.Component
			ids        []bos.ComponentID
		)
		for i := range 6000 {
			id := bos.ComponentID(fmt.Sprintf("x%04dc0s0b0n0", i))
			components = append(components, bos.Component{ID: id})
			ids = append(ids, id)
		}
		m.put(components...)
		stored, err := m.PatchComponentsWhere(m.ctx, bos.ComponentsPatch{IDs: ids, Patch: bos.ComponentPatch{Error: new("E")}})
		m.ok(err)
		same(m, "number patched", len(stored), len(ids))
	}},
	{"boot artifacts and reports", func(m *methods) {
		m.put(bos.Component{ID: "x1", Enabled: new(false)})
		m.ok(m.PutBootArtifacts(m.ctx, "tok 1 ü", artifacts(1)))
		m.ok(m.PutBootArtifacts(m.ctx, "tok 1 ü", artifacts(1)))
		m.fails(m.PutBootArtifacts(m.ctx, "tok 1 ü", artifacts(2)), bos.ErrConflict, "other artifacts")
		removed, err := m.PruneBootArtifacts(m.ctx, bos.MinTokenRetention)
		m.ok(err)
		same(m, "removed while it is new", removed, 0)
		_, err = m.PruneBootArtifacts(m.ctx, bos.MinTokenRetention-time.Second)
		m.fails(err, bos.ErrInvalid, "pruning too soon")
		_, err = m.PruneBootArtifacts(m.ctx, 1<<63-1)
		m.ok(err)
		_, err = m.PatchComponent(m.ctx, "", "x1", bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken("tok 1 ü"))}})
		m.ok(err)
		c := m.component("x1")
		same(m, "reported", c.ActualArtifacts(), artifacts(1))
	}},
	{"stages", func(m *methods) {
		m.session("", "st")
		m.put(
			bos.Component{ID: "a", StagedState: &bos.StagedState{Session: new("st"), Configuration: new("c"), BootArtifacts: artifacts(1).Fields()}},
			bos.Component{ID: "b", StagedState: &bos.StagedState{Session: new("gone")}},
			bos.Component{ID: "c"},
		)
		result, err := m.ApplyStaged(m.ctx, "", []bos.ComponentID{"a", "b", "c", "zz"})
		m.ok(err)
		same(m, "result", result, bos.ApplyStagedResult{
			Succeeded: []bos.ComponentID{"a"}, Failed: []bos.ComponentID{"b"}, Ignored: []bos.ComponentID{"c", "zz"},
		})
		a := m.component("a")
		same(m, "desired", a.DesiredArtifacts(), artifacts(1))
		result, err = m.ApplyStaged(m.ctx, "", nil)
		m.ok(err)
		same(m, "nothing", result, bos.ApplyStagedResult{})
		_, err = m.ApplyStaged(m.ctx, "unknown", []bos.ComponentID{"a"})
		m.fails(err, bos.ErrInvalid, "unknown tenant")
	}},
	{"creating components", func(m *methods) {
		m.put(bos.Component{ID: "b", Error: new("mine")})
		ids, err := m.CreateComponents(m.ctx, []bos.Component{{ID: "c", Enabled: new(false)}, {ID: "b", Enabled: new(false)}, {ID: "a", Enabled: new(false)}})
		m.ok(err)
		same(m, "created", ids, []bos.ComponentID{"c", "a"})
		same(m, "the other", bos.Value(m.component("b").Error), "mine")
		ids, err = m.CreateComponents(m.ctx, nil)
		m.ok(err)
		same(m, "nothing", ids, nil)
		_, err = m.CreateComponents(m.ctx, []bos.Component{{Enabled: new(true)}})
		m.fails(err, bos.ErrInvalid, "without an id")
	}},
	{"guarded patches", func(m *methods) {
		m.put(
			bos.Component{ID: "a", Session: new("s1"), DesiredState: nil},
			bos.Component{ID: "b", Session: new("s1")},
			bos.Component{ID: "c", Session: new("s1")},
			bos.Component{ID: "d", ActualState: &bos.ActualState{BootArtifacts: bos.BootArtifacts{Kernel: "k"}.Fields()}},
			bos.Component{ID: "e", ActualState: &bos.ActualState{BootArtifacts: bos.BootArtifacts{Kernel: "k"}.Fields()}},
		)
		read, reported := m.component("b"), m.component("d")
		_, err := m.PatchComponent(m.ctx, "", "b", bos.ComponentPatch{Session: new("s2")})
		m.ok(err)
		patch := bos.ComponentPatch{Error: new("E")}
		result, err := m.PatchGuarded(m.ctx, bos.GuardedPatches{Patches: []bos.GuardedPatch{
			{ID: "a", If: &bos.Guard{Session: new("s1"), BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(""), Reported: new(bos.Timestamp(""))}, Patch: patch},
			{ID: "b", If: bos.GuardOf(&read), Patch: patch},
			{ID: "c", Patch: patch},
			{ID: "d", If: &bos.Guard{Reported: new(reported.ReportTime())}, Patch: patch},
			{ID: "e", If: &bos.Guard{Reported: new(bos.Timestamp(""))}, Patch: patch},
			{ID: "zz", If: &bos.Guard{Session: new("s1")}, Patch: patch},
		}})
		m.ok(err)
		same(m, "result", result, bos.GuardedResult{
			Written: []bos.ComponentID{"a", "c", "d"}, Stale: []bos.ComponentID{"b", "e"}, Missing: []bos.ComponentID{"zz"},
		})
		m.put(
			bos.Component{ID: "f", Status: &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)}},
			bos.Component{ID: "g", LastAction: &bos.LastAction{Action: new(bos.ActionPoweringOn)}},
		)
		for i, g := range []struct {
			bos.GuardedPatch
			holds bool
		}{
			{bos.GuardedPatch{ID: "f", If: &bos.Guard{StatusOverride: new(bos.StatusFailed)}}, true},
			{bos.GuardedPatch{ID: "f", If: &bos.Guard{StatusOverride: new(bos.Status(""))}}, false},
			{bos.GuardedPatch{ID: "f", If: &bos.Guard{Action: new(bos.Action(""))}}, true},
			{bos.GuardedPatch{ID: "g", If: &bos.Guard{StatusOverride: new(bos.Status(""))}}, true},
			{bos.GuardedPatch{ID: "g", If: &bos.Guard{Action: new(bos.ActionPoweringOn)}}, true},
			{bos.GuardedPatch{ID: "g", If: &bos.Guard{Action: new(bos.ActionPoweringOffGraceful)}}, false},
			{bos.GuardedPatch{ID: "g", If: &bos.Guard{Action: new(bos.Action(""))}}, false},
		} {
			g.Patch = bos.ComponentPatch{Error: new(fmt.Sprint(i))}
			result, err := m.PatchGuarded(m.ctx, bos.GuardedPatches{Patches: []bos.GuardedPatch{g.GuardedPatch}})
			m.ok(err)
			same(m, fmt.Sprintf("guard %d holds", i), len(result.Written) == 1, g.holds)
			same(m, fmt.Sprintf("guard %d is stale", i), len(result.Stale) == 1, !g.holds)
		}
		for id, want := range map[bos.ComponentID]string{"a": "E", "b": "", "c": "E", "d": "E", "e": ""} {
			same(m, "error of "+string(id), bos.Value(m.component(id).Error), want)
		}
		_, err = m.PatchGuarded(m.ctx, bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: "a", Patch: bos.ComponentPatch{Session: new("-bad")}}}})
		m.fails(err, bos.ErrInvalid, "illegal patch")
	}},
	{"sessions of one name", func(m *methods) {
		m.session("", "s1")
		m.session("ten1", "s1")
		m.put(bos.Component{ID: "a"}, bos.Component{ID: "b"}, bos.Component{ID: "c"}, bos.Component{ID: "d", Session: new("s1")})
		for id, tenant := range map[bos.ComponentID]string{"a": "ten1", "b": "", "c": "ten1"} {
			_, err := m.PatchGuarded(bos.WithSessionTenant(m.ctx, tenant), bos.GuardedPatches{Patches: []bos.GuardedPatch{
				{ID: id, Patch: bos.ComponentPatch{Session: new("s1"), Enabled: new(true)}},
			}})
			m.ok(err)
		}
		all := bos.ComponentFilter{Session: "s1"}
		m.lists("nobody's in particular", all, "a", "b", "c", "d")
		ctx := m.ctx
		m.ctx = bos.WithSessionTenant(ctx, "")
		m.lists("the system's, or nobody knows", all, "b", "d")
		m.lists("the first of the system's", bos.ComponentFilter{Session: "s1", PageSize: 1}, "b")
		m.lists("the next of the system's", bos.ComponentFilter{Session: "s1", PageSize: 1, StartAfter: "b"}, "d")
		m.lists("the system's enabled ones", bos.ComponentFilter{Session: "s1", Enabled: new(true)}, "b")
		m.ctx = bos.WithSessionTenant(ctx, "ten1")
		m.lists("the tenant's, or nobody knows", all, "a", "c", "d")
		m.lists("a filter that names no session", bos.ComponentFilter{Enabled: new(true)}, "a", "b", "c")
	}},
	{"staged sessions of one name", func(m *methods) {
		m.session("", "s1")
		m.session("ten1", "s1")
		m.put(bos.Component{ID: "a"}, bos.Component{ID: "b"}, bos.Component{ID: "c", StagedState: &bos.StagedState{Session: new("s1")}}, bos.Component{ID: "d"})
		stage := bos.ComponentPatch{StagedState: &bos.StagedState{Session: new("s1")}}
		_, err := m.PatchGuarded(bos.WithSessionTenant(m.ctx, "ten1"), bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: "a", Patch: stage}}})
		m.ok(err)
		_, err = m.PatchGuarded(bos.WithSessionTenant(m.ctx, ""), bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: "b", Patch: stage}}})
		m.ok(err)
		stage.ID = "d"
		_, err = m.PatchComponents(bos.WithSessionTenant(m.ctx, "ten1"), "", []bos.ComponentPatch{stage}, false)
		m.ok(err)
		all := bos.ComponentFilter{StagedSession: "s1"}
		m.lists("nobody's in particular", all, "a", "b", "c", "d")
		st, err := m.SessionStatus(m.ctx, bos.TenantKey{Name: "s1"})
		m.ok(err)
		same(m, "staged for the system's", st.ManagedComponentsCount, 2)
		m.ctx = bos.WithSessionTenant(m.ctx, "")
		m.lists("the system's, or nobody knows", all, "b", "c")
		m.lists("the first of the system's", bos.ComponentFilter{StagedSession: "s1", PageSize: 1}, "b")

		// The name comes back: what the old session has staged is not for the new one.
		m.ok(m.DeleteSession(m.ctx, bos.TenantKey{Name: "s1"}))
		m.session("", "s1")
		m.lists("the new one's", all, "c")
	}},
	{"leases", func(m *methods) {
		lease, err := m.AcquireLease(m.ctx, "power-on", "pod-1", 30*time.Second)
		m.ok(err)
		if lease.Token <= 0 || lease.ExpiresIn <= 20*time.Second || lease.ExpiresIn > 30*time.Second {
			m.Errorf("lease %+v", lease)
		}
		again, err := m.AcquireLease(m.ctx, "power-on", "pod-1", time.Minute)
		m.ok(err)
		same(m, "token after renewing", again.Token, lease.Token)
		_, err = m.AcquireLease(m.ctx, "power-on", "pod-2", 30*time.Second)
		m.fails(err, bos.ErrConflict, "held by another")
		if !strings.Contains(err.Error(), "pod-1") {
			m.Errorf("error %q does not name the holder", err)
		}
		other, err := m.AcquireLease(m.ctx, "status", "pod-2", 30*time.Second)
		m.ok(err)

		m.put(bos.Component{ID: "a"})
		write := func(operator string, token int64) error {
			_, err := m.PatchGuarded(bos.WithWriter(m.ctx, operator), bos.GuardedPatches{
				Lease: token, Patches: []bos.GuardedPatch{{ID: "a", Patch: bos.ComponentPatch{Error: new(operator)}}},
			})
			return err
		}
		m.ok(write("power-on", lease.Token))
		m.fails(write("power-on", lease.Token+1), bos.ErrConflict, "another token")
		m.fails(write("discovery", other.Token), bos.ErrConflict, "an operator without a lease")

		m.ok(m.ReleaseLease(m.ctx, "power-on", "pod-2")) // not its holder: nothing happens
		m.ok(write("power-on", lease.Token))
		m.ok(m.ReleaseLease(m.ctx, "power-on", "pod-1"))
		m.ok(m.ReleaseLease(m.ctx, "power-on", "pod-1"))
		next, err := m.AcquireLease(m.ctx, "power-on", "pod-2", 30*time.Second)
		m.ok(err)
		if next.Token <= lease.Token {
			m.Errorf("token %d after %d: it must grow", next.Token, lease.Token)
		}
		m.fails(write("power-on", lease.Token), bos.ErrConflict, "an old token")
		same(m, "last writer", bos.Value(m.component("a").Error), "power-on")

		_, err = m.AcquireLease(m.ctx, "power-on", "", 30*time.Second)
		m.fails(err, bos.ErrInvalid, "no holder")
		_, err = m.AcquireLease(m.ctx, "power-on", "pod-1", time.Hour)
		m.fails(err, bos.ErrInvalid, "too long")
		_, err = m.AcquireLease(m.ctx, "-bad", "pod-1", 30*time.Second)
		m.fails(err, bos.ErrInvalid, "illegal operator")
	}},
	{"power transitions", func(m *methods) {
		transition := func(id string) bos.PowerTransition {
			return bos.PowerTransition{
				ID: id, Service: "pcs " + id, Operation: "Soft-Off", Operator: "power-off-graceful", Accepted: 1767225600123,
				Components: []bos.ComponentID{"x1", "x2"},
			}
		}
		list := func(what string, ids []string, want ...bos.PowerTransition) {
			m.Helper()
			got, err := m.PowerTransitions(m.ctx, ids)
			m.ok(err)
			same(m, what, got, want)
		}
		t1, t2, t3 := transition("t1"), transition("t2"), transition("t3")
		t2.Service = ""
		list("none yet", nil)
		for _, t := range []bos.PowerTransition{t3, t1, t2} {
			m.ok(m.PutPowerTransition(m.ctx, t))
		}
		t3.Aborted = true
		m.ok(m.PutPowerTransition(m.ctx, t3))
		list("all", nil, t1, t2, t3)
		list("some", []string{"t3", "nosuch", "t1"}, t1, t3)
		list("of no ids", []string{})
		m.ok(m.DeletePowerTransition(m.ctx, "t1"))
		m.ok(m.DeletePowerTransition(m.ctx, "t1"))
		list("after a deletion", nil, t2, t3)
		for what, change := range map[string]func(t *bos.PowerTransition){
			"illegal id":        func(t *bos.PowerTransition) { t.ID = "-t" },
			"unknown operation": func(t *bos.PowerTransition) { t.Operation = "on" },
			"no operator":       func(t *bos.PowerTransition) { t.Operator = "" },
			"no components":     func(t *bos.PowerTransition) { t.Components = nil },
			"empty xname":       func(t *bos.PowerTransition) { t.Components = []bos.ComponentID{""} },
			"too many":          func(t *bos.PowerTransition) { t.Components = slices.Repeat(t.Components, 1251) },
			"before 1970":       func(t *bos.PowerTransition) { t.Accepted = -1 },
			"long service id":   func(t *bos.PowerTransition) { t.Service = strings.Repeat("x", 4096) },
		} {
			t := transition("t4")
			change(&t)
			m.fails(m.PutPowerTransition(m.ctx, t), bos.ErrInvalid, what)
		}
		list("after what was refused", nil, t2, t3)
	}},
	{"changes", func(m *methods) {
		m.put(bos.Component{ID: "a"}, bos.Component{ID: "b"}, bos.Component{ID: "x1000c0s0b0n0"})
		place := m.firstChange(bos.ChangeFilter{Kinds: []bos.ChangeKind{bos.ChangeComponent}, IDs: []string{"a"}}, "a").Cursor

		patch := func(operator string, id bos.ComponentID, p bos.ComponentPatch) {
			m.Helper()
			_, err := m.PatchComponent(bos.WithWriter(m.ctx, operator), "", id, p)
			m.ok(err)
		}
		patch("status", "b", bos.ComponentPatch{Status: &bos.ComponentStatus{Phase: new(bos.PhasePoweringOn)}})
		patch("", "x1000c0s0b0n0", bos.ComponentPatch{Session: new("s1")})
		_, err := m.UpdateOptions(m.ctx, bos.OptionsPatch{PollingFrequency: new(20)})
		m.ok(err)
		m.session("ten1", "s1")
		m.ok(m.DeleteComponent(m.ctx, "", "b"))

		m.follows("all", bos.ChangeFilter{Since: place}, "component b by status [status.phase] power_on_pending",
			"component x1000c0s0b0n0 by  [session] stable", "options", "template ok of ten1", "session s1 of ten1 pending", "component b deleted")
		m.follows("of a component", bos.ChangeFilter{Since: place, IDs: []string{"b"}}, "component b by status [status.phase] power_on_pending", "component b deleted")
		m.follows("of kinds", bos.ChangeFilter{Since: place, Kinds: []bos.ChangeKind{bos.ChangeOptions, bos.ChangeSession}}, "options", "session s1 of ten1 pending")
		m.follows("of a session", bos.ChangeFilter{Since: place, Session: "s1"}, "component x1000c0s0b0n0 by  [session] stable", "session s1 of ten1 pending")
		m.follows("of a tenant", bos.ChangeFilter{Since: place, Tenant: "ten1"},
			"component x1000c0s0b0n0 by  [session] stable", "options", "template ok of ten1", "session s1 of ten1 pending")
		m.follows("from an unknown place", bos.ChangeFilter{Since: bos.Cursor{Epoch: "before", Revision: 1}}, "resync")
	}},
	{"changes that are refused", func(m *methods) {
		_, err := all(m.Changes(m.ctx, bos.ChangeFilter{Tenant: "unknown"}))
		m.fails(err, bos.ErrInvalid, "unknown tenant")
	}},
	{"a context that has ended", func(m *methods) {
		ctx, cancel := context.WithCancel(m.ctx)
		cancel()
		if _, err := m.Options(ctx); err == nil {
			m.Error("no error")
		}
		for _, err := range m.Changes(ctx, bos.ChangeFilter{}) {
			if err != nil {
				m.Errorf("changes: error %v, want the end", err)
			}
		}
	}},
}

// firstChange follows the changes from the present and writes to the component until it sees one of those writes.
func (m *methods) firstChange(f bos.ChangeFilter, id bos.ComponentID) bos.Change {
	m.Helper()
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	seen := make(chan bos.Change)
	go func() {
		defer close(seen)
		for change, err := range m.Changes(ctx, f) {
			if err != nil {
				return
			}
			select {
			case seen <- change:
			case <-ctx.Done():
				return
			}
		}
	}()
	for n := 0; ; n++ {
		_, err := m.PatchComponent(m.ctx, "", id, bos.ComponentPatch{RetryPolicy: new(n % 1000)})
		m.ok(err)
		select {
		case change, ok := <-seen:
			if !ok {
				m.Fatal("the changes end")
			}
			cancel()
			// Go on behind everything that was written meanwhile.
			last := change
			m.ok(m.drain(f, &last))
			return last
		case <-time.After(10 * time.Millisecond):
		case <-m.ctx.Done():
			m.Fatal("no change is seen")
		}
	}
}

// drain moves last to the latest change: the one that a write of now makes.
func (m *methods) drain(f bos.ChangeFilter, last *bos.Change) error {
	id := bos.ComponentID(last.ID)
	if _, err := m.PatchComponent(m.ctx, "", id, bos.ComponentPatch{Session: new("the-end")}); err != nil {
		return err
	}
	f.Since = last.Cursor
	for change, err := range m.Changes(m.ctx, f) {
		if err != nil {
			return err
		}
		*last = change
		if change.Session == "the-end" {
			return nil
		}
	}
	return context.Cause(m.ctx)
}

// follows asserts the next changes that match, as text.
func (m *methods) follows(what string, f bos.ChangeFilter, want ...string) {
	m.Helper()
	var got []string
	for c, err := range m.Changes(m.ctx, f) {
		m.ok(err)
		got = append(got, changeText(&c))
		if len(got) == len(want) {
			break
		}
	}
	same(m, "changes "+what, got, want)
}

func changeText(c *bos.Change) string {
	switch {
	case c.Deleted:
		return fmt.Sprintf("%s %s deleted", c.Kind, c.ID)
	case c.Kind == bos.ChangeComponent:
		return fmt.Sprintf("%s %s by %s %v %s", c.Kind, c.ID, c.Writer, c.Fields, c.Status)
	case c.Kind == bos.ChangeSession:
		return fmt.Sprintf("%s %s of %s %s", c.Kind, c.ID, c.Tenant, c.Status)
	case c.Kind == bos.ChangeTemplate:
		return fmt.Sprintf("%s %s of %s", c.Kind, c.ID, c.Tenant)
	}
	return string(c.Kind)
}
