package fleet

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The tests of this file turn every knob there is, through the control API and in its
// text form, and look at what it does: with a count, with a probability and in a window
// of time.

// knobWorld is a machine on a manual clock that a knob is tried on.
type knobWorld struct {
	*testing.T
	m *Machine
	r reports
}

const knobNodes = 40

func newKnobWorld(t *testing.T) *knobWorld {
	w := &knobWorld{T: t}
	w.m = newMachine(t, Config{Nodes: knobNodes, Speed: 1, Manual: true, Report: w.r.send})
	t.Cleanup(run(t, w.m))
	putBoot(t, w.m, "Compute", "quiet bos_update_frequency=0h")
	return w
}

func (w *knobWorld) xnames() []string { return xnamesOf(w.m.cfs.list) }

func (w *knobWorld) pass(d time.Duration) { advance(w, w.m, d) }

// inject is a fault over the control API.
func (w *knobWorld) inject(f Fault) (clear func()) {
	w.Helper()
	body, err := json.Marshal(f)
	if err != nil {
		w.Fatal(err)
	}
	h := want(w, w.m, "POST", "/_sim/faults", string(body), 201, nil)
	return func() { want(w, w.m, "DELETE", h.Get("Location"), "", 204, nil) }
}

// boot turns all nodes off and on again, with a configuration to apply.
func (w *knobWorld) boot() {
	w.Helper()
	transit(w, w.m, "Force-Off", w.xnames()...)
	w.pass(10 * time.Minute)
	want(w, w.m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","state":[],"enabled":false},"filters":{}}`, 200, nil)
	w.r.mu.Lock()
	w.r.got, w.r.times = nil, nil
	w.r.mu.Unlock()
	transit(w, w.m, "On", w.xnames()...)
	w.pass(2 * time.Hour)
}

func (w *knobWorld) softOff() {
	w.boot()
	transit(w, w.m, "Soft-Off", w.xnames()...)
	w.pass(time.Hour)
}

func (w *knobWorld) forceOff() {
	w.boot()
	transit(w, w.m, "Force-Off", w.xnames()...)
	w.pass(time.Hour)
}

func (w *knobWorld) look() { w.pass(time.Minute) }

// took is how long the latest stay of a node in a phase was.
func (w *knobWorld) took(x string, phase Phase) time.Duration {
	h := state(w, w.m, x).History
	for i := len(h) - 2; i >= 0; i-- {
		if h[i].Phase == phase.String() {
			return h[i+1].Time.Sub(h[i].Time)
		}
	}
	return 0
}

// noted reports whether the latest boot of a node met with something.
func (w *knobWorld) noted(x, note string) bool {
	for _, h := range slices.Backward(state(w, w.m, x).History) {
		if h.Phase == PhasePoweringOn.String() {
			break
		}
		if h.Note == note {
			return true
		}
	}
	return false
}

// member is a member of what a service answers about a node.
func (w *knobWorld) member(path, name string) any {
	var record map[string]any
	if err := json.Unmarshal(call(w, w.m, "GET", path, "").Body.Bytes(), &record); err != nil {
		w.Fatal(err)
	}
	return record[name]
}

func (w *knobWorld) hsm(x, name string) any { return w.member("/hsm/v2/State/Components/"+x, name) }
func (w *knobWorld) cfs(x, name string) any { return w.member("/cfs/v3/components/"+x, name) }

func (w *knobWorld) pcs(x string) powerStatus {
	var a struct{ Status []powerStatus }
	want(w, w.m, "POST", "/pcs/v1/power-status", `{"xname":["`+x+`"]}`, 200, &a)
	if len(a.Status) == 0 {
		return powerStatus{Xname: x}
	}
	return a.Status[0]
}

func phaseIs(p Phase) func(w *knobWorld, x string) bool {
	return func(w *knobWorld, x string) bool { return state(w, w.m, x).Phase == p.String() }
}

// nodeKnobs are the knobs of nodes: the occasion on which one shows, and how.
var nodeKnobs = map[string]struct {
	value    string
	occasion func(w *knobWorld)
	shows    func(w *knobWorld, x string) bool
}{
	"power_on_fails":       {"", (*knobWorld).boot, phaseIs(PhaseOff)},
	"power_on_slow":        {"10m", (*knobWorld).boot, func(w *knobWorld, x string) bool { return w.took(x, PhasePoweringOn) > 10*time.Minute }},
	"post_hang":            {"", (*knobWorld).boot, phaseIs(PhaseHung)},
	"pxe_no_dhcp":          {"", (*knobWorld).boot, func(w *knobWorld, x string) bool { return w.noted(x, "no DHCP offer") }},
	"bootscript_404":       {"", (*knobWorld).boot, func(w *knobWorld, x string) bool { return w.noted(x, "bootscript: 404") }},
	"kernel_panic":         {"", (*knobWorld).boot, phaseIs(PhasePanic)},
	"rootfs_missing":       {"", (*knobWorld).boot, phaseIs(PhaseEmergency)},
	"reporter_dead":        {"", (*knobWorld).boot, func(w *knobWorld, x string) bool { return !state(w, w.m, x).Reported }},
	"reporter_delay":       {"90m", (*knobWorld).boot, func(w *knobWorld, x string) bool { return w.reportWait(w.m.byXname[x]) >= 90*time.Minute }},
	"reporter_wrong_token": {"made-up", (*knobWorld).boot, func(w *knobWorld, x string) bool { return slices.Contains(w.r.list(), x+" made-up") }},
	"reporter_lies_xname": {"x9c0s0b0n0", (*knobWorld).boot, func(w *knobWorld, x string) bool {
		return !slices.ContainsFunc(w.r.list(), func(r string) bool { return strings.HasPrefix(r, x+" ") })
	}},
	"spire_unavailable": {"", (*knobWorld).boot, func(w *knobWorld, x string) bool {
		n := w.m.byXname[x]
		return n.phase == PhaseToken || w.took(x, PhaseToken) > w.m.draw(n, "token", tokenTime)+time.Second
	}},
	"soft_off_ignored":  {"", (*knobWorld).softOff, phaseIs(PhaseUp)},
	"soft_off_slow":     {"10m", (*knobWorld).softOff, func(w *knobWorld, x string) bool { return w.took(x, PhaseSoftOff) > 10*time.Minute }},
	"force_off_fails":   {"", (*knobWorld).forceOff, phaseIs(PhaseUp)},
	"random_crash":      {"30m", func(w *knobWorld) { w.boot(); w.pass(5 * time.Hour) }, phaseIs(PhaseCrashed)},
	"random_power_loss": {"30m", func(w *knobWorld) { w.boot(); w.pass(5 * time.Hour) }, phaseIs(PhaseOff)},
	"bmc_unreachable": {"", (*knobWorld).look, func(w *knobWorld, x string) bool {
		s := w.pcs(x)
		return s.Power == "undefined" && s.Management == unavailable && s.Error == ""
	}},
	"bmc_garbage": {"", (*knobWorld).look, func(w *knobWorld, x string) bool {
		s := w.pcs(x)
		return s.Power == "undefined" && s.Management == available
	}},
	"bmc_flaps":           {"1h", func(w *knobWorld) { w.pass(2*time.Hour - w.m.now()%(2*time.Hour) + 10*time.Minute) }, func(w *knobWorld, x string) bool { return w.pcs(x).Power == "undefined" }},
	"hsm_locked":          {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.hsm(x, "Locked") == true }},
	"locked_at":           {"30s", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.hsm(x, "Locked") == true }},
	"hsm_disabled":        {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.hsm(x, "Enabled") == false }},
	"hsm_missing":         {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.hsm(x, "ID") == nil }},
	"hsm_empty":           {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.hsm(x, "State") == "Empty" && w.pcs(x).Error != "" }},
	"hsm_no_arch":         {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.hsm(x, "Arch") == nil }},
	"arch_mismatch":       {"ARM", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.hsm(x, "Arch") == "ARM" }},
	"pcs_missing":         {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.pcs(x).Error == "Component not found in component map." }},
	"no_soft_off_support": {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return !slices.Contains(w.pcs(x).Operations, "Soft-Off") }},
	"hsm_reserved_by_other": {"", (*knobWorld).look, func(w *knobWorld, x string) bool {
		var a struct{ Components []lockRecord }
		want(w, w.m, "POST", "/hsm/v2/locks/status", `{"ComponentIDs":["`+x+`"]}`, 200, &a)
		return a.Components[0].Reserved
	}},
	"cfs_missing":          {"", (*knobWorld).look, func(w *knobWorld, x string) bool { return call(w, w.m, "GET", "/cfs/v3/components/"+x, "").Code == 404 }},
	"cfs_fail":             {"", (*knobWorld).boot, func(w *knobWorld, x string) bool { return w.cfs(x, "error_count") != 0.0 }},
	"cfs_layer_incomplete": {"", (*knobWorld).boot, func(w *knobWorld, x string) bool { return w.cfs(x, "error_count") != 0.0 }},
	"cfs_never_runs":       {"", (*knobWorld).boot, func(w *knobWorld, x string) bool { return w.cfs(x, "configuration_status") == "pending" }},
	"cfs_status_override":  {"config_deprecated", (*knobWorld).look, func(w *knobWorld, x string) bool { return w.cfs(x, "configuration_status") == "config_deprecated" }},
}

