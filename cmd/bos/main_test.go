package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/internal/app"
)

// bosCommand runs the command as main does and returns what it printed.
func bosCommand(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, func(name string) string { return env[name] }, &out, &errs)
	return code, out.String(), errs.String()
}

func demoJSON(t *testing.T, args ...string) (int, demoSummary, string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	code, stdout, stderr := bosCommand(t, nil, append([]string{"demo", "--json"}, args...)...)
	var sum demoSummary
	if err := json.Unmarshal([]byte(stdout), &sum); err != nil {
		t.Fatalf("stdout is not one JSON object: %v\n%s\n%s", err, stdout, stderr)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return code, sum, stderr
}

func TestDemo(t *testing.T) {
	code, sum, stderr := demoJSON(t, "--nodes", "12", "--speed", "0")
	if code != 0 || !sum.OK || sum.Nodes != 12 || len(sum.Failures) != 0 {
		t.Fatalf("exit %d, %+v\n%s", code, sum, stderr)
	}
	want := []struct {
		operation  string
		components int
	}{{"boot", 12}, {"reboot", 12}, {"shutdown", 8}}
	if len(sum.Sessions) != len(want) {
		t.Fatalf("%d sessions, want %d: %+v", len(sum.Sessions), len(want), sum.Sessions)
	}
	for i, w := range want {
		s := sum.Sessions[i]
		if s.Operation != w.operation || s.Components != w.components || s.Status != "complete" || s.PercentSuccessful != 100 || s.PercentFailed != 0 {
			t.Errorf("session %d = %+v, want %+v, complete, 100 %%", i, s, w)
		}
	}
}

// inventory has a compute node of each kind, a UAN and a management node.
const inventory = `{"Components":[
 {"ID":"x3000c0s1b0n0","Type":"Node","State":"Off","Role":"Compute","NID":1,"Arch":"X86"},
 {"ID":"x3000c0s2b0n0","Type":"Node","State":"Off","Role":"Compute","NID":2,"Arch":"X86"},
 {"ID":"x3000c0s3b0n0","Type":"Node","State":"Off","Role":"Application","SubRole":"UAN","NID":3,"Arch":"X86"},
 {"ID":"x3000c0s4b0n0","Type":"Node","State":"Ready","Role":"Management","SubRole":"Worker","NID":4,"Arch":"X86"}]}`

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDemoInventoryCoversComputeNodesAlone(t *testing.T) {
	code, sum, stderr := demoJSON(t, "--inventory", writeFile(t, "hsm.json", inventory), "--speed", "0")
	if code != 0 || !sum.OK || sum.Nodes != 4 || sum.Sessions[0].Components != 2 {
		t.Errorf("exit %d, %+v\n%s", code, sum, stderr)
	}
}

func TestDemoSharedInventory(t *testing.T) {
	path := "../../../shared/data/sls/EX4000_River.json"
	if _, err := os.Stat(path); err != nil {
		t.Skip("no real inventory beside the repository")
	}
	code, sum, stderr := demoJSON(t, "--inventory", path, "--speed", "0")
	if code != 0 || !sum.OK || sum.Nodes != 269 || sum.Sessions[0].Components != 257 {
		t.Errorf("exit %d, %+v\n%s", code, sum, stderr)
	}
}

// TestDemoFaults breaks three of four nodes: one refuses to go off, one never boots, the configuration of one fails.
func TestDemoFaults(t *testing.T) {
	code, sum, stderr := demoJSON(t, "--nodes", "4", "--speed", "0", "--fault", "soft_off_ignored:x1000c0s0b0n0",
		"--fault", "kernel_panic:x1000c0s0b0n1", "--fault", "cfs_fail:x1000c0s0b1n0:9")
	if code != 1 || sum.OK || len(sum.Failures) != 2 || len(sum.Sessions) != 3 {
		t.Fatalf("exit %d, %+v\n%s", code, sum, stderr)
	}
	for i, want := range []demoFailure{{"x1000c0s0b0n1", "no boot report"}, {"x1000c0s0b1n0", "cfs configuration failed"}} {
		if got := sum.Failures[i]; got.Xname != want.Xname || !strings.Contains(got.Cause, want.Cause) {
			t.Errorf("failure %+v, want %+v", got, want)
		}
	}
	for i, failed := range []float64{50, 50, 0} { // the shutdown forces off what refuses
		if s := sum.Sessions[i]; s.Status != "complete" || s.PercentFailed != failed || s.PercentSuccessful != 100-failed {
			t.Errorf("session %+v, want complete with %v %% failed", s, failed)
		}
	}
}

func TestUsage(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	truncated := writeFile(t, "cut.json", inventory[:200])
	for _, row := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"unknown command", []string{"sesions"}, 2, []string{`unknown command "sesions"`, `did you mean "sessions"`}},
		{"unknown flag", []string{"sessions", "list", "--statsu"}, 2, []string{"--statsu", "--help"}},
		{"missing name", []string{"sessions", "describe"}, 2, []string{"NAME is missing"}},
		{"surplus", []string{"health", "now"}, 2, []string{`unexpected argument "now"`}},
		{"bad output", []string{"health", "-o", "xml"}, 2, []string{"table, json, yaml"}},
		{"bad status", []string{"sessions", "list", "--status", "done"}, 2, []string{"pending, running, complete"}},
		{"bad age", []string{"sessions", "list", "--min-age", "5y"}, 2, []string{"5y"}},
		{"no file", []string{"templates", "create", "t"}, 2, []string{"--file is missing"}},
		{"absent file", []string{"templates", "create", "t", "-f", "/nonexistent"}, 2, []string{"/nonexistent"}},
		{"not a number", []string{"demo", "--nodes", "many"}, 2, []string{"--nodes", `"many"`, "whole number"}},
		{"absent token file", []string{"health", "--token-file", "/nonexistent"}, 2, []string{"--token-file", "/nonexistent"}},
		{"token file that is a directory", []string{"health", "--token-file", os.TempDir()}, 2, []string{"--token-file", "is a directory"}},
		{"absent CA file", []string{"health", "--ca-file", "/nonexistent"}, 2, []string{"--ca-file", "/nonexistent"}},
		{"no time", []string{"health", "--timeout", "0s"}, 2, []string{"--timeout"}},
		{"bad operation", []string{"sessions", "create", "--template", "t", "--operation", "bot"}, 2, []string{"boot, reboot, shutdown"}},
		{"limit with a space", []string{"sessions", "create", "--template", "t", "--operation", "boot", "--limit", "x1, x2"}, 2, []string{"--limit", "x1, x2", "space"}},
		{"bad component status", []string{"components", "list", "--status", "broken"}, 2, []string{"failed", "on_hold"}},
		{"bad phase", []string{"components", "list", "--phase", "on"}, 2, []string{"powering_on"}},
		{"bad kind", []string{"events", "--kind", "node"}, 2, []string{"component, session"}},
		{"value of the wrong kind", []string{"templates", "create", "t", "-f", writeFile(t, "t.json", `{"boot_sets":"x"}`)}, 2, []string{"t.json", "boot_sets", "a string"}},
		{"document of the wrong kind", []string{"templates", "create", "t", "-f", writeFile(t, "l.json", `[1]`)}, 2, []string{"l.json"}},
		{"flag of the client for a server", []string{"serve", "--tenant", "t"}, 2, []string{"--tenant", "--help"}},
		{"flag of the client for the demonstration", []string{"demo", "--api", "http://x"}, 2, []string{"--api", "--help"}},
		{"speed of a real machine", []string{"serve", "--store", "memory:", "--speed", "5"}, 2, []string{"--speed", "--simulate"}},
		{"upstream of a simulated machine", []string{"serve", "--store", "memory:", "--simulate", "2", "--hsm-url", "http://x"}, 2, []string{"--hsm-url"}},
		{"bench of no nodes", []string{"bench", "--nodes", "0"}, 2, []string{"--nodes"}},
		{"bench of no sizes", []string{"bench", "--sizes", "x"}, 2, []string{"--sizes", "whole numbers"}},
		{"bench that is too small", []string{"bench", "--nodes", "5", "--sizes", "9"}, 2, []string{"--sizes", "5 nodes"}},
		{"bench without a place for its result", []string{"bench", "--json", "/nonexistent/r.json"}, 2, []string{"--json", "/nonexistent"}},
		{"option of the wrong kind", []string{"options", "update", "polling_frequency=abc"}, 2, []string{"polling_frequency", `"abc" is not a whole number`}},
		{"flag that is neither", []string{"options", "update", "reject_nids=maybe"}, 2, []string{"reject_nids", "neither true nor false"}},
		{"no setting", []string{"settings", "update", "bogus=1"}, 2, []string{"bogus", "max_configure_wait_time"}},
		{"no option", []string{"options", "update", "bogus=1"}, 2, []string{"bogus", "polling_frequency"}},
		{"nobody listens", []string{"health", "--api", "http://127.0.0.1:1"}, 1, []string{"127.0.0.1:1", "--api"}},
		{"bad API", []string{"health", "--api", "127.0.0.1"}, 2, []string{"--api"}},
		{"demo of no nodes", []string{"demo", "--nodes", "0"}, 2, []string{"--nodes"}},
		{"demo of two machines", []string{"demo", "--nodes", "3", "--inventory", "x"}, 2, []string{"exclude each other"}},
		{"demo with an unknown fault", []string{"demo", "--fault", "gremlins"}, 2, []string{"gremlins", "kernel_panic"}},
		{"demo with a truncated inventory", []string{"demo", "--inventory", truncated}, 2, []string{"--inventory", truncated, "offset 200"}},
		{"demo with an absent inventory", []string{"demo", "--inventory", "/nonexistent.json"}, 2, []string{"--inventory", "/nonexistent.json"}},
		{"serve on a taken port", []string{"serve", "--store", "memory:", "--listen", busy.Addr().String()}, 1, []string{"in use"}},
		{"metrics on a taken port", []string{"serve", "--store", "memory:", "--listen", "127.0.0.1:0", "--metrics-listen", busy.Addr().String()}, 1, []string{"in use", "--metrics-listen"}},
		{"serve with a mistyped directory", []string{"serve", "--store", "bolt:/nonexistent/bos.db", "--listen", "127.0.0.1:0"}, 2, []string{"no directory /nonexistent"}},
		{"serve with a level that is none", []string{"serve", "--store", "memory:", "--log-level", "LOUD"}, 2, []string{"LOUD", "WARNING"}},
		{"serve with a bad Redis URL", []string{"serve", "--store", "redis://127.0.0.1:1/7", "--listen", "127.0.0.1:0"}, 2, []string{"database number"}},
		{"serve with an unknown store", []string{"serve", "--store", "mysql:", "--listen", "127.0.0.1:0"}, 2, []string{"mysql:", "bolt:PATH"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, _, stderr := bosCommand(t, nil, row.args...)
			if code != row.code {
				t.Errorf("exit %d, want %d", code, row.code)
			}
			if n := strings.Count(stderr, "\n"); n != 1 {
				t.Errorf("%d lines on stderr, want 1:\n%s", n, stderr)
			}
			for _, want := range row.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr %q lacks %q", stderr, want)
				}
			}
		})
	}
}

