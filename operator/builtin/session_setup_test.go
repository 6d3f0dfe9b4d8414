package builtin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/hsm/hsmtest"
)

// setupCase is a scenario of operators 9.6: a session "s1" that is set up in one pass.
type setupCase struct {
	name     string
	session  bos.Session                                  // Name is s1
	template func(t *bos.SessionTemplate, b *bos.BootSet) // changes the template of the fixture
	world    func(w *world)                               // changes anything else
	done     string                                       // the session runs with these
	fails    string                                       // or it fails with this in its error
	check    func(t *testing.T, w *world)
}

func nodes(ids ...string) func(*bos.SessionTemplate, *bos.BootSet) {
	return func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList = ids }
}

// params checks the kernel parameters of x1.
func params(want string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		c := w.getComponent("x1")
		if got := c.DesiredArtifacts().KernelParameters; got != want {
			t.Errorf("parameters\n got %q\nwant %q", got, want)
		}
	}
}

// config checks the configuration of x1.
func config(want string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		c := w.getComponent("x1")
		if got := c.DesiredConfiguration(); got != want {
			t.Errorf("configuration %q, want %q", got, want)
		}
	}
}

// brokenManifest makes the fixture's manifest the one that edit returns, given the artifacts by type.
func brokenManifest(edit func(artifacts map[string]string) string) func(*world) {
	return func(w *world) {
		artifacts := map[string]string{}
		for typ, name := range map[string]string{
			manifest.TypeKernel: "kernel", manifest.TypeInitrd: "initrd", manifest.TypeRootfs: "rootfs", manifest.TypeBootParameters: "boot_parameters",
		} {
			artifacts[typ] = fmt.Sprintf(`{"type":%q,"link":{"type":"s3","path":"%s%s","etag":"e-%s"}}`, typ, fixtureBase, name, name)
		}
		w.images.Put(fixtureBase+"manifest.json", edit(artifacts), "zz")
	}
}

func manifestOf(artifacts map[string]string) string {
	return `{"version":"1.0","artifacts":[` + strings.Join(slices.Sorted(maps.Values(artifacts)), ",") + `]}`
}

func without(typ string) func(*world) {
	return brokenManifest(func(artifacts map[string]string) string {
		delete(artifacts, typ)
		return manifestOf(artifacts)
	})
}

