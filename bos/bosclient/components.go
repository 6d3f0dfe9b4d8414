package bosclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
)

const (
	componentsPath = "/v2/components"

	// idsPerURL bounds the text of the ids in one URL, so that it stays below the 8 KiB that every proxy takes.
	idsPerURL = 6 << 10
	// idsPerReferenceURL is all the text of ids that a reference server accepts. Source: BOS v2 API, quirk Q-10.
	idsPerReferenceURL = 127
	// idsPerFilter bounds filters.ids in a body. Source: BOS v2 API, V2ComponentsFilterByIds.
	idsPerFilter = 65535
)

func componentPath(id bos.ComponentID) string {
	return componentsPath + "/" + url.PathEscape(string(id))
}

// ListComponents yields the matches in ascending order of id, reading them in pages of Config.PageSize. A list of ids is
// spread over as many requests as it takes, so a write between two of them may be seen by one and not by the other.
func (c *Client) ListComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		left := cmp.Or(max(f.PageSize, 0), -1) // -1 = no limit
		for component, err := range c.eachComponent(ctx, f) {
			if err != nil {
				yield(bos.Component{}, err)
				return
			}
			// A reference server ignores some filters (enabled=false alone, quirk Q-09).
			if !f.MatchState(&component) {
				continue
			}
			if !yield(component, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

func (c *Client) eachComponent(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	if f.IDs != nil {
		return c.componentsByID(ctx, f)
	}
	return c.componentPages(ctx, f)
}

// componentPages reads page after page until a short one.
func (c *Client) componentPages(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		size := c.cfg.PageSize
		if f.PageSize > 0 {
			size = min(size, f.PageSize)
		}
		for {
			page, err := c.components(ctx, f, "", size)
			if err != nil {
				yield(bos.Component{}, err)
				return
			}
			for _, component := range page {
				if !yield(component, nil) {
					return
				}
			}
			if len(page) < size {
				return
			}
			next := page[len(page)-1].ID
			if next <= f.StartAfter {
				yield(bos.Component{}, fmt.Errorf("list components: %w: the page after '%s' ends with '%s'", bos.ErrUnavailable, f.StartAfter, next))
				return
			}
			f.StartAfter = next
		}
	}
}

// componentsByID asks for the ids in portions that fit a URL.
func (c *Client) componentsByID(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		ids := slices.Compact(slices.Sorted(slices.Values(f.IDs)))
		// The wire has no way to write these, nor can they exist.
		ids = slices.DeleteFunc(ids, func(id bos.ComponentID) bool {
			return id == "" || strings.Contains(string(id), ",") || id <= f.StartAfter
		})
		f.StartAfter = ""
		budget := idsPerURL
		if c.shortIDs.Load() {
			budget = idsPerReferenceURL
		}
		for len(ids) > 0 {
			text, rest := joinIDs(ids, budget)
			found, err := c.components(ctx, f, text, 0)
			if errors.Is(err, bos.ErrInvalid) && budget > idsPerReferenceURL && len(text) > idsPerReferenceURL {
				budget = idsPerReferenceURL // the list may be too long for a reference server
				continue
			}
			if err != nil {
				yield(bos.Component{}, err)
				return
			}
			c.shortIDs.Store(budget == idsPerReferenceURL)
			for _, component := range found {
				if !yield(component, nil) {
					return
				}
			}
			ids = rest
		}
	}
}

// joinIDs joins ids with commas until the text, escaped for a URL, is as long as budget allows, at least one, and returns
// the rest.
func joinIDs(ids []bos.ComponentID, budget int) (text string, rest []bos.ComponentID) {
	var b strings.Builder
	size := 0
	for i, id := range ids {
		size += len(url.QueryEscape(string(id))) + len("%2C")
		if i > 0 {
			if size > budget {
				return b.String(), ids[i:]
			}
			b.WriteByte(',')
		}
		b.WriteString(string(id))
	}
	return b.String(), nil
}

