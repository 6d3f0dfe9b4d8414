package reporter

import (
	"fmt"
	"os"
	"strings"
)

// Parameters that BOS and BSS put on a node's kernel command line.
const (
	ParamXname   = "xname"                // the component's id
	ParamToken   = "bss_referral_token"   //nolint:gosec // what to report: the name of a parameter
	ParamTTL     = "bos_update_frequency" // the option component_actual_state_ttl when the node booted
	ParamLog     = "bos_log_level"        // log level of the reporter
	ParamSession = "bos_session_id"       // written by BOS v1 only; shown, never used
)

// CommandLine is a kernel command line, split into words.
type CommandLine []string

// ParseCommandLine splits the content of /proc/cmdline at white space.
func ParseCommandLine(s string) CommandLine { return strings.Fields(s) }

// ReadCommandLine reads and parses a file such as /proc/cmdline.
func ReadCommandLine(path string) (CommandLine, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the kernel command line: %w", err)
	}
	return ParseCommandLine(string(b)), nil
}

// Value returns what follows the first "key=", without one pair of surrounding double quotes. It may be
// empty, and it may itself contain "=".
func (c CommandLine) Value(key string) (value string, found bool) {
	for _, word := range c {
		if k, v, ok := strings.Cut(unquote(word), "="); ok && k == key {
			return unquote(v), true
		}
	}
	return "", false
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
