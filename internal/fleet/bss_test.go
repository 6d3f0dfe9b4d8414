package fleet

import (
	"strings"
	"testing"
)

func TestBSSTokens(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	const path = "/bss/boot/v1/bootparameters"
	w := call(t, m, "PUT", path, `{"hosts":["`+x0+`","`+x1+`","anybody"],"params":"quiet","kernel":"s3://k","initrd":"s3://i","cloud-init":{"meta-data":{"a":1}}}`)
	first := w.Header().Get("BSS-Referral-Token")
	if w.Code != 200 || w.Body.Len() != 0 || first == "" {
		t.Fatalf("PUT = %d %q, token %q; want 200, an empty body and a token", w.Code, w.Body, first)
	}
	h := want(t, m, "PUT", path, `{"hosts":["`+x0+`"],"params":"quiet","kernel":"s3://k","initrd":"s3://i"}`, 200, nil)
	second := h.Get("BSS-Referral-Token")
	if second == "" || second == first {
		t.Errorf("a PUT of the same data has token %q after %q; want a new one", second, first)
	}
	script := func(x string) string {
		t.Helper()
		w := call(t, m, "GET", "/bss/boot/v1/bootscript?name="+x, "")
		if w.Code != 200 {
			t.Fatalf("bootscript of %s: %d %s", x, w.Code, w.Body)
		}
		return w.Body.String()
	}
	// All hosts of a request share its token; fetching does not change it.
	if s := script(x1); !strings.Contains(s, "bss_referral_token="+first) || s != script(x1) {
		t.Errorf("script of %s:\n%s", x1, s)
	}
	if s := script(x0); !strings.Contains(s, "kernel --name kernel http://example.com/s3/k?X-Amz-") || !strings.Contains(s, " initrd=initrd quiet xname="+x0+" nid=1 bss_referral_token="+second+" ds=nocloud-net;s=") {
		t.Errorf("script of %s:\n%s", x0, s)
	}
	// PUT replaces, cloud-init included; a list never shows the token.
	w = call(t, m, "GET", path+"?name="+x0+","+x1, "")
	if got, want := strings.TrimSpace(w.Body.String()), `[{"hosts":["`+x0+`"],"params":"quiet","kernel":"s3://k","initrd":"s3://i"},`+
		`{"hosts":["`+x1+`"],"params":"quiet","kernel":"s3://k","initrd":"s3://i","cloud-init":{"meta-data":{"a":1}}}]`; got != want {
		t.Errorf("bootparameters\n%s, want\n%s", got, want)
	}
	// PATCH keeps the token, POST refuses what exists.
	want(t, m, "PATCH", path, `{"hosts":["`+x0+`"],"params":"loud"}`, 200, nil)
	if s := script(x0); !strings.Contains(s, " loud xname=") || !strings.Contains(s, second) {
		t.Errorf("after PATCH:\n%s", s)
	}
	want(t, m, "PATCH", path, `{"hosts":["nobody"],"params":"loud"}`, 404, nil)
	want(t, m, "POST", path, `{"hosts":["`+x0+`"],"kernel":"k"}`, 400, nil)
	if h := want(t, m, "POST", path, `{"hosts":["new"],"kernel":"k"}`, 201, nil); h.Get("BSS-Referral-Token") == "" {
		t.Error("POST has no token")
	}
	want(t, m, "DELETE", path, `{"hosts":["new"]}`, 200, nil)
	want(t, m, "DELETE", path, `{"hosts":["new"]}`, 400, nil)
	// Without hosts there is no token, and 200 all the same.
	for _, body := range []string{`{}`, `{"kernel":"k","params":"p"}`} {
		if h := want(t, m, "PUT", path, body, 200, nil); h.Get("BSS-Referral-Token") != "" {
			t.Errorf("PUT %s has a token", body)
		}
	}
	want(t, m, "PUT", path, `{"hosts":`, 400, nil)
	want(t, m, "GET", path+"?nid=x", "", 400, nil)
	want(t, m, "GET", path+"?nid=99", "", 404, nil)
	if w := call(t, m, "TRACE", path, ""); w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Errorf("TRACE = %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestBootScript(t *testing.T) {
	m := newMachine(t, Config{Nodes: 2})
	put := func(host, params string) string {
		h := want(t, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":["`+host+`"],"params":"`+params+`","kernel":"k","initrd":"i"}`, 200, nil)
		return h.Get("BSS-Referral-Token")
	}
	line := func(query string) string {
		t.Helper()
		w := call(t, m, "GET", "/bss/boot/v1/bootscript?"+query, "")
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return strings.Split(w.Body.String(), "\n")[1]
	}
	want(t, m, "GET", "/bss/boot/v1/bootscript", "", 400, nil)
	want(t, m, "GET", "/bss/boot/v1/bootscript?name="+x0, "", 404, nil)
	want(t, m, "GET", "/bss/boot/v1/bootscript?name=nobody", "", 404, nil)
	// The order: own entry, NID, role, Default.
	for _, host := range []string{"Default", "Compute", "nid1", x0} {
		token := put(host, "from="+host)
		for _, query := range []string{"name=" + x0, "nid=1", "mac=02:00:00:00:00:00"} {
			if l := line(query); !strings.Contains(l, "from="+host) || !strings.Contains(l, "bss_referral_token="+token) {
				t.Errorf("with an entry for %s, %s gets %s", host, query, l)
			}
		}
	}
	if l := line("name=" + x1); !strings.Contains(l, "from=Compute") {
		t.Errorf("a node without an entry of its own gets %s", l)
	}
	// A parameter of the user masks what BSS would add.
	put(x0, "bss_referral_token=mine nid=7 join=${SPIRE_JOIN_TOKEN} initrd=other rest")
	l := line("name=" + x0)
	if strings.Count(l, "bss_referral_token=") != 1 || strings.Count(l, "nid=") != 1 || strings.Contains(l, "SPIRE") || strings.Contains(l, "initrd=other") || !strings.Contains(l, "rest xname=") {
		t.Errorf("line %s", l)
	}
	if other := line("name=" + x0); other == l {
		t.Error("the join token is the same for two requests")
	}
	var history []struct {
		Name, Endpoint string
		Last           int64 `json:"last_epoch"`
	}
	if want(t, m, "GET", "/bss/boot/v1/endpoint-history?name="+x0+"&endpoint=bootscript", "", 200, &history); len(history) != 1 || history[0].Name != x0 || history[0].Last == 0 {
		t.Errorf("history %+v", history)
	}
}

// TestBSSPatchKeepsHostsApart: a PATCH of hosts that share nothing, or everything, changes
// what it names, in their own entries.
func TestBSSPatchKeepsHostsApart(t *testing.T) {
	m := newMachine(t, Config{Nodes: 3})
	x2 := m.nodes[2].xname
	want(t, m, "PUT", bootParameters, `{"hosts":["`+x0+`","`+x2+`"],"kernel":"one","params":"old"}`, 200, nil)
	want(t, m, "PUT", bootParameters, `{"hosts":["`+x1+`"],"kernel":"two","params":"old"}`, 200, nil)
	want(t, m, "PATCH", bootParameters, `{"hosts":["`+x0+`","`+x1+`"],"params":"new"}`, 200, nil)
	for x, entry := range map[string]string{x0: "one new", x1: "two new", x2: "one old"} {
		var list []bssRequest
		want(t, m, "GET", bootParameters+"?name="+x, "", 200, &list)
		if got := list[0].Kernel + " " + list[0].Params; got != entry {
			t.Errorf("%s has %s, want %s", x, got, entry)
		}
	}
}