// components is one GET; size 0 asks for all.
func (c *Client) components(ctx context.Context, f bos.ComponentFilter, ids string, size int) (cs []bos.Component, err error) {
	q := url.Values{}
	if ids != "" {
		q.Set("ids", ids)
	}
	if f.Session != "" {
		q.Set("session", f.Session)
	}
	if f.StagedSession != "" {
		q.Set("staged_session", f.StagedSession)
	}
	if f.Enabled != nil {
		q.Set("enabled", boolean(*f.Enabled))
	}
	if f.Phase != bos.PhaseNone {
		q.Set("phase", string(f.Phase))
	}
	if len(f.Status) > 0 {
		q.Set("status", join(f.Status))
	}
	if f.StartAfter != "" {
		q.Set("start_after_id", string(f.StartAfter))
	}
	if size > 0 {
		q.Set("page_size", strconv.Itoa(size))
	}
	err = c.do(ctx, request{method: http.MethodGet, path: componentsPath, query: q, tenant: f.Tenant}, (*componentList)(&cs))
	return cs, err
}

// componentList is read without the detour over encoding/json.
type componentList []bos.Component

// UnmarshalJSON implements json.Unmarshaler. It checks the whole text.
func (l *componentList) UnmarshalJSON(data []byte) (err error) {
	*l, err = bos.UnmarshalComponents(data)
	return err
}

func join[S ~string](list []S) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = string(s)
	}
	return strings.Join(texts, ",")
}

// GetComponent fails with bos.ErrNotFound.
func (c *Client) GetComponent(ctx context.Context, tenant string, id bos.ComponentID) (component bos.Component, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: componentPath(id), tenant: tenant}, &component)
	return component, err
}

// PutComponent replaces the whole record. What the API itself writes (time stamps, the computed status) it refuses, so a
// record that was read cannot be put back as it is.
func (c *Client) PutComponent(ctx context.Context, id bos.ComponentID, component bos.Component) (stored bos.Component, err error) {
	err = c.do(ctx, request{method: http.MethodPut, path: componentPath(id), body: component}, &stored)
	return stored, err
}

// PutComponents replaces whole records, see PutComponent.
func (c *Client) PutComponents(ctx context.Context, components []bos.Component) (stored []bos.Component, err error) {
	if len(components) == 0 {
		return []bos.Component{}, nil // a reference server fails on it
	}
	err = c.do(ctx, request{method: http.MethodPut, path: componentsPath, body: components}, &stored)
	return stored, err
}

// PatchComponent refuses an actual state with bos.ErrConflict while BOS is changing the node.
func (c *Client) PatchComponent(ctx context.Context, tenant string, id bos.ComponentID, p bos.ComponentPatch) (stored bos.Component, err error) {
	err = c.do(ctx, request{method: http.MethodPatch, path: componentPath(id), tenant: tenant, body: p}, &stored)
	return stored, err
}

// PatchComponents applies the patches by their ID in one request.
func (c *Client) PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skipBadIDs bool) (stored []bos.Component, err error) {
	q := url.Values{}
	if skipBadIDs {
		q.Set("skip_bad_ids", boolean(true))
	}
	err = c.do(ctx, request{method: http.MethodPatch, path: componentsPath, query: q, tenant: tenant, body: orEmpty(ps)}, &stored)
	return stored, err
}

// PatchComponentsWhere applies one patch to every selected component, in one request.
func (c *Client) PatchComponentsWhere(ctx context.Context, p bos.ComponentsPatch) (stored []bos.Component, err error) {
	ids := join(p.IDs)
	hasComma := func(id bos.ComponentID) bool { return strings.Contains(string(id), ",") }
	if p.Session == "" && (len(ids) > idsPerFilter || slices.ContainsFunc(p.IDs, hasComma)) {
		ps := make([]bos.ComponentPatch, len(p.IDs))
		for i, id := range p.IDs {
			ps[i] = p.Patch
			ps[i].ID = id
		}
		return c.PatchComponents(ctx, p.Tenant, ps, p.SkipBadIDs)
	}
	var filters struct {
		IDs     string `json:"ids,omitempty"`
		Session string `json:"session,omitempty"`
	}
	filters.IDs, filters.Session = ids, p.Session
	q := url.Values{}
	if p.SkipBadIDs {
		q.Set("skip_bad_ids", boolean(true))
	}
	body := struct {
		Patch   bos.ComponentPatch `json:"patch"`
		Filters any                `json:"filters"`
	}{p.Patch, filters}
	err = c.do(ctx, request{method: http.MethodPatch, path: componentsPath, query: q, tenant: p.Tenant, body: body}, &stored)
	return stored, err
}