func TestOPSession(t *testing.T) {
	acted := &bos.LastAction{Action: new(bos.ActionSessionSetup), Failed: new(false)}
	// sent checks the one patch that was sent.
	sent := func(want bos.ComponentPatch) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			if diff := gocmp.Diff([]bos.GuardedPatch{{ID: want.ID, Patch: want}}, w.api.patches); diff != "" {
				t.Errorf("patches (-want +got)\n%s", diff)
			}
		}
	}
	cases := []setupCase{
		{
			name: "OP-090 boot", done: "x1",
			check: func(t *testing.T, w *world) {
				sent(bos.ComponentPatch{
					ID: "x1", Error: new(""), Session: new("s1"), Enabled: new(true), LastAction: acted,
					DesiredState: &bos.DesiredState{BootArtifacts: fixtureArtifacts.Fields(), Configuration: new("tcfg")},
				})(t, w)
				c := w.getComponent("x1")
				if got := c.ComputeStatus(); got != bos.StatusOnHold {
					t.Errorf("x1 is %s, want on_hold", got)
				}
				if got, want := w.api.writes(), []string{"PatchGuarded x1", "PatchSession s1 running"}; !slices.Equal(got, want) {
					t.Errorf("writes %q, want %q", got, want)
				}
			},
		},
		{
			name: "OP-091 reboot", session: bos.Session{Operation: bos.OperationReboot}, done: "x1",
			check: sent(bos.ComponentPatch{
				ID: "x1", Error: new(""), Session: new("s1"), Enabled: new(true), LastAction: acted, ActualState: emptyActualState(),
				DesiredState: &bos.DesiredState{BootArtifacts: fixtureArtifacts.Fields(), Configuration: new("tcfg")},
			}),
		},
		{
			name: "OP-092 shutdown", session: bos.Session{Operation: bos.OperationShutdown}, done: "x1",
			check: func(t *testing.T, w *world) {
				sent(bos.ComponentPatch{
					ID: "x1", Error: new(""), Session: new("s1"), Enabled: new(true), LastAction: acted,
					DesiredState: &bos.DesiredState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(""), BSSToken: new(bos.BSSToken(""))},
				})(t, w)
				if calls := w.images.Calls(); len(calls) > 0 {
					t.Errorf("a shutdown read %v", calls)
				}
			},
		},
		{
			name: "OP-093 staged boot", session: bos.Session{Stage: true}, done: "x1",
			check: func(t *testing.T, w *world) {
				sent(bos.ComponentPatch{
					ID: "x1", Error: new(""),
					StagedState: &bos.StagedState{BootArtifacts: fixtureArtifacts.Fields(), Configuration: new("tcfg"), Session: new("s1")},
				})(t, w)
				if c := w.getComponent("x1"); c.IsEnabled() || c.SessionName() != "" {
					t.Errorf("x1 is enabled %v, session %q", c.IsEnabled(), c.SessionName())
				}
			},
		},
		{
			name: "OP-094 staged shutdown", session: bos.Session{Stage: true, Operation: bos.OperationShutdown}, done: "x1",
			check: sent(bos.ComponentPatch{
				ID: "x1", Error: new(""),
				StagedState: &bos.StagedState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(""), Session: new("s1")},
			}),
		},
		{
			name: "OP-095 role", done: "x1,x5",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList, b.NodeRolesGroups = nil, []string{"Compute"} },
		},
		{
			name: "OP-096 role, disabled nodes included", session: bos.Session{IncludeDisabled: true}, done: "x1,x2,x5",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList, b.NodeRolesGroups = nil, []string{"Compute"} },
		},
		{
			name: "OP-097 role with subrole", done: "x4",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) {
				b.NodeList, b.NodeRolesGroups = nil, []string{"Application_UAN"}
			},
		},
		{
			name: "OP-098 groups, arm", done: "x3",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) {
				b.NodeList, b.NodeGroups, b.Arch = nil, []string{"g1", "g2"}, new(bos.ArchARM)
			},
		},
		{
			name: "OP-099 architecture unknown", done: "x4,x5",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) {
				b.NodeList, b.Arch = []string{"x4", "x5"}, new(bos.ArchUnknown)
			},
		},
		{name: "OP-100 locked", template: nodes("x1", "x4"), world: func(w *world) { w.hsm.Lock("x1") }, done: "x4"},
		{
			name: "OP-101 unknown group", fails: "No nodes were found to act upon.",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList, b.NodeGroups = nil, []string{"nope"} },
		},
		{
			name: "OP-101 unknown group beside a known one", done: "x1",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList, b.NodeGroups = nil, []string{"nope", "g1"} },
		},
		{name: "OP-104 empty element", session: bos.Session{Limit: "x1,"}, template: nodes("x1", "x4"), done: "x1"},
		{
			name: "OP-105 overlapping boot sets", done: "x1,x4",
			template: func(tpl *bos.SessionTemplate, b *bos.BootSet) {
				one, two := b.Clone(), b.Clone()
				one.NodeList, two.NodeList = []string{"x1"}, []string{"x1", "x4"}
				two.KernelParameters, two.CFS = new("loud"), &bos.CFSParameters{Configuration: new("zcfg")}
				tpl.BootSets = map[string]bos.BootSet{"zeta": two, "alpha": one}
			},
			check: func(t *testing.T, w *world) {
				config("zcfg")(t, w)
				if len(w.api.patches) != 2 {
					t.Errorf("%d patches, want one for each node", len(w.api.patches))
				}
			},
		},
		{
			name: "OP-106 not a component", template: nodes("x1", "x4"), done: "x4",
			world: func(w *world) { w.forget("x1") },
		},
		{
			name: "OP-107 no component at all", template: nodes("x1", "x4"), fails: "All nodes found to act upon do not exist as BOS components",
			world: func(w *world) { w.forget("x1", "x4") },
		},
		{
			name: "OP-108 template deleted", session: bos.Session{TemplateName: "gone"},
			fails: "Non-2XX response (404) to GET http://cray-bos/v2/sessiontemplates/gone",
		},
		{name: "OP-113 cfs switched off", done: "x1", check: config(""), template: func(tpl *bos.SessionTemplate, b *bos.BootSet) {
			tpl.EnableCFS, b.CFS = new(false), &bos.CFSParameters{Configuration: new("b")}
		}},
		{name: "OP-114 configuration of the boot set", done: "x1", check: config("b"), template: func(_ *bos.SessionTemplate, b *bos.BootSet) {
			b.CFS = &bos.CFSParameters{Configuration: new("b")}
		}},
		{
			name: "OP-115 no provider, no passthrough", done: "x1", check: params("a=1 b=2 c=3 quiet ip=dhcp bos_update_frequency=4h"),
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.RootfsProvider, b.RootfsProviderPassthrough = nil, nil },
		},
		{
			name: "OP-116 no provider, passthrough", done: "x1",
			check:    params("a=1 b=2 c=3 quiet ip=dhcp root=::" + fixturePT + " bos_update_frequency=4h"),
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.RootfsProvider = nil },
		},
		{
			name: "OP-117 removed provider", fails: "Unsupported rootfs_provider ('cpss3') specified in boot set",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.RootfsProvider = new("cpss3") },
		},
		{
			name: "OP-117 empty provider", fails: "Unsupported rootfs_provider ('') specified in boot set",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.RootfsProvider = new("") },
		},
		{
			name: "OP-118 sbps without passthrough", done: "x1",
			check: params("a=1 b=2 c=3 quiet ip=dhcp root=sbps-s3:" + fixtureBase + "rootfs:e-rootfs nmd_data=url=" + fixtureBase +
				"rootfs,etag=e-rootfs bos_update_frequency=4h"),
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.RootfsProviderPassthrough = nil },
		},
		{
			name: "OP-119 no image parameters", done: "x1", world: without(manifest.TypeBootParameters),
			check: params(strings.TrimPrefix(fixtureParams, "a=1 b=2 c=3 ")),
		},
		{name: "OP-120 no kernel", world: without(manifest.TypeKernel), fails: "kernel"},
		{
			name: "OP-120 no initrd", world: without(manifest.TypeInitrd),
			fails: "No artifact of type application/vnd.cray.image.initrd could be found in the image manifest.",
		},
		{name: "OP-120 no rootfs", world: without(manifest.TypeRootfs), fails: "rootfs"},
		{
			name: "OP-120 two kernels", fails: "Multiple application/vnd.cray.image.kernel artifacts found in the manifest.",
			world: brokenManifest(func(artifacts map[string]string) string {
				artifacts["again"] = artifacts[manifest.TypeKernel]
				return manifestOf(artifacts)
			}),
		},
		{
			name: "OP-121 manifest is a list", fails: "Manifest should be dict. Invalid data type: list",
			world: brokenManifest(func(map[string]string) string { return "[]" }),
		},
		{name: "OP-121 manifest is not json", fails: "JSON", world: brokenManifest(func(map[string]string) string { return "{" })},
		{
			name: "OP-121 manifest absent", fails: "Unable to read manifest file '" + fixtureBase + "manifest.json'.",
			world: func(w *world) { w.images.Remove(fixtureBase + "manifest.json") },
		},
		{
			name: "OP-121 manifest too big", fails: "1048577 bytes is too big for a manifest",
			world: brokenManifest(func(map[string]string) string { return strings.Repeat(" ", manifest.MaxSize+1) }),
		},
		{
			name: "OP-122 parameters object missing", fails: "Unable to download object " + fixtureBase + "boot_parameters.",
			world: func(w *world) { w.images.Remove(fixtureBase + "boot_parameters") },
		},
		{
			name: "OP-122 parameters not utf-8", fails: "UTF-8",
			world: func(w *world) { w.images.Put(fixtureBase+"boot_parameters", "a=\xff", "e") },
		},
		{
			name: "OP-123 rootfs without etag", fails: "etag",
			world: brokenManifest(func(artifacts map[string]string) string {
				artifacts[manifest.TypeRootfs] = strings.Replace(artifacts[manifest.TypeRootfs], `,"etag":"e-rootfs"`, "", 1)
				return manifestOf(artifacts)
			}),
		},
		{
			name: "OP-124 boot set type", fails: "No BootImageMetadata class for type http",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.Type = "http" },
		},
		{
			name: "OP-124 no boot set type", fails: "No path type set in boot set",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.Type = "" },
		},
		{
			name: "OP-124 no path", fails: "No path set in boot set",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.Path = "" },
		},
		{
			name: "OP-125 image of an empty boot set", fails: "No nodes were found to act upon.",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.Type, b.NodeList = "http", []string{"x3"} },
		},
		{
			name: "OP-126 nothing is locked", done: "x1", // the client makes an empty answer of old versions' 400
			check: func(t *testing.T, w *world) {
				if !slices.ContainsFunc(w.hsm.Calls(), func(c hsmtest.Call) bool { return c.Method == "LockedNodes" }) {
					t.Error("locks were not asked for")
				}
			},
		},
		{
			name: "OP-129 report frequency", done: "x1", check: params(strings.TrimSuffix(fixtureParams, "4h") + "2d"),
			world: func(w *world) { w.options(bos.OptionsPatch{ComponentActualStateTTL: new("2d")}) },
		},
		{name: "node unknown to hsm", template: nodes("x1", "x9"), done: "x1", world: func(w *world) { w.component(newlyDiscovered("x9")) }},
		{
			name: "empty group beside the one that is named", done: "x1", world: func(w *world) { w.hsm.SetGroup("empty") },
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList, b.NodeGroups = nil, []string{"empty", "g1"} },
		},
		{
			name: "limit over an empty group", session: bos.Session{Limit: "all,!empty"}, done: "x1",
			world: func(w *world) { w.hsm.SetGroup("empty") },
		},
		{
			name: "role wins over a partition and a group of its name", session: bos.Session{Limit: "Management"}, done: "x6",
			template: nodes("x1", "x6"),
			world: func(w *world) {
				w.hsm.SetGroup("Management", "x1")
				w.hsm.SetPartition("Management", "x1")
			},
		},
	}
	for _, limit := range []struct{ text, done string }{
		{"x1", "x1"},
		{"x1,x4", "x1,x4"},
		{"g2", "x4"},
		{"all,!x1", "x2,x4,x5"}, // x5 is new: operators Q-21
		{"*,&g2", "x4"},
		{"p1", "x1,x2"},
		{"Compute,!g1", "x2,x5"},
		{"all,&Compute,!x1", "x2,x5"},
		{"g1, g2", "x1"},
	} {
		cases = append(cases, setupCase{
			name: "OP-102 limit " + limit.text, session: bos.Session{Limit: limit.text, IncludeDisabled: true},
			template: nodes("x1", "x2", "x3", "x4", "x5"), done: limit.done,
		})
	}
	for _, limit := range []string{"!x1", "&g1", "g1,&g2", "nid1", " x1", "!all", ","} {
		cases = append(cases, setupCase{
			name: "OP-103 limit " + limit, session: bos.Session{Limit: limit, IncludeDisabled: true},
			template: nodes("x1", "x2", "x3", "x4", "x5"), fails: "No nodes were found to act upon.",
		})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.template != nil {
				w.template("t", c.template)
			}
			if c.world != nil {
				c.world(w)
			}
			c.session.Name = "s1"
			w.session(c.session)
			op := newSessionSetup(w.deps())
			w.pass(op)
			if c.fails != "" {
				w.wantFailed("", "s1", c.fails)
				if len(w.api.patches) > 0 && !strings.HasPrefix(c.name, "OP-107") {
					t.Errorf("a failed set-up wrote %d components", len(w.api.patches))
				}
			} else {
				w.wantRunning("", "s1", c.done)
			}
			if c.check != nil {
				c.check(t, w)
			}
			w.settled(op)
		})
	}
}

