package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootorch/bosgo/internal/app"
)

func noEnv(string) string { return "" }

// lines runs the command and returns what it says.
func lines(t *testing.T, getenv func(string) string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = run(args, getenv, &out, &err)
	return code, out.String(), err.String()
}

func TestUsageErrors(t *testing.T) {
	cut := filepath.Join(t.TempDir(), "cut.json")
	if err := os.WriteFile(cut, []byte(`{"Hardware": {`), 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--nodez", "3"}, 2, "nodez"},
		{[]string{"--nodes", "many"}, 2, `"many"`},
		{[]string{"--nodes", "0"}, 2, "--nodes 0: a machine has at least one node"},
		{[]string{"--nodes", "3", "--inventory", "x"}, 2, "exclude each other"},
		{[]string{"--inventory", ""}, 2, "--inventory needs the name of a file"},
		{[]string{"extra"}, 2, `unexpected argument "extra"`},
		{[]string{"--speed", "-1"}, 2, "speed -1"},
		{[]string{"--fault", "gremlins"}, 2, "unknown fault"},
		{[]string{"--fault", "gremlins"}, 2, "known are arch_mismatch, auth_401, bandwidth"},
		{[]string{"--fault", "kernel_panic:x9c0s0b0n0"}, 2, `no node "x9c0s0b0n0"; the machine has 16, from x1000c0s0b0n0`},
		{[]string{"--fault", "kernel_panic:0.1,count=-1"}, 2, "count, after and for must not be negative"},
		{[]string{"--fault", "kernel_panic:0.1,for=ever"}, 2, `"ever" is neither a number nor a duration`},
		{[]string{"--fault", "kernel_panic:1.5"}, 2, "fraction 1.5, want 0 to 1"},
		{[]string{"--fault", "outage:dns:503"}, 2, `service "dns", want one of hsm, pcs`},
		{[]string{"--fault", "outage:pcs:504"}, 2, "want one of 503, refuse, blackhole"},
		{[]string{"--fault", "hsm_locked,count=1"}, 2, "takes no count"},
		{[]string{"--nodes", "-5"}, 2, "--nodes -5: a machine has at least one node"},
		{[]string{"--seed", "-1"}, 2, `"-1"`},
		{[]string{"--bos-api", "bos"}, 2, `BOS URL "bos"`},
		{[]string{"--clock", "sundial"}, 2, `--clock "sundial" is not scaled or manual`},
		{[]string{"--log-level", "loud"}, 2, "loud"},
		{[]string{"--inventory", filepath.Join(t.TempDir(), "none.json")}, 2, "none.json: no such file"},
		{[]string{"--inventory", "."}, 2, "--inventory: "},
		{[]string{"--inventory", cut}, 2, "offset 14 (line 1): file is empty or cut short"},
		{[]string{"--listen", taken.Addr().String()}, 1, "is in use by another program"},
		{[]string{"--listen", "127.0.0.1:0", "--gateway-listen", "nowhere"}, 2, `--gateway-listen "nowhere"`},
		{[]string{"--listen", "127.0.0.1:0", "--gateway-listen", taken.Addr().String()}, 1, "is in use by another program"},
		{[]string{"--gateway-cert", "c"}, 2, "need --gateway-listen"},
		{[]string{"--service-listen", "dns=:0"}, 2, "want SERVICE=HOST:PORT"},
		{[]string{"--reporter-concurrency", "-1"}, 2, "--reporter-concurrency -1"},
		{[]string{"--listen", "nowhere"}, 2, `--listen "nowhere"`},
	} {
		code, stdout, stderr := lines(t, noEnv, tc.args...)
		if code != tc.code || stdout != "" || !strings.HasPrefix(stderr, "bos-sim: ") || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want exit %d and one line with %q", tc.args, code, stdout, stderr, tc.code, tc.want)
		}
	}
}

func TestHelp(t *testing.T) {
	code, stdout, stderr := lines(t, noEnv, "--help")
	if code != 0 || stderr != "" {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	for _, word := range []string{"/hsm/v2", "/pcs/v1", "/capmc/v1", "/cfs/v3", "/bss/boot/v1", "/ims/v3", "/s3", "/tapms/v1alpha3", "/_sim/nodes", "/_sim/clock", "/_sim/tenants", "-clock", "soft_off_ignored", "-inventory", "-gateway-listen", "-service-listen", "/apis/bos", "openid-connect/token", "expire_tokens_after",
		"clock_skew", "retry_after:hsm:5/429,count=3", "after=10m,for=90s", `"probability":0.5`, "any service:", "nodes:", "-extra-components", "-reporter-concurrency"} {
		if !strings.Contains(stdout, word) {
			t.Errorf("help lacks %s", word)
		}
	}
	if code, stdout, _ := lines(t, noEnv, "--version"); code != 0 || !strings.HasPrefix(stdout, "bos-sim ") {
		t.Errorf("--version: exit %d, %q", code, stdout)
	}
}

// TestEnvironment: flags come before the environment.
func TestEnvironment(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"BOS_API_URL": "http://env", "BOS_TOKEN_FILE": "/env/token"}[name]
	}
	cfg, err := app.ParseSimFlags(nil, env, io.Discard)
	if err != nil || cfg.BOSAPI != "http://env" || cfg.TokenFile != "/env/token" || cfg.Nodes != 16 || cfg.Speed != 1 || cfg.Listen.Addr != "127.0.0.1:9100" {
		t.Errorf("%+v %v", cfg, err)
	}
	if cfg, err = app.ParseSimFlags([]string{"--bos-api", "http://flag", "--inventory", "f"}, env, io.Discard); err != nil || cfg.BOSAPI != "http://flag" || cfg.Nodes != 0 {
		t.Errorf("%+v %v", cfg, err)
	}
}

