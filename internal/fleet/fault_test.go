package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNodeFaults boots two nodes, one with a fault, and shuts both down gently,
// then by force. The healthy one never notices.
func TestNodeFaults(t *testing.T) {
	for _, tc := range []struct {
		fault             Fault
		boot, soft, force string // phase after each
		cfs               string // after the boot
		reported          bool
	}{
		{Fault{Kind: "power_on_fails"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "power_on_fails", Value: "transport"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "power_on_fails", Count: 1}, "off", "off", "off", "pending", false},
		{Fault{Kind: "power_on_slow", Value: "3h"}, "powering_on", "powering_on", "powering_on", "pending", false}, // off is what PCS sees: it sends nothing
		{Fault{Kind: "post_hang"}, "post_hang", "post_hang", "off", "pending", false},
		{Fault{Kind: "pxe_no_dhcp"}, "pxe", "pxe", "off", "pending", false},
		{Fault{Kind: "bootscript_404"}, "pxe", "pxe", "off", "pending", false},
		{Fault{Kind: "bootscript_404", Count: 2}, "up", "off", "off", "configured", true},
		{Fault{Kind: "kernel_panic"}, "kernel_panic", "kernel_panic", "off", "pending", false},
		{Fault{Kind: "rootfs_missing"}, "emergency_shell", "emergency_shell", "off", "pending", false},
		{Fault{Kind: "reporter_dead"}, "up", "off", "off", "configured", false},
		{Fault{Kind: "reporter_delay", Value: "3h"}, "up", "off", "off", "configured", false},
		{Fault{Kind: "reporter_delay", Value: "1m"}, "up", "off", "off", "configured", true},
		{Fault{Kind: "spire_unavailable"}, "token_wait", "off", "off", "pending", false},
		{Fault{Kind: "soft_off_ignored"}, "up", "up", "off", "configured", true},
		{Fault{Kind: "soft_off_slow", Value: "1h"}, "up", "soft_off", "off", "configured", true},
		{Fault{Kind: "force_off_fails"}, "up", "off", "off", "configured", true},
		{Fault{Kind: "random_crash", Value: "1s"}, "crashed", "crashed", "off", "configured", false},
		{Fault{Kind: "random_power_loss", Value: "1s"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "bmc_unreachable"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "bmc_garbage"}, "up", "off", "off", "configured", true},
		{Fault{Kind: "hsm_locked"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "hsm_reserved_by_other"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "hsm_missing"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "hsm_empty"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "pcs_missing"}, "off", "off", "off", "pending", false},
		{Fault{Kind: "no_soft_off_support"}, "up", "up", "off", "configured", true},
		{Fault{Kind: "cfs_missing"}, "up", "off", "off", "pending", true},
		{Fault{Kind: "cfs_fail", Value: "1"}, "up", "off", "off", "configured", true},
		{Fault{Kind: "cfs_fail", Value: "0"}, "up", "off", "off", "failed", true},
		{Fault{Kind: "cfs_layer_incomplete"}, "up", "off", "off", "failed", true},
		{Fault{Kind: "cfs_never_runs"}, "up", "off", "off", "pending", true},
		{Fault{Kind: "cfs_status_override", Value: "config_deprecated"}, "up", "off", "off", "config_deprecated", true},
		{Fault{Kind: "kernel_panic", After: 24 * time.Hour}, "up", "off", "off", "configured", true},
		{Fault{Kind: "post_hang", For: time.Second}, "up", "off", "off", "configured", true},
	} {
		name := strings.TrimSuffix(fmt.Sprintf("%s %s", tc.fault.Kind, tc.fault.Value), " ")
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r reports
				tc.fault.Nodes = []string{x0}
				m := newMachine(t, Config{Nodes: 2, Speed: 1, Report: r.send, Faults: []Fault{tc.fault}})
				defer run(t, m)()
				want(t, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0"},"filters":{}}`, 200, nil)
				want(t, m, "PATCH", "/cfs/v3/components", `[{"id":"`+x1+`","desired_config":"compute-24.7.0","enabled":false}]`, 200, nil)
				m.mu.Lock()
				m.byXname[x0].cfs.given, m.byXname[x0].cfs.enabled = &cfsAssignment{config: "compute-24.7.0"}, false // whatever CFS says about it
				m.mu.Unlock()
				putBoot(t, m, "Compute", "quiet")
				transit(t, m, "On", x0, x1)
				time.Sleep(100 * time.Minute)
				synctest.Wait()
				s := state(t, m, x0)
				if s.Phase != tc.boot || s.CFS != tc.cfs && s.Phase != "crashed" || s.Reported != tc.reported && s.Phase != "crashed" {
					t.Errorf("after the boot %s, CFS %s, reported %v; want %s, %s, %v", s.Phase, s.CFS, s.Reported, tc.boot, tc.cfs, tc.reported)
				}
				if other := state(t, m, x1); other.Phase != "up" || other.CFS != "configured" || !other.Reported {
					t.Errorf("the healthy node is %+v", other)
				}
				transit(t, m, "Soft-Off", x0, x1)
				time.Sleep(4 * time.Minute)
				synctest.Wait()
				if s := state(t, m, x0); s.Phase != tc.soft {
					t.Errorf("after a graceful shutdown %s, want %s", s.Phase, tc.soft)
				}
				transit(t, m, "Force-Off", x0, x1)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if a, b := state(t, m, x0), state(t, m, x1); a.Phase != tc.force || b.Phase != "off" {
					t.Errorf("after a forced one %s and %s, want %s and off", a.Phase, b.Phase, tc.force)
				}
			})
		})
	}
}

func TestForceOffFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "force_off_fails", Count: 2}}})
		defer run(t, m)()
		transit(t, m, "On", x0)
		synctest.Wait()
		for _, want := range []string{"on", "on", "off"} {
			transit(t, m, "Force-Off", x0)
			time.Sleep(time.Second)
			if s := state(t, m, x0); s.Power != want {
				t.Errorf("power %s, want %s", s.Power, want)
			}
		}
	})
}

// TestNoJoinToken: a script that needs a join token which nobody gives is a 404, and
// the node keeps asking for it.
func TestNoJoinToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "spire_unavailable", For: time.Minute}}})
		defer run(t, m)()
		putBoot(t, m, x0, "spire_join_token=${SPIRE_JOIN_TOKEN}")
		want(t, m, "GET", "/bss/boot/v1/bootscript?name="+x0, "", 404, nil)
		transit(t, m, "On", x0)
		time.Sleep(59 * time.Second)
		if s := state(t, m, x0); s.Phase != "pxe" {
			t.Errorf("%+v", s)
		}
		time.Sleep(2 * time.Second)
		if s := state(t, m, x0); s.Phase != "up" {
			t.Errorf("%+v", s)
		}
	})
}

// TestReporterLies checks what a node says about itself.
func TestReporterLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		m := newMachine(t, Config{Nodes: 2, Report: r.send, Faults: []Fault{
			{Kind: "reporter_wrong_token", Nodes: []string{x0}, Value: "made-up"}, {Kind: "reporter_lies_xname", Nodes: []string{x1}, Value: "x9c0s0b0n0"},
		}})
		defer run(t, m)()
		token := putBoot(t, m, "Compute", "quiet")
		transit(t, m, "On", x0)
		synctest.Wait()
		transit(t, m, "On", x1)
		synctest.Wait()
		if got := r.list(); !slices.Equal(got, []string{x0 + " made-up", "x9c0s0b0n0 " + token}) {
			t.Errorf("reports %q", got)
		}
	})
}

// TestHSMFaults checks what HSM shows of a node with a fault.
func TestHSMFaults(t *testing.T) {
	for _, tc := range []struct{ kind, value, member, want string }{
		{"hsm_locked", "", "Locked", "true"}, {"hsm_disabled", "", "Enabled", "false"}, {"hsm_empty", "", "State", "Empty"},
		{"hsm_no_arch", "", "Arch", "<nil>"}, {"arch_mismatch", "", "Arch", "ARM"}, {"arch_mismatch", "UNKNOWN", "Arch", "UNKNOWN"},
	} {
		m := newMachine(t, Config{Nodes: 2, Faults: []Fault{{Kind: tc.kind, Value: tc.value, Nodes: []string{x0}}}})
		var record, other map[string]any
		want(t, m, "GET", "/hsm/v2/State/Components/"+x0, "", 200, &record)
		want(t, m, "GET", "/hsm/v2/State/Components/"+x1, "", 200, &other)
		if got := fmt.Sprint(record[tc.member]); got != tc.want || fmt.Sprint(other[tc.member]) == tc.want {
			t.Errorf("%s: %s is %v, of another node %v; want %s", tc.kind, tc.member, got, other[tc.member], tc.want)
		}
	}
	m := newMachine(t, Config{Nodes: 2, Faults: []Fault{{Kind: "hsm_missing", Nodes: []string{x0}}}})
	if got := ids(t, m, "GET", "/hsm/v2/State/Components", ""); !slices.Equal(got, []string{x1}) {
		t.Errorf("components %v", got)
	}
	want(t, m, "GET", "/hsm/v2/State/Components/"+x0, "", 404, nil)
}