// forget deletes components from BOS.
func (w *world) forget(ids ...bos.ComponentID) {
	w.t.Helper()
	for _, id := range ids {
		if err := w.store.Components().Delete(w.t.Context(), id); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestOPSessionTenants(t *testing.T) {
	for _, c := range []struct {
		name     string
		template func(t *bos.SessionTemplate, b *bos.BootSet)
		owned    []bos.ComponentID
		known    bool
		limit    string
		done     string
		fails    string
	}{
		{name: "OP-109 own nodes", template: nodes("x1"), owned: []bos.ComponentID{"x1", "x2"}, known: true, done: "x1"},
		{
			name: "OP-110 a node of somebody else", template: nodes("x1", "x4"), owned: []bos.ComponentID{"x1"}, known: true,
			fails: "The session template includes nodes which do not exist or are not available to this tenant: x4",
		},
		{
			name: "OP-110 even where the limit excludes it", template: nodes("x1", "x4"), owned: []bos.ComponentID{"x1"}, known: true, limit: "x1",
			fails: "not available to this tenant: x4",
		},
		{
			name: "OP-111 members of a role are cut", owned: []bos.ComponentID{"x1"}, known: true, done: "x1",
			template: func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList, b.NodeRolesGroups = nil, []string{"Compute"} },
		},
		{name: "OP-112 unknown tenant", template: nodes("x1"), fails: "Data not found for tenant red"},
		{name: "a tenant without nodes", template: nodes("x1"), known: true, fails: "not available to this tenant: x1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.tenantTemplate("red", "t", c.template)
			if c.known {
				w.tenants.Set("red", c.owned...)
			}
			w.session(bos.Session{Name: "s1", Tenant: "red", Limit: c.limit})
			op := newSessionSetup(w.deps())
			w.pass(op)
			if c.fails != "" {
				w.wantFailed("red", "s1", c.fails)
			} else {
				w.wantRunning("red", "s1", c.done)
				if n := len(w.tenants.Calls()); n != 1 {
					t.Errorf("tenant looked up %d times, want once", n)
				}
			}
			w.settled(op)
		})
	}
}

