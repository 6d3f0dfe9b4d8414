package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseFault reads the text form "kind[:target][:value]". The target of a node
// fault is a fraction (0.1, 10%) or a comma list of xnames; that of a service
// fault is the service and may be left out where the kind has only one. A value
// may end in @P, the probability: "error_rate:pcs:503@0.2". Options may follow:
// ",after=10m,for=90s,count=3,methods=POST+PATCH", also ",probability=0.2".
func ParseFault(s string) (Fault, error) {
	f := Fault{}
	spec, err := f.parseOptions(s)
	if err != nil {
		return f, fmt.Errorf("fault %q: %w", s, err)
	}
	kind, rest, _ := strings.Cut(spec, ":")
	f.Kind = kind
	k, ok := faultKinds[kind]
	if !ok {
		return f, unknownKind(kind)
	}
	target, value, both := strings.Cut(rest, ":")
	if !both && !k.aimsAt(target) {
		target, value = "", target
	}
	if v, p, found := strings.Cut(value, "@"); found {
		probability, err := strconv.ParseFloat(p, 64)
		if err != nil {
			return f, fmt.Errorf("fault %q: probability %q is not a number", s, p)
		}
		if value, f.Probability = v, probability; probability == 0 {
			return f, fmt.Errorf("fault %q: %w", s, errNoProbability)
		}
	}
	f.Value = value
	switch {
	case target == "":
	case k.service != "" && (!k.nodes || slices.Contains(faultTargets(), target)):
		f.Service = target
	default:
		if fraction, ok := parseFraction(target); ok {
			if f.Fraction = fraction; fraction == 0 {
				return f, fmt.Errorf("fault %q: %w", s, errNoFraction)
			}
			break
		}
		f.Nodes = strings.Split(target, ",")
	}
	return f, nil
}

// parseOptions reads the options at the end of s and returns what is before them.
func (f *Fault) parseOptions(s string) (string, error) {
	for {
		i := strings.LastIndexByte(s, ',')
		name, value, ok := strings.Cut(s[i+1:], "=")
		if i < 0 || !ok {
			return s, nil
		}
		var err error
		switch name {
		case "after":
			f.After, err = time.ParseDuration(value)
		case "for":
			f.For, err = time.ParseDuration(value)
		case "count":
			f.Count, err = strconv.Atoi(value)
		case "probability":
			if f.Probability, err = strconv.ParseFloat(value, 64); err == nil && f.Probability == 0 {
				return s, errNoProbability
			}
		case "methods":
			f.Methods = strings.Split(value, "+")
		default: // part of the value
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("%s: %q is neither a number nor a duration such as 90s", name, value)
		}
		s = s[:i]
	}
}

// aimsAt reports whether text can be the target of a fault; else it is the value.
func (k faultKind) aimsAt(text string) bool {
	if k.service != "" && !k.nodes {
		return slices.Contains(faultTargets(), text)
	}
	if k.value == noValue && k.oneOf == nil {
		return true
	}
	first, _, _ := strings.Cut(text, ",")
	kind, _ := hmsType(canonical(first))
	_, isFraction := parseFraction(text)
	return isFraction || kind != "" || k.nodes && slices.Contains(faultTargets(), text)
}

func parseFraction(s string) (float64, bool) {
	percent, isPercent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(percent, 64)
	if isPercent {
		v /= 100
	}
	return v, err == nil
}

func unknownKind(kind string) error {
	return fmt.Errorf("unknown fault %q; known are %s", kind, strings.Join(slices.Sorted(maps.Keys(faultKinds)), ", "))
}