// TestFaultWindow: a fault acts from After on, for For; PCS notices both edges at
// its next sweep.
func TestFaultWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Speed: 1, Faults: []Fault{{Kind: "bmc_unreachable", After: 100 * time.Second, For: 100 * time.Second}}})
		defer run(t, m)()
		for _, want := range []string{"off", "undefined", "off"} {
			if got := state(t, m, x0).PCSPower; got != want {
				t.Errorf("power %s, want %s", got, want)
			}
			time.Sleep(125 * time.Second)
		}
		if got := m.Faults(); len(got) != 0 {
			t.Errorf("faults %+v after their time", got)
		}
	})
}

func TestFlappingBMC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "bmc_flaps", Value: "0s"}}}) // at least 100 ms
		defer run(t, m)()
		time.Sleep(50 * time.Millisecond)
		for _, want := range []string{"undefined", "off", "undefined", "off"} {
			if got := state(t, m, x0).PCSPower; got != want {
				t.Errorf("power %s, want %s", got, want)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// TestFraction: a fraction is exact, never nobody, and nested: who fails at 10 %
// also fails at 20 %.
func TestFraction(t *testing.T) {
	hit := func(fraction float64) []string {
		m := newMachine(t, Config{Nodes: 50, Seed: 3, Faults: []Fault{{Kind: "kernel_panic", Fraction: fraction}}})
		var out []string
		for _, n := range m.Nodes() {
			if len(state(t, m, n.Xname).Faults) > 0 {
				out = append(out, n.Xname)
			}
		}
		return out
	}
	few, more := hit(0.1), hit(0.2)
	if len(few) != 5 || len(more) != 10 || len(hit(0.001)) != 1 || len(hit(1)) != 50 {
		t.Errorf("%d and %d nodes of 50", len(few), len(more))
	}
	for _, tc := range []struct {
		nodes    int
		fraction float64
		want     int
	}{{100, 0.07, 7}, {100, 0.14, 14}, {100, 0.071, 8}, {3, 1. / 3, 1}, {50, 1e-9, 1}} {
		m := newMachine(t, Config{Nodes: tc.nodes, Faults: []Fault{{Kind: "kernel_panic", Fraction: tc.fraction}}})
		if got := len(m.faults[0].targets); got != tc.want {
			t.Errorf("%v of %d are %d, want %d", tc.fraction, tc.nodes, got, tc.want)
		}
	}
	m := newMachine(t, Config{Nodes: 2, Faults: []Fault{{Kind: "kernel_panic", Nodes: []string{x0, x0}}}})
	if got := state(t, m, x0).Faults; len(got) != 1 {
		t.Errorf("a node that is named twice has %v", got)
	}
	for _, x := range few {
		if !slices.Contains(more, x) {
			t.Errorf("%s fails at 10 %% and not at 20 %%", x)
		}
	}
}

func TestDeletedImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "image_deleted", Value: "compute-24.7.0-x86_64"}}})
		defer run(t, m)()
		const id = "06901f40-f2a6-4a64-bc26-772a5cc9d321"
		want(t, m, "GET", "/ims/v3/images/"+id, "", 404, nil)
		want(t, m, "GET", "/s3/boot-images/"+id+"/manifest.json", "", 404, nil)
		want(t, m, "GET", "/ims/v3/images/46a2731e-a1d0-4f98-ba92-4f78c756bb12", "", 200, nil)
		if got := len(m.Images()); got != 3 {
			t.Errorf("%d images", got)
		}
		putBoot(t, m, x0, "quiet")
		transit(t, m, "On", x0)
		time.Sleep(time.Minute)
		if s := state(t, m, x0); s.Phase != "pxe" && s.Phase != "kernel" || s.Reported {
			t.Errorf("%+v", s)
		}
		if err := m.Clear("fault-1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := state(t, m, x0); s.Phase != "up" {
			t.Errorf("with the image back: %+v", s)
		}
	})
}