func TestOPSessionErrorIsolation(t *testing.T) {
	t.Run("OP-127 components of one session cannot be written", func(t *testing.T) {
		w := newWorld(t)
		w.template("u", nodes("x4"))
		w.session(bos.Session{Name: "s1"})
		w.session(bos.Session{Name: "s2", TemplateName: "u"})
		w.api.before = failOn("PatchGuarded x1", errAway)
		op := newSessionSetup(w.deps())
		if err := w.run(op); !errors.Is(err, bos.ErrUnavailable) || !strings.Contains(err.Error(), "session s1") {
			t.Errorf("err = %v, want the outage with the session's name", err)
		}
		w.wantState("", "s1", bos.SessionPending)
		w.wantRunning("", "s2", "x4")

		w.api.before = nil
		w.pass(op) // still in its back-off
		w.wantState("", "s1", bos.SessionPending)
		w.sched.elapse()
		w.pass(op)
		w.wantRunning("", "s1", "x1")
		w.settled(op)
		if w.sched.retries() > 0 {
			t.Error("a session that runs waits for another try")
		}
	})
	t.Run("OP-128 inventory is read once for all sessions", func(t *testing.T) {
		w := newWorld(t)
		w.template("t", func(_ *bos.SessionTemplate, b *bos.BootSet) { b.NodeList, b.NodeGroups = nil, []string{"g1"} })
		w.session(bos.Session{Name: "s1"})
		w.session(bos.Session{Name: "s2", Limit: "p1"})
		w.pass(newSessionSetup(w.deps()))
		calls := map[string]int{}
		for _, c := range w.hsm.Calls() {
			calls[c.Method]++
		}
		want := map[string]int{"Groups": 1, "Partitions": 1, "RoleMembers": 1, "LockedNodes": 2, "Query": 2}
		if diff := gocmp.Diff(want, calls); diff != "" {
			t.Errorf("calls (-want +got)\n%s", diff)
		}
	})
}