// DeleteComponent fails with bos.ErrNotFound.
func (c *Client) DeleteComponent(ctx context.Context, tenant string, id bos.ComponentID) error {
	return c.do(ctx, request{method: http.MethodDelete, path: componentPath(id), tenant: tenant}, nil)
}

// ApplyStaged makes the staged states of the components their desired ones.
func (c *Client) ApplyStaged(ctx context.Context, tenant string, ids []bos.ComponentID) (result bos.ApplyStagedResult, err error) {
	body := map[string]any{"xnames": orEmpty(ids)}
	err = c.do(ctx, request{method: http.MethodPost, path: "/v2/applystaged", tenant: tenant, body: body}, &result)
	return result, err
}

// PatchGuarded applies patches that hold only while the component is as it was read. A reference server cannot do that:
// there the components are read again, the guards are checked here and what holds is patched with skip_bad_ids. A write
// of somebody else between those two requests is then overwritten, and the lease is not checked at all. An older server
// of ours refuses members of a guard that it does not know: those, and only those, are checked here in the same way.
func (c *Client) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (result bos.GuardedResult, err error) {
	later := slices.ContainsFunc(p.Patches, func(g bos.GuardedPatch) bool { return hasLater(g.If) })
	older := later && c.lacks(laterMembers)
	if !older {
		result, err = c.patchGuarded(ctx, p)
		older = later && errors.Is(err, bos.ErrInvalid) // nothing was written; if it was for another reason, it will be again
	}
	if older {
		result, err = c.patchOlder(ctx, p)
	}
	if errors.Is(err, bos.ErrUnsupported) {
		return c.patchReread(ctx, p.Patches)
	}
	return result, err
}

func (c *Client) patchGuarded(ctx context.Context, p bos.GuardedPatches) (result bos.GuardedResult, err error) {
	p.Patches = orEmpty(p.Patches)
	err = c.addition(ctx, request{method: http.MethodPost, path: "/v2/componentpatches", body: p}, &result)
	return result, err
}

// laterMembers is what the client calls the members of a guard that the first servers of ours do not know.
const laterMembers = "later members of a guard"

func hasLater(g *bos.Guard) bool {
	return g != nil && (g.Reported != nil || g.StatusOverride != nil || g.Action != nil)
}

// patchOlder is PatchGuarded for a server that does not know the later members of a guard.
func (c *Client) patchOlder(ctx context.Context, p bos.GuardedPatches) (result bos.GuardedResult, err error) {
	var plain, later []bos.GuardedPatch
	for _, g := range p.Patches {
		if hasLater(g.If) {
			later = append(later, g)
		} else {
			plain = append(plain, g)
		}
	}
	later, checked, err := c.holding(ctx, later)
	if err != nil {
		return result, err
	}
	for i := range later {
		known := *later[i].If
		known.Reported, known.StatusOverride, known.Action = nil, nil, nil
		later[i].If = &known
	}
	p.Patches = slices.Concat(plain, later)
	if len(p.Patches) > 0 {
		if result, err = c.patchGuarded(ctx, p); err != nil {
			return bos.GuardedResult{}, err
		}
		c.additions.Store(laterMembers, time.Now())
	}
	result.Stale = append(result.Stale, checked.Stale...)
	result.Missing = append(result.Missing, checked.Missing...)
	return result, nil
}

