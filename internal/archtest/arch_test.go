// Package archtest checks who may import whom: docs/architecture.md has the picture, this test the rules.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bootorch/bosgo/"

// pkg is what the go command tells of a package.
type pkg struct {
	ImportPath   string
	Imports      []string // of the package itself
	TestImports  []string
	XTestImports []string
	Deps         []string // all, transitively
	Standard     bool
}

// load lists the packages of the module, keyed by their path below it ("bos", "store/memstore").
func load(t *testing.T) map[string]pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps,Standard", module+"...").Output()
	if err != nil {
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, ee.Stderr)
		}
		t.Fatal(err)
	}
	pkgs := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[strings.TrimPrefix(p.ImportPath, module)] = p
	}
	return pkgs
}

// ours returns the imports that lie in the module, below it.
func ours(imports []string) []string {
	var in []string
	for _, i := range imports {
		if rest, ok := strings.CutPrefix(i, module); ok {
			in = append(in, rest)
		}
	}
	return in
}

// standard reports whether path is of the standard library: no dot in its first element.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func below(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return path == d || strings.HasPrefix(path, d+"/") })
}

// testPackage reports whether path is a package for tests: its last element ends in "test".
func testPackage(path string) bool { return strings.HasSuffix(path, "test") }

// wiring are the directories that assemble programs; they may import everything.
func wiring(path string) bool {
	return below(path, "cmd", "examples", "internal/app", "internal/bench")
}

func TestImports(t *testing.T) {
	pkgs := load(t)
	rules := []struct {
		name, reason string
		applies      func(path string) bool
		allowed      func(path, imported string) bool // of our own packages, direct imports
		modules      func(path, imported string) bool // of other modules, direct imports; nil = any
	}{
		{
			name: "vocabulary", reason: "bos is what everybody imports: it must cost nothing",
			applies: func(p string) bool { return p == "bos" },
			allowed: func(_, _ string) bool { return false },
			modules: func(_, _ string) bool { return false },
		},
		{
			name: "limit and operator", reason: "vendors import them: they add the vocabulary and nothing else",
			applies: func(p string) bool { return p == "bos/limit" || p == "operator" },
			allowed: func(_, i string) bool { return i == "bos" },
			modules: func(_, _ string) bool { return false },
		},
		{
			name: "operators", reason: "operators see the API, not the database",
			applies: func(p string) bool { return p == "operator/builtin" },
			allowed: func(_, i string) bool { return !below(i, "store") && !testPackage(i) && !wiring(i) },
		},
		{
			name: "seams", reason: "the services are independent of one another, of the store and of the operators",
			applies: func(p string) bool { return below(p, "hsm", "pcs", "cfs", "clients") && !testPackage(p) },
			allowed: func(p, i string) bool { return i == "bos" || i == "internal/rest" || below(p, i) }, // an implementation below its seam
		},
		{
			name: "store", reason: "the store knows the vocabulary alone, and only a driver a database library",
			applies: func(p string) bool { return p == "store" },
			allowed: func(_, i string) bool { return i == "bos" },
			modules: func(_, _ string) bool { return false },
		},
		{
			name: "drivers", reason: "drivers know the store and not one another",
			applies: func(p string) bool { return below(p, "store") && p != "store" && !testPackage(p) },
			allowed: func(_, i string) bool { return i == "bos" || i == "store" },
		},
		{
			name: "reporter", reason: "the reporter runs on every node: standard library only",
			applies: func(p string) bool { return below(p, "bos/reporter", "cmd/bos-reporter") && !testPackage(p) },
			allowed: func(_, i string) bool { return i == "bos/reporter" },
			modules: func(_, _ string) bool { return false },
		},
		{
			name: "simulator", reason: "the simulated machine knows BOS from outside only: its nodes run the reporter",
			applies: func(p string) bool { return p == "internal/fleet" },
			allowed: func(_, i string) bool { return i == "bos/reporter" },
		},
		{
			name: "server", reason: "the rules of the API work over any store and know no driver",
			applies: func(p string) bool { return p == "bos/bosserver" },
			allowed: func(_, i string) bool {
				return below(i, "bos", "clients") && !testPackage(i) || i == "store" || i == "internal/rest"
			},
		},
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			found := false
			for path, p := range pkgs {
				if !rule.applies(path) {
					continue
				}
				found = true
				for _, imported := range ours(p.Imports) {
					if !rule.allowed(path, imported) {
						t.Errorf("%s imports %s: %s", path, imported, rule.reason)
					}
				}
				for _, imported := range p.Imports {
					if rule.modules != nil && !standard(imported) && !strings.HasPrefix(imported, module) && !rule.modules(path, imported) {
						t.Errorf("%s imports %s: %s", path, imported, rule.reason)
					}
				}
			}
			if !found {
				t.Errorf("no package matches the rule %q: it checks nothing", rule.name)
			}
		})
	}
}

// TestShippedCode keeps test packages out of what ships, apart from the simulator and the demonstration.
func TestShippedCode(t *testing.T) {
	for path, p := range load(t) {
		if testPackage(path) || below(path, "examples", "internal/fleet", "internal/archtest") {
			continue
		}
		for _, imported := range ours(p.Imports) {
			if testPackage(imported) {
				t.Errorf("%s imports %s: packages for tests do not ship", path, imported)
			}
		}
	}
}

// TestHeavyModules keeps libraries where they belong, so that an importer of bos or operator does not pull them in.
func TestHeavyModules(t *testing.T) {
	homes := map[string][]string{
		"github.com/redis/go-redis":     {"store/redisstore", "store/storetest", "internal/app", "cmd", "bos/bostest"},
		"go.etcd.io/bbolt":              {"store/boltstore", "internal/app", "cmd", "store/storetest", "bos/bostest"},
		"github.com/spf13/cobra":        {"cmd/bos"},
		"github.com/prometheus":         {"internal/app", "cmd"},
		"github.com/aws/aws-sdk-go-v2":  {"clients/manifest", "internal/app", "cmd", "internal/fleet"},
		"github.com/getkin/kin-openapi": {"bos/bosserver", "bos/bostest", "internal/app", "cmd", "operator/operatortest"},
	}
	for path, p := range load(t) {
		if testPackage(path) || below(path, "examples", "internal/bench") { // bench starts whole systems
			continue
		}
		for _, dep := range p.Deps {
			for heavy, dirs := range homes {
				if strings.HasPrefix(dep, heavy) && !below(path, dirs...) {
					t.Errorf("%s depends on %s: it belongs to %v alone", path, dep, dirs)
				}
			}
		}
	}
}