// failOn fails the calls that begin with prefix.
func failOn(prefix string, err error) func(string) error {
	return func(call string) error {
		if strings.HasPrefix(call, prefix) {
			return err
		}
		return nil
	}
}

func TestOPSessionOutage(t *testing.T) {
	// away makes one service fail while on is true.
	outages := map[string]func(w *world, on *bool){
		"hsm": func(w *world, on *bool) { w.hsm.OnCall = func(hsmtest.Call) error { return away(on) } },
		"s3":  func(w *world, on *bool) { w.images.OnCall = func(manifesttest.Call) error { return away(on) } },
		"bos template": func(w *world, on *bool) {
			w.api.before = func(call string) error {
				if strings.HasPrefix(call, "GetTemplate") {
					return away(on)
				}
				return nil
			}
		},
		"bos session": func(w *world, on *bool) {
			w.api.before = func(call string) error {
				if strings.HasPrefix(call, "PatchSession") {
					return away(on)
				}
				return nil
			}
		},
		"a bug": func(w *world, on *bool) {
			w.hsm.OnCall = func(hsmtest.Call) error {
				if *on {
					return errors.New("something without a class")
				}
				return nil
			}
		},
	}
	for service, spoil := range outages {
		t.Run("OP-130 "+service+" returns", func(t *testing.T) {
			w, on := newWorld(t), true
			spoil(w, &on)
			w.session(bos.Session{Name: "s1"})
			op := newSessionSetup(w.deps())
			if err := w.run(op); err == nil {
				t.Error("the outage is no error")
			}
			w.wantState("", "s1", bos.SessionPending)
			on = false
			w.now = w.now.Add(20 * time.Minute)
			w.sched.elapse()
			w.pass(op)
			w.wantRunning("", "s1", "x1")
			w.settled(op)
		})
	}
	t.Run("OP-130 outage lasts too long", func(t *testing.T) {
		w := newWorld(t)
		w.hsm.OnCall = func(hsmtest.Call) error { return errAway }
		w.session(bos.Session{Name: "s1"})
		op := newSessionSetup(w.deps())
		w.now = w.now.Add(30 * time.Minute)
		if err := w.run(op); err == nil {
			t.Error("the outage is no error")
		}
		w.wantState("", "s1", bos.SessionPending) // waits are compared strictly
		w.now = w.now.Add(time.Second)
		w.sched.elapse()
		w.pass(op)
		w.wantFailed("", "s1", errAway.Error())
		w.settled(op)
	})
	t.Run("OP-130 tenants return", func(t *testing.T) {
		w, on := newWorld(t), true
		w.tenants.Set("red", "x1")
		w.tenants.OnCall = func(string) error { return away(&on) }
		w.tenantTemplate("red", "t", nodes("x1"))
		w.session(bos.Session{Name: "s1", Tenant: "red"})
		op := newSessionSetup(w.deps())
		if err := w.run(op); err == nil {
			t.Error("the outage is no error")
		}
		w.wantState("red", "s1", bos.SessionPending)
		on = false
		w.sched.elapse()
		w.pass(op)
		w.wantRunning("red", "s1", "x1")
	})
	t.Run("what a service refuses fails at once", func(t *testing.T) {
		for _, cause := range []error{bos.ErrInvalid, bos.ErrForbidden, bos.ErrNotFound} {
			w := newWorld(t)
			w.hsm.OnCall = func(hsmtest.Call) error { return fmt.Errorf("hsm says no: %w", cause) }
			w.session(bos.Session{Name: "s1"})
			w.pass(newSessionSetup(w.deps()))
			w.wantFailed("", "s1", "hsm says no")
		}
	})
	t.Run("a lost lease is not the session's fault", func(t *testing.T) {
		w := newWorld(t)
		w.session(bos.Session{Name: "s1"})
		w.now = w.now.Add(24 * time.Hour)
		w.api.before = failOn("PatchGuarded", bos.ErrConflict)
		if err := w.run(newSessionSetup(w.deps())); !errors.Is(err, bos.ErrConflict) {
			t.Errorf("err = %v, want ErrConflict", err)
		}
		w.wantState("", "s1", bos.SessionPending)
	})
	t.Run("a stopped process fails no session", func(t *testing.T) {
		w := newWorld(t)
		w.session(bos.Session{Name: "s1"})
		w.now = w.now.Add(24 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		w.hsm.OnCall = func(hsmtest.Call) error { cancel(); return ctx.Err() }
		if err := newSessionSetup(w.deps()).Run(ctx, w.tick()); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v, want context.Canceled", err)
		}
		w.wantState("", "s1", bos.SessionPending)
	})
}