// holding reads the components of the patches and returns those whose guard holds; the result has the others.
func (c *Client) holding(ctx context.Context, ps []bos.GuardedPatch) (holds []bos.GuardedPatch, others bos.GuardedResult, err error) {
	ids := each(ps, func(p bos.GuardedPatch) bos.ComponentID { return p.ID })
	now := make(map[bos.ComponentID]bos.Component, len(ids))
	for component, err := range c.ListComponents(ctx, bos.ComponentFilter{IDs: ids}) {
		if err != nil {
			return nil, others, err
		}
		now[component.ID] = component
	}
	for _, p := range ps {
		component, ok := now[p.ID]
		switch {
		case !ok:
			others.Missing = append(others.Missing, p.ID)
		case !p.If.Holds(&component):
			others.Stale = append(others.Stale, p.ID)
		default:
			holds = append(holds, p)
		}
	}
	return holds, others, nil
}

// patchReread is PatchGuarded for a reference server.
func (c *Client) patchReread(ctx context.Context, ps []bos.GuardedPatch) (result bos.GuardedResult, err error) {
	holds, result, err := c.holding(ctx, ps)
	if err != nil || len(holds) == 0 {
		return result, err
	}
	patches := make([]bos.ComponentPatch, len(holds))
	for i, p := range holds {
		patches[i] = p.Patch
		patches[i].ID = p.ID
	}
	stored, err := c.PatchComponents(ctx, "", patches, true)
	if err != nil {
		return result, err
	}
	written := make(map[bos.ComponentID]bool, len(stored))
	for _, component := range stored {
		written[component.ID] = true
	}
	for _, p := range patches {
		if written[p.ID] {
			result.Written = append(result.Written, p.ID)
		} else {
			result.Missing = append(result.Missing, p.ID)
		}
	}
	return result, nil
}

// CreateComponents stores those that do not exist yet and returns their ids. It is sent once: after bos.ErrUnavailable
// some may have been created. A reference server replaces those that exist.
func (c *Client) CreateComponents(ctx context.Context, components []bos.Component) ([]bos.ComponentID, error) {
	if len(components) == 0 {
		return nil, nil
	}
	var stored []bos.Component
	err := c.do(ctx, request{
		method: http.MethodPut, path: componentsPath, body: components,
		header: http.Header{"If-None-Match": {"*"}}, once: true,
	}, &stored)
	if err != nil {
		return nil, err
	}
	created := make(map[bos.ComponentID]bool, len(stored))
	for _, component := range stored {
		created[component.ID] = true
	}
	var ids []bos.ComponentID // in the order given
	for _, component := range components {
		if created[component.ID] {
			ids = append(ids, component.ID)
			delete(created, component.ID)
		}
	}
	return ids, nil
}

// PutBootArtifacts records what a BSS token stands for. Against a reference server it fails with bos.ErrUnsupported.
func (c *Client) PutBootArtifacts(ctx context.Context, token bos.BSSToken, a bos.BootArtifacts) error {
	a.Timestamp = ""
	return c.addition(ctx, request{method: http.MethodPut, path: "/v2/bootartifacts/" + url.PathEscape(string(token)), secret: true, body: a}, nil)
}

// PruneBootArtifacts removes what tokens stand for that have been unused for longer, in whole seconds.
// Against a reference server, and the first ones of ours, it fails with bos.ErrUnsupported.
func (c *Client) PruneBootArtifacts(ctx context.Context, unused time.Duration) (int, error) {
	var answer struct {
		Removed int `json:"removed"`
	}
	q := url.Values{"unused_for": {strconv.FormatInt(int64(unused/time.Second), 10)}}
	err := c.addition(ctx, request{method: http.MethodDelete, path: "/v2/bootartifacts", query: q, feature: "pruning of bootartifacts"}, &answer)
	return answer.Removed, err
}

// orEmpty makes a nil list one that JSON writes as [].
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func each[A, B any](list []A, fn func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = fn(v)
	}
	return out
}
