package reporter

import (
	"os"
	"strings"
	"testing"
)

// The manual and the configuration that is installed name every key; the manual also its environment variable, and
// every line of the log.
func TestDocumentation(t *testing.T) {
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	manual, conf := read("../../docs/reporter.md"), read("../../deploy/reporter/bos-reporter.conf")
	for _, k := range Keys() {
		if !strings.Contains(manual, "| `"+k.Name+"` | `"+k.Env+"` |") {
			t.Errorf("docs/reporter.md has no row for %s with %s", k.Name, k.Env)
		}
		if !strings.Contains(conf, "\n#"+k.Name+" =") {
			t.Errorf("bos-reporter.conf does not show %s", k.Name)
		}
	}
	for o := Accepted; o <= Unreadable; o++ {
		if !strings.Contains(manual, "`"+o.String()+"`") {
			t.Errorf("docs/reporter.md does not explain %q", o)
		}
	}
}
