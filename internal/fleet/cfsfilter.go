package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// cfsFilter selects components; its members all have to hold.
type cfsFilter struct {
	ids     map[string]bool // nil: any
	status  map[string]bool
	enabled *bool
	config  string
	tags    map[string]string
}

// parseCFSFilter reads the filter that GET takes as parameters and PATCH as an
// object. Empty texts filter nothing.
func parseCFSFilter(ids, status, config, tags string, enabled *bool) (*cfsFilter, error) {
	f := &cfsFilter{enabled: enabled, config: config}
	if ids != "" {
		f.ids = map[string]bool{}
		for id := range strings.SplitSeq(ids, ",") {
			f.ids[strings.TrimSpace(id)] = true
		}
	}
	if status != "" {
		f.status = map[string]bool{}
		for s := range strings.SplitSeq(status, ",") {
			if !slices.Contains(cfsStatuses, s) {
				return nil, fmt.Errorf("error parsing the status filter: %q", s)
			}
			f.status[s] = true
		}
	}
	if tags != "" {
		f.tags = map[string]string{}
		for tag := range strings.SplitSeq(tags, ",") {
			k, v, ok := strings.Cut(tag, "=")
			if !ok {
				return nil, fmt.Errorf("error parsing the tags filter: %q", tag)
			}
			f.tags[k] = v
		}
	}
	return f, nil
}

func (m *Machine) cfsMatch(f *cfsFilter, c *node) bool {
	if f.ids != nil && !f.ids[c.xname] || f.enabled != nil && *f.enabled != c.cfs.enabled || f.config != "" && f.config != c.cfs.given.config {
		return false
	}
	for k, v := range f.tags {
		if got, ok := c.cfs.given.tags[k]; !ok || got != v {
			return false
		}
	}
	return m.inCFS(c) && (f.status == nil || f.status[m.cfsStatus(c)])
}

// cfsSelect returns the matching components behind an id, at most limit (0: all),
// and whether there are more. m.mu is held.
func (m *Machine) cfsSelect(f *cfsFilter, after string, limit int) (out []*node, more bool) {
	take := func(c *node) bool {
		if !m.cfsMatch(f, c) {
			return true
		}
		if limit > 0 && len(out) == limit {
			more = true
			return false
		}
		out = append(out, c)
		return true
	}
	if f.ids != nil {
		for _, id := range slices.Sorted(maps.Keys(f.ids)) {
			if c := m.cfsComponent(id); c != nil && id > after && !take(c) {
				break
			}
		}
		return out, more
	}
	start := 0
	if after != "" {
		i, found := slices.BinarySearchFunc(m.cfs.list, after, func(c *node, id string) int { return strings.Compare(c.xname, id) })
		if start = i; found {
			start++
		}
	}
	for _, c := range m.cfs.list[start:] {
		if !take(c) {
			break
		}
	}
	return out, more
}