// reportWait is from the latest time that the node was up to the end of its boot.
func (w *knobWorld) reportWait(n *node) time.Duration {
	up := time.Duration(0)
	for _, h := range n.history {
		if w.m.steps.at(h.step).phase == PhaseUp {
			up = h.at()
		}
	}
	end := time.Duration(0)
	for _, i := range n.spent {
		if i.kind == spentNode {
			end = max(end, i.to())
		}
	}
	return end - up
}

func TestNodeKnobs(t *testing.T) {
	for _, kind := range slices.Sorted(maps.Keys(nodeKnobs)) {
		k := nodeKnobs[kind]
		struck := func(w *knobWorld) (out []string) {
			k.occasion(w)
			for _, x := range w.xnames() {
				if k.shows(w, x) {
					out = append(out, x)
				}
			}
			return out
		}
		t.Run(kind+"/nodes", func(t *testing.T) {
			w := newKnobWorld(t)
			clear := w.inject(Fault{Kind: kind, Value: k.value, Nodes: []string{x1}})
			if got := struck(w); !slices.Equal(got, []string{x1}) {
				t.Errorf("shows on %v, want %s alone", got, x1)
			}
			clear()
			if got := struck(w); len(got) != 0 {
				t.Errorf("shows on %v after its end", got)
			}
		})
		t.Run(kind+"/window", func(t *testing.T) {
			w := newKnobWorld(t)
			f, err := ParseFault(strings.TrimSuffix(kind+":"+x1+":"+k.value, ":") + ",after=100h,for=100h")
			if err != nil {
				t.Fatal(err)
			}
			w.inject(f)
			for i, want := range []int{0, 1, 0} {
				w.pass(time.Duration(i)*110*time.Hour - min(w.m.now(), time.Duration(i)*110*time.Hour))
				if got := struck(w); len(got) != want {
					t.Errorf("at %v it shows on %v", w.m.now(), got)
				}
			}
		})
		t.Run(kind+"/probability", func(t *testing.T) {
			w := newKnobWorld(t)
			value := k.value
			if strings.HasPrefix(kind, "random_") {
				value = "8h" // or it strikes so often that it hits everybody
			}
			w.inject(Fault{Kind: kind, Value: value, Probability: 0.4})
			if got := len(struck(w)); got < 5 || got > 30 {
				t.Errorf("shows on %d of %d nodes", got, knobNodes)
			}
		})
		t.Run(kind+"/count", func(t *testing.T) {
			w := newKnobWorld(t)
			if faultKinds[kind].lasts {
				if _, err := w.m.Inject(Fault{Kind: kind, Value: k.value, Count: 1}); err == nil || !strings.Contains(err.Error(), "takes no count") {
					t.Errorf("a count: %v", err)
				}
				return
			}
			w.inject(Fault{Kind: kind, Value: k.value, Nodes: []string{x0, x1}, Count: 1})
			for _, want := range []int{2, 0} {
				if got := struck(w); len(got) != want {
					t.Errorf("shows on %v, want %d", got, want)
				}
			}
		})
	}
}