// TestServiceFaults sends one request over a connection to a service with a fault.
func TestServiceFaults(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		fault  Fault
		method string
		path   string
		body   string
		status int
		want   string // in the body, or the header
		err    error
	}{
		{fault: Fault{Kind: "outage", Service: "pcs"}, path: "/pcs/v1/power-status", status: 503, want: "no healthy upstream"},
		{fault: Fault{Kind: "outage", Service: "pcs"}, path: "/hsm/v2/State/Components", status: 200, want: x0},
		{fault: Fault{Kind: "outage", Value: "502html"}, path: "/cfs/v3/components", status: 502, want: "<html>"},
		{fault: Fault{Kind: "outage", Value: "refuse"}, path: "/cfs/v3/components", err: broken},
		{fault: Fault{Kind: "outage", Value: "reset_mid_body"}, path: "/cfs/v3/components", status: 200, err: broken},
		{fault: Fault{Kind: "error_rate", Value: "429"}, path: "/ims/v3/images", status: 429, want: "simulated error"},
		{fault: Fault{Kind: "retry_after", Service: "hsm", Value: "2"}, path: "/hsm/v2/groups", status: 503, want: "Retry-After:[2]"},
		{fault: Fault{Kind: "auth_401", Value: "0"}, path: "/hsm/v2/groups", status: 401, want: "expired"},
		{fault: Fault{Kind: "max_url", Value: "20"}, path: "/cfs/v3/components?ids=" + x0, status: 414},
		{fault: Fault{Kind: "max_body", Value: "5"}, method: "POST", path: "/pcs/power-status", body: `{"xname":[]}`, status: 413},
		{fault: Fault{Kind: "truncate_body", Value: "10"}, path: "/hsm/v2/State/Components", status: 200, want: `{"Componen`, err: broken},
		{fault: Fault{Kind: "bandwidth", Value: "1000000"}, path: "/hsm/v2/State/Components", status: 200, want: x1},
		{fault: Fault{Kind: "latency", Value: "1ms-2ms"}, path: "/hsm/v2/State/Components", status: 200, want: x1},
		{fault: Fault{Kind: "latency_per_item", Value: "1ms"}, path: "/hsm/v2/State/Components", status: 200, want: x1},
		{fault: Fault{Kind: "malformed"}, path: "/hsm/v2/State/Components", status: 200, want: "<html>"},
		{fault: Fault{Kind: "empty_body"}, path: "/hsm/v2/State/Components", status: 200, want: ""},
		{fault: Fault{Kind: "null_collections"}, path: "/hsm/v2/State/Components", status: 200, want: `{"Components":null}`},
		{fault: Fault{Kind: "null_collections"}, path: "/ims/v3/images", status: 200, want: `null`},
		{fault: Fault{Kind: "drop_items"}, path: "/hsm/v2/State/Components", status: 200, want: `{"Components":[]}`},
		{fault: Fault{Kind: "reorder"}, path: "/hsm/v2/State/Components", status: 200, want: x1},
		{fault: Fault{Kind: "page_size", Value: "1"}, path: "/cfs/v3/components", status: 200, want: `"after_id":"` + x0},
		{fault: Fault{Kind: "page_loop"}, path: "/cfs/v3/components?after_id=" + x0, status: 200, want: `"after_id":"` + x0},
		{fault: Fault{Kind: "cfs_v2_only"}, path: "/cfs/v3/components", status: 404},
		{fault: Fault{Kind: "cfs_v2_only"}, path: "/cfs/v2/components", status: 200, want: x1},
		{fault: Fault{Kind: "hsm_old_lock_400"}, path: "/hsm/v2/locks/status?type=Node&locked=True", status: 400, want: "Component not found"},
		{fault: Fault{Kind: "hsm_old_lock_400"}, path: "/hsm/v2/locks/status?type=Node&locked=False", status: 200, want: x0},
		{fault: Fault{Kind: "require_auth"}, path: "/cfs/v3/components", status: 401, want: "Jwt is missing"},
		{fault: Fault{Kind: "error_rate", Methods: []string{"post"}}, path: "/hsm/v2/groups", status: 200},
		{fault: Fault{Kind: "error_rate", Methods: []string{"post"}}, method: "POST", path: "/pcs/power-status", body: `{}`, status: 503},
		{fault: Fault{Kind: "drop_items", Methods: []string{"POST"}}, path: "/hsm/v2/State/Components", status: 200, want: x0},
		{fault: Fault{Kind: "header_case", Value: "canonical"}, method: "PUT", path: "/bss/boot/v1/bootparameters", body: `{"hosts":["a"]}`, status: 200, want: "Bss-Referral-Token:["},
		{fault: Fault{Kind: "header_case", Value: "upper"}, method: "PUT", path: "/bss/boot/v1/bootparameters", body: `{"hosts":["a"]}`, status: 200, want: "Bss-Referral-Token:["},
		{fault: Fault{Kind: "etag_mismatch"}, method: "HEAD", path: "/s3/boot-images/06901f40-f2a6-4a64-bc26-772a5cc9d321/kernel", status: 200, want: `0123456789abcdef`},
		{fault: Fault{Kind: "pcs_500_after_execute"}, method: "POST", path: "/pcs/v1/transitions", body: `{"operation":"On","location":[]}`, status: 500},
	} {
		t.Run(tc.fault.Kind+" "+tc.fault.Value, func(t *testing.T) {
			m := newMachine(t, Config{Nodes: 2, Faults: []Fault{tc.fault}})
			s := httptest.NewServer(m.Handler())
			defer s.Close()
			if tc.method == "" {
				tc.method = "GET"
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			var body []byte
			resp, err := s.Client().Do(req)
			if err == nil {
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != tc.status {
					t.Errorf("status %d, want %d", resp.StatusCode, tc.status)
				}
				if text := fmt.Sprint(string(body), resp.Header); !strings.Contains(text, tc.want) || tc.want == "" && tc.fault.Kind == "empty_body" && len(body) > 0 {
					t.Errorf("%s lacks %q", text, tc.want)
				}
			}
			if (err != nil) != (tc.err != nil) {
				t.Errorf("error %v, want one: %v", err, tc.err != nil)
			}
			if calls := m.Calls(""); len(calls) != 1 || calls[0].Method != tc.method {
				t.Errorf("call log %+v", calls)
			}
		})
	}
}