func away(on *bool) error {
	if *on {
		return errAway
	}
	return nil
}

// TestSessionSetupDeletedMeanwhile deletes the session while its nodes are looked up: no node may be started for it.
func TestSessionSetupDeletedMeanwhile(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		t.Run(fmt.Sprintf("replaced %v", replaced), func(t *testing.T) {
			w := newWorld(t)
			w.session(bos.Session{Name: "s1"})
			w.hsm.OnCall = func(c hsmtest.Call) error {
				if c.Method != "Query" {
					return nil
				}
				if err := w.service.DeleteSession(t.Context(), bos.TenantKey{Name: "s1"}); err != nil {
					t.Error(err)
				}
				if replaced {
					w.session(bos.Session{Name: "s1", Status: &bos.SessionStatus{StartTime: bos.Stamp(w.now.Add(time.Second)), Status: bos.SessionPending}})
				}
				return nil
			}
			op := newSessionSetup(w.deps())
			w.pass(op)
			if got := w.api.writes(); len(got) > 0 {
				t.Errorf("wrote %q", got)
			}
		})
	}
}

// TestSessionSetupCrash ends the process at each call of BOS in turn, before and after it is done, and begins anew: the
// session runs with all its nodes, and a node that has moved on since it was written is not thrown back.
func TestSessionSetupCrash(t *testing.T) {
	errCrash := errors.New("killed")
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newWorld(t)
			w.template("t", nodes("x1", "x4", "x5"))
			w.options(bos.OptionsPatch{MaxComponentBatchSize: new(1)})
			w.session(bos.Session{Name: "s1", Operation: bos.OperationReboot})
			ctx, kill := context.WithCancel(t.Context())
			calls, crashed := 0, ""
			crash := func(call string) error {
				if calls++; calls == at {
					crashed = call
					kill()
				}
				if crashed != "" {
					return errCrash // the dead make no calls
				}
				return nil
			}
			if w.api.before = crash; done {
				w.api.before = func(string) error {
					if crashed != "" {
						return errCrash
					}
					return nil
				}
				w.api.after = crash
			}
			if err := newSessionSetup(w.deps()).Run(bos.WithWriter(ctx, "session-setup"), w.tick()); crashed != "" && err == nil {
				t.Errorf("crash at %s: no error", crashed)
			}
			kill()
			if crashed == "" {
				if at < 6 {
					t.Fatalf("only %d calls were made", at-1)
				}
				break
			}
			// Meanwhile the nodes that were written come up.
			w.api.before, w.api.after = nil, nil
			w.now = w.now.Add(time.Minute)
			started := w.bootStarted(t)
			w.sched = newFakeScheduler()
			op := newSessionSetup(w.deps())
			w.pass(op)
			w.wantRunning("", "s1", "x1,x4,x5")
			for _, id := range []bos.ComponentID{"x1", "x4", "x5"} {
				c := w.getComponent(id)
				if c.SessionName() != "s1" || !c.DesiredArtifacts().Same(fixtureArtifacts) {
					t.Errorf("crash at %s: %s has session %q", crashed, id, c.SessionName())
				}
				if slices.Contains(started, id) && (c.ActualArtifacts().Empty() || c.IsEnabled()) {
					t.Errorf("crash at %s (done: %v): %s is rebooted twice", crashed, done, id)
				}
			}
			w.settled(op)
		}
	}
}