// exchange is a request and what came of it.
type exchange struct {
	*httptest.ResponseRecorder
	broken bool // the connection
	took   time.Duration
}

// ask sends a request to a service of the world, or to the gateway, and gives up after a
// minute.
func (w *knobWorld) ask(h http.Handler, r *http.Request) (e exchange) {
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	begin := time.Now()
	e.ResponseRecorder = httptest.NewRecorder()
	defer func() {
		e.took = time.Since(begin)
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // what net/http asks for, as it is
			e.broken = true
		} else if p != nil {
			panic(p)
		}
	}()
	h.ServeHTTP(e, r.WithContext(ctx))
	return e
}

func (w *knobWorld) send(method, path, body string) exchange {
	return w.ask(w.m.Handler(), httptest.NewRequest(method, path, strings.NewReader(body)))
}

func (w *knobWorld) list() exchange { return w.send("GET", "/hsm/v2/State/Components", "") }

// items are the ids in the list of components of HSM.
func (w *knobWorld) items() []string {
	var a struct{ Components []hsmComponent }
	if err := json.Unmarshal(w.list().Body.Bytes(), &a); err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, c := range a.Components {
		out = append(out, c.ID)
	}
	return out
}

// has reports whether the answer has a header that is spelled just so.
func (e exchange) has(header string) bool {
	_, ok := e.Header()[header]
	return ok
}

