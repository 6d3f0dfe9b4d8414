package fleet

import (
	"regexp"
	"strings"
)

// nodeXname matches the canonical xname of a node.
var nodeXname = regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)b([0-9]+)n([0-9]+)$`)

// hmsTypes lists the component types a location name can have, most common
// first. Source: HPE hms-xname, package xnametypes.
var hmsTypes = []struct {
	name    string
	pattern *regexp.Regexp
	power   bool // PCS can control its power
}{
	{"Node", nodeXname, true},
	{"NodeBMC", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)b([0-9]+)$`), true},
	{"ComputeModule", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)$`), true},
	{"NodeEnclosure", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)e([0-9]+)$`), false},
	{"Chassis", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])$`), true},
	{"ChassisBMC", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])b([0])$`), true},
	{"Cabinet", regexp.MustCompile(`^x([0-9]{1,4})$`), false},
	{"CabinetBMC", regexp.MustCompile(`^x([0-9]{1,4})b([0])$`), false},
	{"CabinetPDUController", regexp.MustCompile(`^x([0-9]{1,4})m([0-3])$`), false},
	{"CabinetPDU", regexp.MustCompile(`^x([0-9]{1,4})m([0-3])p([0-7])$`), false},
	{"CabinetPDUPowerConnector", regexp.MustCompile(`^x([0-9]{1,4})m([0-3])p([0-7])v([1-9][0-9]*)$`), true},
	{"CabinetPDUOutlet", regexp.MustCompile(`^x([0-9]{1,4})m([0-3])p([0-7])j([1-9][0-9]*)$`), true},
	{"NodeNic", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)b([0-9]+)n([0-9]+)i([0-3])$`), false},
	{"NodeHsnNic", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)b([0-9]+)n([0-9]+)h([0-3])$`), false},
	{"Processor", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)b([0-9]+)n([0-9]+)p([0-3])$`), false},
	{"NodeAccel", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)b([0-9]+)n([0-9]+)a([0-9]+)$`), false},
	{"Memory", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])s([0-9]+)b([0-9]+)n([0-9]+)d([0-9]+)$`), false},
	{"RouterModule", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])r([0-9]+)$`), true},
	{"RouterBMC", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])r([0-9]+)b([0-9]+)$`), true},
	{"HSNBoard", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])r([0-9]+)e([0-9]+)$`), false},
	{"MgmtSwitch", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])w([1-9][0-9]*)$`), false},
	{"MgmtHLSwitch", regexp.MustCompile(`^x([0-9]{1,4})c([0-7])h([1-9][0-9]*)s([1-9])$`), false},
	{"CDU", regexp.MustCompile(`^d([0-9]+)$`), false},
	{"CDUMgmtSwitch", regexp.MustCompile(`^d([0-9]+)w([0-9]+)$`), false},
	{"Partition", regexp.MustCompile(`^p([0-9]+)(\.([0-9]+))?$`), false},
	{"System", regexp.MustCompile(`^s0$`), false},
}

// hmsType returns the component type of a canonical xname and whether PCS can
// control its power; the type is empty for anything that is not an xname.
func hmsType(x string) (name string, power bool) {
	for _, t := range hmsTypes {
		if t.pattern.MatchString(x) {
			return t.name, t.power
		}
	}
	return "", false
}

// isHMSType reports whether s names a component type, in any letter case.
func isHMSType(s string) bool {
	for _, t := range hmsTypes {
		if strings.EqualFold(t.name, s) {
			return true
		}
	}
	return false
}

// canonical normalises an xname as HSM does: blanks trimmed, lower case,
// leading zeros of every number dropped. It does not validate.
func canonical(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if !strings.Contains(s, "0") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		starts := len(out) == 0 || !isDigit(out[len(out)-1]) // of a number
		if s[i] == '0' && starts && i+1 < len(s) && isDigit(s[i+1]) {
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// compareXnames orders xnames as people do: letters as letters, numbers by
// value, so that s9 comes before s10.
func compareXnames(a, b string) int {
	for a != "" && b != "" {
		if isDigit(a[0]) && isDigit(b[0]) {
			na, nb := digits(a), digits(b)
			if len(na) != len(nb) {
				return len(na) - len(nb)
			}
			if c := strings.Compare(na, nb); c != 0 {
				return c
			}
			a, b = a[len(na):], b[len(nb):]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

// digits returns the run of digits at the start of s.
func digits(s string) string {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i]
}