// TestServe boots a node over HTTP and sees its report arrive at BOS.
func TestServe(t *testing.T) {
	reported := make(chan string, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bos := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			ActualState struct {
				BSSToken string `json:"bss_token"`
			} `json:"actual_state"`
		}
		json.NewDecoder(r.Body).Decode(&body)
		reported <- r.Method + " " + r.URL.Path + " " + body.ActualState.BSSToken
	})}
	go bos.Serve(listener)
	defer bos.Close()

	addresses, stop := start(t, 1, "--nodes", "2", "--speed", "0", "--bos-api", "http://"+listener.Addr().String(), "--fault", "post_hang:x1000c0s0b0n1")
	defer stop()
	url := addresses[0]
	send := func(method, path, body string) http.Header {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s = %d", method, path, resp.StatusCode)
		}
		return resp.Header
	}
	token := send("PUT", "/bss/boot/v1/bootparameters", `{"hosts":["x1000c0s0b0n0","x1000c0s0b0n1"],"kernel":"k","initrd":"i","params":"quiet"}`).Get("BSS-Referral-Token")
	send("POST", "/pcs/v1/transitions", `{"operation":"On","location":[{"xname":"x1000c0s0b0n1"},{"xname":"x1000c0s0b0n0"}]}`)
	if got, want := <-reported, "PATCH /v2/components/x1000c0s0b0n0 "+token; got != want {
		t.Errorf("report %q, want %q", got, want)
	}
}

// start runs the command and returns the addresses it listens on, of which it is to
// have some.
func start(t *testing.T, addresses int, args ...string) (urls []string, stop func()) {
	t.Helper()
	cfg, err := app.ParseSimFlags(append([]string{"--listen", "127.0.0.1:0"}, args...), noEnv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- app.RunSim(ctx, cfg, w)
		w.Close()
	}()
	stop = func() {
		cancel()
		if err := <-done; app.ExitCode("bos-sim", err, io.Discard) != app.ExitOK {
			t.Errorf("stopped with %v", err)
		}
	}
	out := bufio.NewReader(r)
	for len(urls) < addresses {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		i := strings.Index(line, " on http")
		if i < 0 {
			t.Fatalf("%q names no address", line)
		}
		urls = append(urls, strings.TrimSpace(line[i+len(" on "):]))
	}
	go io.Copy(io.Discard, out)
	return urls, stop
}

// TestRefusedConnections: the address of one service is closed while it refuses
// connections, and open again afterwards; the shared one answers all along.
func TestRefusedConnections(t *testing.T) {
	urls, stop := start(t, 3, "--nodes", "1", "--service-listen", "pcs=127.0.0.1:0", "--gateway-listen", "127.0.0.1:0")
	defer stop()
	shared, pcs, gateway := urls[0], urls[1], urls[2]
	status := func(method, url, body string) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	for _, tc := range []struct{ service, url string }{{"pcs", pcs + "/power-status"}, {"gateway", gateway + "/smd/hsm/v2/groups"}} {
		healthy, err := status("GET", tc.url, "")
		if err != nil || healthy != 200 && healthy != 401 {
			t.Fatalf("%s = %d %v", tc.url, healthy, err)
		}
		if code, err := status("POST", shared+"/_sim/faults", `{"id":"down","kind":"outage","service":"`+tc.service+`","value":"refuse"}`); code != 201 {
			t.Fatal(code, err)
		}
		poll := time.NewTicker(5 * time.Millisecond)
		defer poll.Stop()
		for ; !errors.Is(err, syscall.ECONNREFUSED); <-poll.C {
			_, err = status("GET", tc.url, "")
		}
		if code, err := status("GET", shared+"/pcs/v1/power-status", ""); (err == nil) != (tc.service == "gateway") {
			t.Errorf("PCS at the shared address = %d %v", code, err)
		}
		if code, err := status("DELETE", shared+"/_sim/faults/down", ""); code != 204 {
			t.Fatal(code, err)
		}
		for code := 0; code != healthy; <-poll.C {
			code, _ = status("GET", tc.url, "")
		}
	}
}

// TestGateway gets a token, and what it is good for, from outside.
func TestGateway(t *testing.T) {
	bos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	defer bos.Close()
	urls, stop := start(t, 2, "--nodes", "1", "--gateway-listen", "127.0.0.1:0", "--bos-api", bos.URL)
	defer stop()
	root := strings.TrimSuffix(urls[1], "/apis")
	resp, err := http.PostForm(root+"/keycloak/realms/shasta/protocol/openid-connect/token",
		url.Values{"grant_type": {"client_credentials"}, "client_id": {"admin-client"}, "client_secret": {"s"}})
	if err != nil {
		t.Fatal(err)
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(resp.Body).Decode(&token)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for bearer, want := range map[string]string{token.AccessToken: "200 /v2/healthz", "": "401 Jwt is missing"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", root+"/apis/bos/v2/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := fmt.Sprintf("%d %s", resp.StatusCode, body); err != nil || got != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}