// bootStarted gives the nodes that session s1 has reached what they boot, as done, and returns them.
func (w *world) bootStarted(t *testing.T) []bos.ComponentID {
	t.Helper()
	var ids []bos.ComponentID
	for c, err := range w.service.ListComponents(t.Context(), bos.ComponentFilter{Session: "s1"}) {
		if err != nil {
			t.Fatal(err)
		}
		c.ActualState = &bos.ActualState{BootArtifacts: c.DesiredArtifacts().Fields()}
		c.Enabled, c.Status = new(false), nil
		w.component(c)
		ids = append(ids, c.ID)
	}
	return ids
}

// TestSessionSetupCrashOfFailure ends the process before and after a session is failed.
func TestSessionSetupCrashOfFailure(t *testing.T) {
	for _, done := range []bool{false, true} {
		w := newWorld(t)
		w.session(bos.Session{Name: "s1", Limit: "nothing"})
		if w.api.before = failOn("PatchSession", errAway); done {
			w.api.before, w.api.after = failOn("SaveSessionStatus", errAway), failOn("PatchSession", errAway)
		}
		if err := w.run(newSessionSetup(w.deps())); err == nil {
			t.Error("no error")
		}
		w.api.before, w.api.after = nil, nil
		w.sched = newFakeScheduler()
		op := newSessionSetup(w.deps())
		w.pass(op)
		w.wantFailed("", "s1", "No nodes were found to act upon.")
		w.settled(op)
	}
}

