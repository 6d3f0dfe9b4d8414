package bos

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	nodeXname   = regexp.MustCompile(`^x[0-9]{1,4}c[0-7]s[0-9]+b[0-9]+n[0-9]+$`)
	nodePattern = regexp.MustCompile(`x[0-9]+c[0-9]+s[0-9]+b[0-9]+n[0-9]+`)
	digitRun    = regexp.MustCompile(`[0-9]+`)
	namePattern = regexp.MustCompile(`^[a-zA-Z0-9](?:[-._a-zA-Z0-9]{0,125}[a-zA-Z0-9])?$`)
)

// CanonicalXname returns the spelling of a node's name that every service understands: lower case, and no leading
// zeros in the numbers of a node xname wherever one occurs ("X03000C00S01B00N0" becomes "x3000c0s1b0n0"). Other text
// is only lower-cased. It does not validate. Source: BOS v2 API, template sanitising.
func CanonicalXname(name string) string {
	return nodePattern.ReplaceAllStringFunc(strings.ToLower(name), func(x string) string {
		return digitRun.ReplaceAllStringFunc(x, func(n string) string {
			if n = strings.TrimLeft(n, "0"); n == "" {
				return "0"
			}
			return n
		})
	})
}

// IsNodeXname reports whether id is a canonical node xname. PCS refuses a whole request for one id that is not.
// Source: hms-xname, type Node.
func IsNodeXname(id ComponentID) bool { return nodeXname.MatchString(string(id)) }

// LooksLikeNID reports whether a name is a node number such as "nid000001", in any letter case. BOS resolves no NIDs.
func LooksLikeNID(name string) bool {
	return len(name) >= 3 && strings.EqualFold(name[:3], "nid")
}

// ValidName reports whether name is a legal name of a session, template or boot set: 1 to 127 letters, digits, dashes,
// dots and underscores, beginning and ending with a letter or digit.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// inRange returns a *FieldError unless min <= v <= max.
func inRange(field string, v, lo, hi int) error {
	switch {
	case v < lo:
		return &FieldError{Field: field, Reason: fmt.Sprintf("%d is less than the minimum of %d", v, lo)}
	case v > hi:
		return &FieldError{Field: field, Reason: fmt.Sprintf("%d is greater than the maximum of %d", v, hi)}
	}
	return nil
}