// TestStalledBody: a body begins and does not go on until the client gives up.
func TestStalledBody(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "outage", Value: "stall_mid_body"}}})
	s := httptest.NewServer(m.Handler())
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/hsm/v2/State/Components", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begin := make([]byte, 2)
	if _, err := io.ReadFull(resp.Body, begin); err != nil || string(begin) != `{"` {
		t.Errorf("the body begins with %q, %v", begin, err)
	}
	cancel()
	if rest, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("then comes %q, %v", rest, err)
	}
}

// TestItemFaults checks the share of list items that a probability strikes.
func TestItemFaults(t *testing.T) {
	for kind, between := range map[string][2]int{"drop_items": {50, 150}, "dup_items": {250, 350}} {
		m := newMachine(t, Config{Nodes: 200, Faults: []Fault{{Kind: kind, Probability: 0.5}}})
		got := ids(t, m, "GET", "/hsm/v2/State/Components", "")
		if len(got) < between[0] || len(got) > between[1] {
			t.Errorf("%s left %d of 200", kind, len(got))
		}
	}
}

func TestErrorRate(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "error_rate", Probability: 0.3}, {Kind: "error_rate", Service: "ims", Value: "500", Count: 2}}})
	failed := 0
	for range 1000 {
		if call(t, m, "GET", "/hsm/v2/groups", "").Code == 503 {
			failed++
		}
	}
	if failed < 200 || failed > 400 {
		t.Errorf("%d of 1000 failed at 30 %%", failed)
	}
	codes := []int{}
	for range 30 {
		if c := call(t, m, "GET", "/ims/v3/images", "").Code; c == 500 {
			codes = append(codes, c)
		}
	}
	if len(codes) != 2 {
		t.Errorf("%d of the 2 counted failures", len(codes))
	}
}

// TestPartialWrite: hosts before the failure have the new token although the
// caller got an error.
func TestPartialWrite(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	old := putBoot(t, m, x1, "old")
	if _, err := m.Inject(Fault{Kind: "bss_partial_write", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	h := want(t, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":["`+x0+`","`+x1+`"],"kernel":"k","params":"new"}`, 500, nil)
	if h.Get("BSS-Referral-Token") != "" {
		t.Error("a failed write answers a token")
	}
	if a, b := m.byXname[x0].boot, m.byXname[x1].boot; a.params != "new" || a.token == "" || b.token != old {
		t.Errorf("entries %+v %+v", a, b)
	}
	if _, err := m.Inject(Fault{Kind: "no_referral_token"}); err != nil {
		t.Fatal(err)
	}
	if h := want(t, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":["`+x0+`"],"kernel":"k"}`, 200, nil); h.Get("BSS-Referral-Token") != "" {
		t.Error("a token in spite of no_referral_token")
	}
}

func TestLostTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "pcs_accept_then_lose", Count: 1}, {Kind: "pcs_500_after_execute", After: time.Second, Count: 1}}})
		defer run(t, m)()
		id := transit(t, m, "On", x0)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := state(t, m, x0); s.Power != "off" || transitionOf(t, m, id).TransitionStatus != "new" {
			t.Errorf("a lost transition: %+v", s)
		}
		want(t, m, "POST", "/pcs/v1/transitions", `{"operation":"On","location":[{"xname":"`+x0+`"}]}`, 500, nil)
		synctest.Wait()
		if s := state(t, m, x0); s.Power != "on" {
			t.Errorf("a transition that ran in spite of the 500: %+v", s)
		}
	})
}

// TestAnswerLost: a transition runs although its caller never gets an answer.
func TestAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "pcs_500_after_execute", Value: "timeout"}}})
		defer run(t, m)()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		begin := time.Now()
		defer func() {
			if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // what net/http asks for, as it is
				t.Errorf("the request ended with %v", p)
			}
			if waited := time.Since(begin); waited != 20*time.Second || state(t, m, x0).Power != "on" {
				t.Errorf("after %v: %+v", waited, state(t, m, x0))
			}
		}()
		r := httptest.NewRequest("POST", "/pcs/v1/transitions", strings.NewReader(`{"operation":"On","location":[{"xname":"`+x0+`"}]}`))
		m.Handler().ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
	})
}

