package app

import (
	"errors"
	"flag"
	"strings"
	"testing"
)

// TestHelpOnRequestOnly: a mistake in the arguments is worth one line, which is not this output.
func TestHelpOnRequestOnly(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		help bool
	}{
		{"help", []string{"--help"}, true},
		{"unknown flag", []string{"--bogus"}, false},
		{"bad value", []string{"--speed", "fast"}, false},
		{"argument", []string{"surplus"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out strings.Builder
			f := NewFlags("bos-test", "bos-test is a test.", environment(nil), &out)
			f.Float64("speed", 1, "how fast")
			err := f.Parse(row.args)
			if errors.Is(err, flag.ErrHelp) != row.help || err == nil {
				t.Errorf("error %v", err)
			}
			if got := strings.HasPrefix(out.String(), "bos-test is a test.") && strings.Contains(out.String(), "\n  --speed float\n    \thow fast"); got != row.help || !row.help && out.Len() > 0 {
				t.Errorf("output %q", out.String())
			}
		})
	}
}