const (
	bootParameters = "/bss/boot/v1/bootparameters"
	kernelObject   = "/s3/boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/kernel"
)

// serviceKnobs are the knobs of services, by kind and value; each says whether it shows
// on one occasion.
var serviceKnobs = map[string]func(w *knobWorld) bool{
	"outage 503": func(w *knobWorld) bool { return w.list().Code == 503 },
	"outage 502html": func(w *knobWorld) bool {
		e := w.list()
		return e.Code == 502 && strings.Contains(e.Body.String(), "<html>")
	},
	"outage refuse":         func(w *knobWorld) bool { e := w.list(); return e.broken && e.Body.Len() == 0 },
	"outage blackhole":      func(w *knobWorld) bool { e := w.list(); return e.broken && e.took == time.Minute },
	"outage reset_mid_body": func(w *knobWorld) bool { e := w.list(); return e.broken && e.Body.String() == `{"` && e.took == 0 },
	"outage stall_mid_body": func(w *knobWorld) bool { e := w.list(); return e.Body.String() == `{"` && e.took == time.Minute },
	"error_rate 500":        func(w *knobWorld) bool { return w.list().Code == 500 },
	"error_rate 429":        func(w *knobWorld) bool { return w.list().Code == 429 },
	"latency 3s":            func(w *knobWorld) bool { return w.list().took == 3*time.Second },
	"latency 3s-5s":         func(w *knobWorld) bool { d := w.list().took; return d >= 3*time.Second && d <= 5*time.Second },
	"latency_per_item 10ms": func(w *knobWorld) bool { return w.list().took == knobNodes*10*time.Millisecond },
	"bandwidth 1000": func(w *knobWorld) bool {
		e := w.list()
		return e.took >= time.Duration(e.Body.Len()/1000)*time.Second && json.Valid(e.Body.Bytes()) && e.took > 0
	},
	"truncate_body 10": func(w *knobWorld) bool { e := w.list(); return e.broken && e.Body.Len() == 10 },
	"malformed":        func(w *knobWorld) bool { e := w.list(); return e.Code == 200 && !json.Valid(e.Body.Bytes()) },
	"empty_body":       func(w *knobWorld) bool { e := w.list(); return e.Code == 200 && e.Body.Len() == 0 },
	"null_collections": func(w *knobWorld) bool { return w.list().Body.String() == `{"Components":null}` },
	"drop_items":       func(w *knobWorld) bool { return len(w.items()) < knobNodes },
	"dup_items":        func(w *knobWorld) bool { return len(w.items()) > knobNodes },
	"reorder":          func(w *knobWorld) bool { return !slices.IsSortedFunc(w.items(), compareXnames) },
	"max_url 20": func(w *knobWorld) bool {
		return w.list().Code == 414 && w.send("GET", "/hsm/v2/groups", "").Code == 200
	},
	"max_body 5":        func(w *knobWorld) bool { return w.send("POST", "/pcs/power-status", `{"xname":[]}`).Code == 413 },
	"retry_after 5":     func(w *knobWorld) bool { e := w.list(); return e.Code == 503 && e.Header().Get("Retry-After") == "5" },
	"retry_after 0/429": func(w *knobWorld) bool { e := w.list(); return e.Code == 429 && e.Header().Get("Retry-After") == "0" },
	"redirect 308":      func(w *knobWorld) bool { return w.redirected("GET", 308) },
	"redirect 301":      func(w *knobWorld) bool { return w.redirected("GET", 301) },
	"redirect 307":      func(w *knobWorld) bool { return w.redirected("PUT", 307) },
	"require_auth":      func(w *knobWorld) bool { return w.list().Code == 401 },
	"auth_401 1":        func(w *knobWorld) bool { return w.list().Code+w.list().Code == 200+401 },
	"clock_skew -2h": func(w *knobWorld) bool {
		date, err := http.ParseTime(w.list().Header().Get("Date"))
		stamp, err2 := time.Parse(time.RFC3339Nano, w.pcs(x0).LastUpdated)
		early := func(t time.Time) bool { return w.m.epoch.Sub(t).Round(time.Minute) == 2*time.Hour }
		return err == nil && err2 == nil && early(stamp) && early(date.Add(-w.m.now()))
	},
	"page_size 7": func(w *knobWorld) bool {
		var a struct {
			Components []json.RawMessage
			Next       *cfsNext
		}
		want(w, w.m, "GET", "/cfs/v3/components", "", 200, &a)
		return len(a.Components) == 7 && a.Next.Limit == 7
	},
	"page_loop": func(w *knobWorld) bool {
		var a struct{ Next *cfsNext }
		want(w, w.m, "GET", "/cfs/v3/components?limit=5&after_id="+x0, "", 200, &a)
		return a.Next.AfterID == x0
	},
	"cfs_v2_only": func(w *knobWorld) bool {
		return w.send("GET", "/cfs/v3/components", "").Code == 404 && w.send("GET", "/cfs/v2/components", "").Code == 200
	},
	"header_case lower": func(w *knobWorld) bool {
		return w.send("PUT", bootParameters, `{"hosts":["a"]}`).has("bss-referral-token")
	},
	"header_case upper": func(w *knobWorld) bool {
		return w.send("PUT", bootParameters, `{"hosts":["a"]}`).has("BSS-REFERRAL-TOKEN")
	},
	"no_referral_token": func(w *knobWorld) bool {
		e := w.send("PUT", bootParameters, `{"hosts":["a"]}`)
		return e.Code == 200 && e.Header().Get("BSS-Referral-Token") == ""
	},
	"bss_partial_write 1": func(w *knobWorld) bool {
		token := func(x string) string {
			if e := w.m.byXname[x].boot; e != nil {
				return e.token
			}
			return ""
		}
		before := token(x1)
		e := w.send("PUT", bootParameters, `{"hosts":["`+x0+`","`+x1+`"]}`)
		return e.Code == 500 && e.Header().Get("BSS-Referral-Token") == "" && token(x0) != "" && token(x1) == before
	},
	"hsm_old_lock_400": func(w *knobWorld) bool {
		return w.send("GET", "/hsm/v2/locks/status?type=Node&locked=True", "").Code == 400
	},
	"pcs_accept_then_lose": func(w *knobWorld) bool {
		return w.executed(200) == "lost"
	},
	"pcs_500_after_execute 500":     func(w *knobWorld) bool { return w.executed(500) == "run" },
	"pcs_500_after_execute timeout": func(w *knobWorld) bool { return w.executed(0) == "run" },
	"etag_mismatch": func(w *knobWorld) bool {
		return w.send("HEAD", kernelObject, "").Header().Get("ETag") != w.send("GET", kernelObject, "").Header().Get("ETag")
	},
	"image_deleted":                       func(w *knobWorld) bool { return w.send("GET", kernelObject, "").Code == 404 },
	"image_deleted compute-24.7.0-x86_64": func(w *knobWorld) bool { return w.send("GET", kernelObject, "").Code == 404 },
	"image_contention 1": func(w *knobWorld) bool {
		w.boot()
		return slices.ContainsFunc(w.xnames(), func(x string) bool { return w.took(x, PhaseKernel) > kernelTime.max+time.Second })
	},
	"hsm_extra_components": func(w *knobWorld) bool { return slices.Contains(w.items(), "x1000c0s0b0") },
	"pcs_sample_interval 10h": func(w *knobWorld) bool {
		n := w.m.byXname[x0]
		w.m.mu.Lock()
		if n.power {
			w.m.forceOff(n)
		} else {
			w.m.powerOn(n)
		}
		w.m.mu.Unlock()
		w.pass(5 * time.Minute)
		return w.pcs(x0).Power != state(w, w.m, x0).Power
	},
	"expire_tokens_after 1s": func(w *knobWorld) bool {
		token, err := w.m.NodeToken(x0)
		w.pass(2 * time.Second)
		return err == nil && w.throughGateway(token).Code == 401
	},
	"deny_xname_mismatch": func(w *knobWorld) bool {
		token, err := w.m.NodeToken(x0)
		return err == nil && w.throughGateway(token).Code == 403
	},
}