// TestLockedAt: a node is locked from a moment on, on the clock of the machine.
func TestLockedAt(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2, Speed: 10, Manual: true, Faults: []Fault{{Kind: "locked_at", Nodes: []string{x0}, Value: "10m"}}})
	defer run(t, m)()
	const locked = "/hsm/v2/locks/status?type=Node&locked=True"
	advance(t, m, time.Minute-1)
	if got := ids(t, m, "GET", locked, ""); len(got) != 0 {
		t.Errorf("locked before: %v", got)
	}
	advance(t, m, 1)
	if got := ids(t, m, "GET", locked, ""); !slices.Equal(got, []string{x0}) {
		t.Errorf("locked after: %v", got)
	}
}

// TestMissingFromPCS: a node that is not in the map of PCS has an entry that says so,
// unless it is missing altogether.
func TestMissingFromPCS(t *testing.T) {
	m := newMachine(t, Config{Nodes: 3, Faults: []Fault{{Kind: "pcs_missing", Nodes: []string{x0}}, {Kind: "pcs_missing", Nodes: []string{x1}, Value: "answer"}}})
	var a struct{ Status []powerStatus }
	want(t, m, "POST", "/pcs/v1/power-status", `{"xname":["`+x0+`","`+x1+`","x1000c0s0b1n0"]}`, 200, &a)
	if len(a.Status) != 2 || a.Status[0].Xname != x0 || a.Status[0].Error != "Component not found in component map." || a.Status[0].Power != "" || a.Status[1].Power != "off" {
		t.Errorf("%+v", a.Status)
	}
	want(t, m, "POST", "/pcs/v1/power-status", `{}`, 200, &a)
	if len(a.Status) != 1 {
		t.Errorf("all that PCS knows: %+v", a.Status)
	}
}

// TestPCSWithoutHSM: a transition needs HSM, the cache does not.
func TestPCSWithoutHSM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Faults: []Fault{{Kind: "outage", Service: "hsm"}}})
		defer run(t, m)()
		id := transit(t, m, "On", x0)
		synctest.Wait()
		if got := transitionOf(t, m, id).Tasks[0].String(); got != x0+": failed: Error retrieving HSM data" {
			t.Error(got)
		}
		want(t, m, "GET", "/pcs/v1/power-status", "", 200, nil)
	})
}

// TestLatestLastingFault: of two faults that last the latest counts, and the one before it
// again when that has ended.
func TestLatestLastingFault(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1, Speed: 1, Manual: true})
	inject(t, m, Fault{Kind: "pcs_sample_interval", Value: "10m"})
	end := inject(t, m, Fault{Kind: "pcs_sample_interval", Value: "5m"})
	m.mu.Lock()
	got := m.sampleInterval()
	m.mu.Unlock()
	if end(); got != 5*time.Minute {
		t.Errorf("interval %v", got)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if got = m.sampleInterval(); got != 10*time.Minute {
		t.Errorf("interval %v after the end of the latest", got)
	}
}

func TestSampleInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 1, Speed: 10, Faults: []Fault{{Kind: "pcs_sample_interval", Value: "10m"}}})
		defer run(t, m)()
		transit(t, m, "On", x0)
		time.Sleep(59 * time.Second)
		if s := state(t, m, x0); s.Power != "on" || s.PCSPower != "off" {
			t.Errorf("%+v", s)
		}
		time.Sleep(2 * time.Second)
		if s := state(t, m, x0); s.PCSPower != "on" {
			t.Errorf("%+v", s)
		}
	})
}

