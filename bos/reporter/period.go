package reporter

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits of the report period.
const (
	// DefaultTTL is assumed where a node was not told one. Source: BOS v2 API, Options.component_actual_state_ttl.
	DefaultTTL = 4 * time.Hour
	// MinPeriod is the shortest pause between two reports.
	MinPeriod = 30 * time.Second
	// MaxTTL is the longest TTL taken at its word: ten years.
	MaxTTL = 10 * 365 * 24 * time.Hour
)

var ttlUnits = map[byte]time.Duration{
	's': time.Second,
	'm': time.Minute,
	'h': time.Hour,
	'd': 24 * time.Hour,
	'w': 7 * 24 * time.Hour,
}

// ParseTTL reads a duration as the option component_actual_state_ttl has it: digits and one of the units s, m, h, d
// and w in either case, as in "4h". "0" needs no unit. Longer than [MaxTTL] is MaxTTL.
func ParseTTL(s string) (time.Duration, error) {
	digits := strings.TrimRight(s, "smhdwSMHDW")
	if digits == "" || strings.Trim(digits, "0123456789") != "" || len(s)-len(digits) > 1 {
		return 0, fmt.Errorf("%q is not a duration such as 4h", s)
	}
	if strings.Trim(digits, "0") == "" {
		return 0, nil
	}
	if len(digits) == len(s) {
		return 0, fmt.Errorf("%q is not a duration such as 4h: the unit is missing", s)
	}
	unit := ttlUnits[s[len(s)-1]|0x20] // to lower case
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > int64(MaxTTL/unit) { // err: more digits than an int64 has
		return MaxTTL, nil
	}
	return time.Duration(n) * unit, nil
}

// Period returns how often a node reports that was told ttl with bos_update_frequency: three quarters of it, and not
// less than [MinPeriod]. Zero means once. Where the text is malformed or the period too short, the error says so, and
// the period returned is nevertheless the one to use.
func Period(ttl string) (time.Duration, error) {
	d, err := ParseTTL(ttl)
	if err != nil {
		return DefaultTTL / 4 * 3, fmt.Errorf("%w; %v is assumed", err, DefaultTTL)
	}
	period := d / 4 * 3
	if period > 0 && period < MinPeriod {
		return MinPeriod, fmt.Errorf("%q is too short: reporting every %v", ttl, MinPeriod)
	}
	return period, nil
}

// FirstWait returns the pause after the first report. It is a random part of the period, so that nodes that
// booted together drift apart; every later pause is the whole period. random is in [0,1).
func FirstWait(period time.Duration, random float64) time.Duration {
	return time.Duration(float64(period) * random)
}