func (w *knobWorld) throughGateway(token string) exchange {
	r := httptest.NewRequest("GET", "/apis/cfs/v3/components/"+x1, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return w.ask(w.m.Gateway(), r)
}

// redirected reports whether a request is redirected to where it is answered.
func (w *knobWorld) redirected(method string, status int) bool {
	path, body := "/hsm/v2/groups?group=blue", ""
	if method == "PUT" {
		path, body = bootParameters, `{"hosts":["a"]}`
	}
	e := w.send(method, path, body)
	to, err := httptest.NewRequest(method, path, nil).URL.Parse(e.Header().Get("Location"))
	return err == nil && e.Code == status && strings.HasPrefix(to.String(), path) && w.send(method, to.String(), body).Code == 200
}

// executed sends a transition and tells whether it has been run or lost; other is for
// another answer than the status, 0 being a broken connection.
func (w *knobWorld) executed(status int) string {
	begin := state(w, w.m, x0).Requests["On"]
	w.m.mu.Lock()
	w.m.forceOff(w.m.byXname[x0]) // whatever PCS is like
	w.m.mu.Unlock()
	w.pass(5 * time.Minute)
	e := w.send("POST", "/pcs/v1/transitions", `{"operation":"On","location":[{"xname":"`+x0+`"}]}`)
	w.pass(5 * time.Minute)
	s := state(w, w.m, x0)
	switch {
	case s.Requests["On"] != begin+1 || e.broken != (status == 0) || status != 0 && e.Code != status:
		return "other"
	case s.Power == "on":
		return "run"
	}
	return "lost"
}

func TestServiceKnobs(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(serviceKnobs)) {
		shows := serviceKnobs[name]
		kind, value, _ := strings.Cut(name, " ")
		bubble := func(name string, f func(w *knobWorld)) {
			t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(newKnobWorld(t)) }) })
		}
		bubble(name+"/shows", func(w *knobWorld) {
			if shows(w) {
				w.Fatal("shows although nobody asked for it")
			}
			clear := w.inject(Fault{Kind: kind, Value: value})
			if !shows(w) {
				w.Error("does not show")
			}
			clear()
			if shows(w) {
				w.Error("shows after its end")
			}
		})
		bubble(name+"/window", func(w *knobWorld) {
			f, err := ParseFault(strings.TrimSuffix(kind+":"+value, ":") + ",after=10h,for=10h")
			if err != nil {
				w.Fatal(err)
			}
			w.inject(f)
			for i, want := range []bool{false, true, false} {
				w.pass(time.Duration(i)*12*time.Hour - min(w.m.now(), time.Duration(i)*12*time.Hour))
				if shows(w) != want {
					w.Errorf("at %v it shows: %v", w.m.now(), !want)
				}
			}
		})
		if faultKinds[kind].lasts {
			bubble(name+"/lasts", func(w *knobWorld) {
				for _, f := range []Fault{{Kind: kind, Value: value, Count: 1}, {Kind: kind, Value: value, Probability: 0.5}} {
					if _, err := w.m.Inject(f); err == nil || !strings.Contains(err.Error(), "lasts: it takes no") {
						w.Errorf("%+v: %v", f, err)
					}
				}
			})
			continue
		}
		bubble(name+"/count", func(w *knobWorld) {
			w.inject(Fault{Kind: kind, Value: value, Count: 2})
			for i, want := range []bool{true, true, false} {
				if shows(w) != want {
					w.Errorf("time %d: shows %v", i+1, !want)
				}
			}
		})
		if kind == "drop_items" || kind == "dup_items" || kind == "auth_401" {
			continue // TestItemFaults; the probability of auth_401 comes after its count of requests
		}
		bubble(name+"/probability", func(w *knobWorld) {
			w.inject(Fault{Kind: kind, Value: value, Probability: 0.4})
			times := 0
			for range 40 {
				if shows(w) {
					times++
				}
			}
			if times < 5 || times > 30 {
				w.Errorf("shows %d times of 40", times)
			}
		})
	}
}

// TestEveryKnobIsTried: no kind of fault is missing from the tables above, and the
// help of each says whom it is about.
func TestEveryKnobIsTried(t *testing.T) {
	tried := map[string]bool{}
	for kind := range nodeKnobs {
		tried[kind] = true
	}
	for name := range serviceKnobs {
		kind, _, _ := strings.Cut(name, " ")
		tried[kind] = true
	}
	if got, want := slices.Sorted(maps.Keys(tried)), slices.Sorted(maps.Keys(faultKinds)); !slices.Equal(got, want) {
		t.Errorf("tried are %q\nthere are %q", got, want)
	}
}