func TestParseFault(t *testing.T) {
	for in, want := range map[string]Fault{
		"reporter_dead":                                     {Kind: "reporter_dead"},
		"kernel_panic:0.1":                                  {Kind: "kernel_panic", Fraction: 0.1},
		"kernel_panic:25%":                                  {Kind: "kernel_panic", Fraction: 0.25},
		"kernel_panic:" + x0 + "," + x1:                     {Kind: "kernel_panic", Nodes: []string{x0, x1}},
		"soft_off_slow:" + x0 + ":5m":                       {Kind: "soft_off_slow", Nodes: []string{x0}, Value: "5m"},
		"soft_off_slow:5m":                                  {Kind: "soft_off_slow", Value: "5m"},
		"soft_off_slow:0.5:5m@0.3":                          {Kind: "soft_off_slow", Fraction: 0.5, Value: "5m", Probability: 0.3},
		"power_on_fails:transport":                          {Kind: "power_on_fails", Value: "transport"},
		"outage:pcs":                                        {Kind: "outage", Service: "pcs"},
		"outage:pcs:502html":                                {Kind: "outage", Service: "pcs", Value: "502html"},
		"outage:blackhole":                                  {Kind: "outage", Value: "blackhole"},
		"error_rate:cfs:503@0.2":                            {Kind: "error_rate", Service: "cfs", Value: "503", Probability: 0.2},
		"page_size:10":                                      {Kind: "page_size", Value: "10"},
		"latency::1s-2s":                                    {Kind: "latency", Value: "1s-2s"},
		"outage:gateway:refuse":                             {Kind: "outage", Service: "gateway", Value: "refuse"},
		"expire_tokens_after:5m":                            {Kind: "expire_tokens_after", Value: "5m"},
		"outage:pcs:refuse,after=10m,for=90s,count=3":       {Kind: "outage", Service: "pcs", Value: "refuse", After: 10 * time.Minute, For: 90 * time.Second, Count: 3},
		"error_rate:503,methods=POST+patch,probability=0.5": {Kind: "error_rate", Value: "503", Methods: []string{"POST", "patch"}, Probability: 0.5},
		"kernel_panic:" + x0 + "," + x1 + ",for=1h":         {Kind: "kernel_panic", Nodes: []string{x0, x1}, For: time.Hour},
		"reporter_wrong_token:" + x0 + ":a=1,b=2":           {Kind: "reporter_wrong_token", Nodes: []string{x0}, Value: "a=1,b=2"},
	} {
		got, err := ParseFault(in)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", in, err, d)
		}
		m := newMachine(t, Config{Nodes: 2})
		if _, err := m.Inject(got); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	for in, want := range map[string]string{
		"outage,for=ever": `for: "ever" is neither`, "outage,count=1.5": `count: "1.5"`,
		"": "unknown fault", "gremlins": "known are arch_mismatch, auth_401,", "error_rate:cfs:503@often": `probability "often" is not a number`,
		"kernel_panic:0": "fraction 0: want more than 0", "kernel_panic:0%": "fraction 0: want more than 0", "cfs_fail:0": "fraction 0: want more than 0",
		"error_rate:cfs:503@0": "probability 0: want more than 0", "kernel_panic:0.1,probability=0": "probability 0: want more than 0",
	} {
		if _, err := ParseFault(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestInjectErrors(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	for _, tc := range []struct {
		fault Fault
		want  string
	}{
		{Fault{Kind: "gremlins"}, "unknown fault"},
		{Fault{Kind: "kernel_panic", Nodes: []string{"x9c0s0b0n0"}}, `no node "x9c0s0b0n0"`},
		{Fault{Kind: "kernel_panic", Fraction: 1.5}, "fraction 1.5"},
		{Fault{Kind: "kernel_panic", Fraction: 0.5, Nodes: []string{x0}}, "not both"},
		{Fault{Kind: "kernel_panic", Value: "now"}, "takes no value"},
		{Fault{Kind: "kernel_panic", Service: "hsm"}, "about nodes"},
		{Fault{Kind: "kernel_panic", Probability: -1}, "probability"},
		{Fault{Kind: "kernel_panic", Count: -1}, "must not be negative"},
		{Fault{Kind: "soft_off_slow", Value: "long"}, "a duration such as 90s"},
		{Fault{Kind: "latency", Value: "2s-1s"}, "a duration such as 90s"},
		{Fault{Kind: "reporter_wrong_token"}, "needs a value"},
		{Fault{Kind: "cfs_fail", Value: "-1"}, "whole number"},
		{Fault{Kind: "outage", Value: "504"}, "want one of 503, refuse"},
		{Fault{Kind: "outage", Service: "dns"}, `service "dns", want one of hsm`},
		{Fault{Kind: "outage", Nodes: []string{x0}}, "about a service"},
		{Fault{Kind: "page_loop", Service: "hsm"}, "about service cfs"},
		{Fault{Kind: "error_rate", Value: "200"}, "status from 400 to 599"},
		{Fault{Kind: "image_contention", Value: "0"}, "whole number from 1"},
		{Fault{Kind: "error_rate", Methods: []string{"FETCH"}}, `method "FETCH", want some of GET`},
		{Fault{Kind: "page_loop", Methods: []string{"GET"}}, "has no methods"},
		{Fault{Kind: "malformed", Service: "gateway"}, "passes bodies on"},
		{Fault{Kind: "deny_xname_mismatch", Service: "bss"}, "about service gateway"},
		{Fault{Kind: "require_auth", Service: "gateway"}, "may be off"},
		{Fault{Kind: "require_auth", Service: "hsm", Value: "off"}, "only the gateway"},
	} {
		if _, err := m.Inject(tc.fault); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.fault, err, tc.want)
		}
	}
	if got := m.Faults(); len(got) != 0 {
		t.Errorf("refused faults are in the machine: %+v", got)
	}
}

// TestSameChances: what a fault does to several lists of one answer depends on the seed,
// not on the order of a map.
func TestSameChances(t *testing.T) {
	once := func() string {
		m := newMachine(t, Config{Nodes: 20, Manual: true, Faults: []Fault{
			{Kind: "drop_items", Service: "hsm", Probability: 0.5}, {Kind: "image_deleted", Probability: 0.5},
		}})
		unknown := []string{x0, x1}
		for i := range 10 {
			unknown = append(unknown, fmt.Sprintf("x9c0s%db0n0", i))
		}
		body := `{"ComponentIDs":["` + strings.Join(unknown, `","`) + `"]}`
		text := call(t, m, "POST", "/hsm/v2/locks/status", body).Body.String()
		return text + call(t, m, "GET", "/ims/v3/images", "").Body.String()
	}
	first := once()
	for range 20 {
		if again := once(); again != first {
			t.Fatalf("the same requests find\n%s and\n%s", first, again)
		}
	}
}

// TestFaultsOverHTTP injects, lists and clears.
func TestFaultsOverHTTP(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	h := want(t, m, "POST", "/_sim/faults", `{"id":"mine","kind":"kernel_panic","fraction":0.5,"after":"1m","for":"90s"}`, 201, nil)
	if h.Get("Location") != "/_sim/faults/mine" {
		t.Errorf("Location %q", h.Get("Location"))
	}
	want(t, m, "POST", "/_sim/faults", `{"id":"mine","kind":"kernel_panic"}`, 400, nil)
	for _, body := range []string{``, `{`, `{"kind":"gremlins"}`, `{"kind":"kernel_panic","for":"long"}`} {
		want(t, m, "POST", "/_sim/faults", body, 400, nil)
	}
	var list []Fault
	want(t, m, "GET", "/_sim/faults", "", 200, &list)
	if d := cmp.Diff([]Fault{{ID: "mine", Kind: "kernel_panic", Fraction: 0.5, After: time.Minute, For: 90 * time.Second}}, list); d != "" {
		t.Error(d)
	}
	want(t, m, "DELETE", "/_sim/faults/mine", "", 204, nil)
	want(t, m, "DELETE", "/_sim/faults/mine", "", 404, nil)
	if err := m.Clear("mine"); !errors.Is(err, ErrNoFault) {
		t.Errorf("Clear: %v", err)
	}
}

// TestControl reads what the control API shows of a machine at work.
func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, Config{Nodes: 2, Report: new(reports).send})
		defer run(t, m)()
		putBoot(t, m, x0, "quiet spire_join_token=${SPIRE_JOIN_TOKEN}")
		transit(t, m, "On", x0)
		synctest.Wait()
		var s NodeState
		want(t, m, "GET", "/_sim/nodes/x01000c0s0b0n0", "", 200, &s)
		if s.Phase != "up" || s.Cmdline != "quiet spire_join_token= xname="+x0+" nid=1 ds=nocloud-net;s=http://10.92.100.81:8888/" || s.Token == "" {
			t.Errorf("%+v", s)
		}
		want(t, m, "GET", "/_sim/nodes/nid1", "", 404, nil)
		want(t, m, "GET", "/_sim/nodes/"+x0+"?since=yesterday", "", 400, nil)
		metrics := call(t, m, "GET", "/_sim/metrics", "").Body.String()
		for _, line := range []string{`bos_sim_nodes{phase="up"} 1`, `bos_sim_nodes{phase="off"} 1`, `bos_sim_requests_total{service="pcs",code="200"} 1`, "bos_sim_reports_total 1\n", "bos_sim_report_queue 0\n"} {
			if !strings.Contains(metrics, line) {
				t.Errorf("metrics lack %s:\n%s", line, metrics)
			}
		}
		calls := m.Calls("pcs")
		if len(calls) != 1 || calls[0].Path != "/pcs/v1/transitions" || calls[0].Items != 1 || calls[0].Status != 200 {
			t.Errorf("calls %+v", calls)
		}
	})
}

func TestCallLogIsARing(t *testing.T) {
	m := newMachine(t, Config{Nodes: 1})
	for i := range callLogLength + 10 {
		call(t, m, "GET", fmt.Sprintf("/hsm/v2/groups?tag=%d", i), "")
	}
	calls := m.Calls("")
	if len(calls) != callLogLength || calls[0].Path != "/hsm/v2/groups?tag=10" || calls[len(calls)-1].Path != fmt.Sprintf("/hsm/v2/groups?tag=%d", callLogLength+9) {
		t.Errorf("%d calls, first %s, last %s", len(calls), calls[0].Path, calls[len(calls)-1].Path)
	}
}