// TestSessionSetupSameName sets up a session whose name an older one had: what that left behind is not its progress.
func TestSessionSetupSameName(t *testing.T) {
	w := newWorld(t)
	w.session(bos.Session{Name: "s1", Operation: bos.OperationReboot})
	op := newSessionSetup(w.deps())
	w.pass(op)
	w.bootStarted(t)
	if err := w.service.DeleteSession(t.Context(), bos.TenantKey{Name: "s1"}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Second)
	w.session(bos.Session{Name: "s1", Operation: bos.OperationReboot})
	w.pass(op)
	w.wantRunning("", "s1", "x1")
	if c := w.getComponent("x1"); !c.IsEnabled() || !c.ActualArtifacts().Empty() {
		t.Errorf("x1 is enabled %v with %v, want it to be rebooted", c.IsEnabled(), c.ActualArtifacts())
	}
}

// TestSessionSetupQueriesInChunks asks HSM and BOS in bounded requests.
// discovered adds n nodes that have just been discovered, and returns their ids.
func (w *world) discovered(n int, format string) []string {
	w.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf(format, i)
		id := bos.ComponentID(ids[i])
		w.component(newlyDiscovered(id))
		w.hsm.Set(hsm.Node{ID: id, Enabled: true})
	}
	return ids
}

func TestSessionSetupQueriesInChunks(t *testing.T) {
	w := newWorld(t)
	ids := w.discovered(25, "n%02d")
	w.template("t", nodes(ids...))
	w.options(bos.OptionsPatch{MaxComponentBatchSize: new(10)})
	w.session(bos.Session{Name: "s1"})
	w.pass(newSessionSetup(w.deps()))
	w.wantRunning("", "s1", strings.Join(ids, ","))
	var queries, patches []int
	for _, c := range w.hsm.Calls() {
		if c.Method == "Query" {
			queries = append(queries, len(c.IDs))
		}
	}
	for _, c := range w.api.writes() {
		if strings.HasPrefix(c, "PatchGuarded") {
			patches = append(patches, strings.Count(c, ",")+1)
		}
	}
	slices.Sort(patches) // sent at the same time
	slices.Sort(queries)
	if want := []int{5, 10, 10}; !slices.Equal(queries, want) || !slices.Equal(patches, want) {
		t.Errorf("queries of %v, patches of %v, want %v", queries, patches, want)
	}
}

// TestSessionSetupOfVeryManyNodes has a server that takes no list of components as long as this one.
func TestSessionSetupOfVeryManyNodes(t *testing.T) {
	w := newWorld(t)
	ids := w.discovered(5000, "n%0110d")
	w.template("t", nodes(ids...))
	w.session(bos.Session{Name: "s1"})
	refused := 0
	w.api.before = func(call string) error {
		if strings.HasPrefix(call, "PatchSession") {
			if refused++; refused == 1 {
				return fmt.Errorf("too long - 'components': %w", bos.ErrInvalid)
			}
		}
		return nil
	}
	w.pass(newSessionSetup(w.deps()))
	w.wantRunning("", "s1", "")
}

func TestSessionSetupWakes(t *testing.T) {
	op := &sessionSetup{}
	for _, row := range []struct {
		change bos.Change
		want   bool
	}{
		{bos.Change{Kind: bos.ChangeSession, ID: "s1", Status: "pending"}, true},
		{bos.Change{Kind: bos.ChangeSession, ID: "s1", Status: "running"}, false},
		{bos.Change{Kind: bos.ChangeSession, ID: "s1", Status: "pending", Deleted: true}, false},
		{bos.Change{Kind: bos.ChangeComponent, ID: "x1", Status: "pending"}, false},
	} {
		if got := op.Wakes(&row.change); got != row.want {
			t.Errorf("Wakes(%+v) = %v", row.change, got)
		}
	}
}