// TestClientFlags: those of the commands that ask a service, before or behind the command, and of no others.
func TestClientFlags(t *testing.T) {
	for _, args := range [][]string{{"--api", "http://127.0.0.1:1", "-o", "json", "sessions", "list"}, {"sessions", "--api=http://127.0.0.1:1", "list", "-o", "json"}} {
		if code, _, stderr := bosCommand(t, nil, args...); code != 1 || !strings.Contains(stderr, "127.0.0.1:1") {
			t.Errorf("bos %v: exit %d: %s", args, code, stderr)
		}
	}
	for _, command := range []string{"demo", "serve", "bench", "backup", "restore", "migrate", "sanitize"} {
		if _, help, _ := bosCommand(t, nil, command, "--help"); strings.Contains(help, "--tenant") {
			t.Errorf("bos %s --help lists flags that it does not use", command)
		}
	}
}

func TestVersionWithoutAService(t *testing.T) {
	code, stdout, stderr := bosCommand(t, nil, "version", "--api", "http://127.0.0.1:1")
	if code != 1 || !strings.Contains(stdout, app.Version()) || !strings.Contains(stderr, "127.0.0.1:1") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

func TestHelpTeaches(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"sessions"}, {"demo", "--help"}} {
		if code, stdout, stderr := bosCommand(t, nil, args...); code != 0 || !strings.Contains(stdout, "Usage:") {
			t.Errorf("bos %v: exit %d, %s%s", args, code, stdout, stderr)
		}
	}
}

// TestTokenFromAPipe gives the token as a shell does for --token-file <(command).
func TestTokenFromAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skip("pipes have no names here")
	}
	_, _ = w.WriteString("secret\n")
	w.Close()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	if code, _, stderr := bosCommand(t, nil, "options", "list", "--api", server.URL, "--token-file", path); code != 0 || got != "Bearer secret" {
		t.Errorf("exit %d, sent %q\n%s", code, got, stderr)
	}
}
