package main

import (
	"strings"
	"testing"
)

// TestRun: help goes where it can be piped from, a mistake is one line elsewhere.
func TestRun(t *testing.T) {
	for _, row := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"--help"}, 0, "Flags:", ""},
		{[]string{"--version"}, 0, "bos-operator ", ""},
		{[]string{"--run", "status,status"}, 2, "", "names status twice"},
	} {
		var stdout, stderr strings.Builder
		code := run(row.args, func(string) string { return "" }, &stdout, &stderr)
		if code != row.code || !strings.Contains(stdout.String(), row.stdout) || !strings.Contains(stderr.String(), row.stderr) {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", row.args, code, stdout.String(), stderr.String())
		}
		if lines := strings.Count(stderr.String(), "\n"); lines != min(code, 1) || code > 0 && stdout.Len() > 0 {
			t.Errorf("%v: %d lines on stderr, stdout %q", row.args, lines, stdout.String())
		}
	}
}
