package cfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// Config says how to speak to the service; the zero value works.
//
// It says how long to wait (Timeout, ConnectTimeout), how often to try (Retries, RetryBudget, RetryWait, Jitter), how much
// at a time (MaxInFlight, MaxNodes), when to leave a service alone (BreakAfter, BreakFor), who asks (Token, TokenFile,
// CertFile, KeyFile), whom to trust (CAFile, InsecureSkipVerify), and Transport and Log. Each field is explained by
//
//	go doc github.com/bootorch/bosgo/internal/rest.Config
type Config = rest.Config

// Error is what a call of the service fails with; it carries the service's own words, and tells a time-out and a malformed
// answer from other failures.
type Error = rest.Error

// The greatest requests. Source: BOS v2, CFS client; the bytes keep the request line below the server's 16 KiB.
const (
	maxGetIDs   = 200
	maxGetBytes = 12 << 10
	maxPatchIDs = 1000
)

// Client is a ConfigClient over HTTP, for version 3 of the API or 2. It is safe for concurrent use.
type Client struct {
	rest *rest.Client
	v2   bool
}

var _ ConfigClient = (*Client)(nil)

// New returns a client of CFS at baseURL, such as "http://cray-cfs-api/v3"; one that ends in "/v2" selects the older
// dialect. No request is made. Errors match bos.ErrInvalid.
func New(baseURL string, cfg Config) (*Client, error) {
	c, err := rest.New("cfs", baseURL, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{rest: c, v2: strings.HasSuffix(c.Base(), "/v2")}, nil
}

// component is a record on the wire, in both dialects. Source: CFS API, V3ComponentData and V2ComponentState.
type component struct {
	ID            bos.ComponentID `json:"id"`
	DesiredConfig string          `json:"desired_config"`
	ErrorCount    int             `json:"error_count"`
	Enabled       bool            `json:"enabled"`
	Status        string          `json:"configuration_status"`
	Logs          string          `json:"logs"`

	DesiredConfigV2 string `json:"desiredConfig"`
	ErrorCountV2    int    `json:"errorCount"`
	StatusV2        string `json:"configurationStatus"`
}

func (c *component) read() Component {
	return Component{
		ID: c.ID, DesiredConfig: c.DesiredConfig + c.DesiredConfigV2, Status: Status(strings.ToLower(c.Status + c.StatusV2)),
		Enabled: c.Enabled, ErrorCount: c.ErrorCount + c.ErrorCountV2, LogsURL: c.Logs,
	}
}

// String names a component that is malformed.
func (c component) String() string { return string(c.ID) }

// Components implements ConfigClient.
func (c *Client) Components(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]Component, error) {
	found := map[bos.ComponentID]Component{}
	if ids == nil {
		err := c.pages(ctx, url.Values{}, func(comp Component) { found[comp.ID] = comp })
		if c.tooMany(err) {
			return nil, fmt.Errorf("cfs lists no more components at once than its option default_page_size: %w: %w", bos.ErrTooLarge, err)
		}
		if err != nil {
			return nil, err
		}
		return found, nil
	}
	for _, list := range idLists(ids) {
		if err := c.some(ctx, list, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// some adds what CFS knows of ids, which fit into a query, to found. Version 2, which has no pages, is asked for fewer at
// a time where those are too many.
func (c *Client) some(ctx context.Context, ids []bos.ComponentID, found map[bos.ComponentID]Component) error {
	asked := make(map[bos.ComponentID]bool, len(ids))
	for _, id := range ids {
		asked[id] = true
	}
	err := c.pages(ctx, url.Values{"ids": {join(ids)}}, func(comp Component) {
		if asked[comp.ID] {
			found[comp.ID] = comp
		}
	})
	if half := len(ids) / 2; half > 0 && c.tooMany(err) {
		if err := c.some(ctx, ids[:half], found); err != nil {
			return err
		}
		return c.some(ctx, ids[half:], found)
	}
	return err
}

// tooMany reports whether version 2 refuses to answer because of the number of components. Source: CFS API, v2/components.
func (c *Client) tooMany(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && c.v2 && e.Status == http.StatusBadRequest && strings.Contains(e.Body+e.Detail, "size is too large")
}

// pages reads the components that the query selects, page by page.
func (c *Client) pages(ctx context.Context, query url.Values, each func(Component)) error {
	seen := map[string]bool{}
	for query != nil {
		var err error
		if query, err = c.page(ctx, query, each); err != nil {
			return err
		}
		if after := query.Get("after_id"); query != nil {
			if seen[after] {
				return fmt.Errorf("cfs: the page after '%s' leads to itself: %w: %w", after, rest.ErrMalformed, bos.ErrUnavailable)
			}
			seen[after] = true
		}
	}
	return nil
}

// page reads one page and returns the query of the next one, or nil after the last.
func (c *Client) page(ctx context.Context, query url.Values, each func(Component)) (next url.Values, err error) {
	member := "components"
	if c.v2 {
		member = "" // the answer is the list
	}
	var read []Component
	err = c.rest.Do(ctx, rest.Request{Method: http.MethodGet, Path: "components", Query: query}, func(a *rest.Answer) error {
		read, next = nil, nil
		return rest.ReadPage(a, member, func(comp component) error {
			if comp.ID != "" {
				read = append(read, comp.read())
			}
			return nil
		}, func(name string, value json.RawMessage) (err error) {
			if name == "next" {
				next, err = nextQuery(value)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	for _, comp := range read {
		each(comp)
	}
	return next, nil
}

// nextQuery turns the whole of "next" into a query, leaving out nulls. Booleans are written as Python would, numbers as
// they came.
func nextQuery(text json.RawMessage) (url.Values, error) {
	var next map[string]json.RawMessage
	if err := json.Unmarshal(text, &next); err != nil || next == nil {
		return nil, err
	}
	q := url.Values{}
	for key, value := range next {
		switch v := string(value); {
		case v == "null":
		case v == "true", v == "false":
			q.Set(key, strings.ToUpper(v[:1])+v[1:])
		case v[0] == '"':
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return nil, err
			}
			q.Set(key, s)
		default:
			q.Set(key, v)
		}
	}
	return q, nil
}

// patch is the change of a bulk PATCH.
type patch struct {
	Enabled       bool              `json:"enabled"`
	DesiredConfig *string           `json:"desired_config,omitempty"`
	DesiredV2     *string           `json:"desiredConfig,omitempty"`
	Tags          map[string]string `json:"tags"`
	State         *[]struct{}       `json:"state,omitempty"`
}

// Assign implements ConfigClient.
func (c *Client) Assign(ctx context.Context, ids []bos.ComponentID, a Assignment) error {
	if len(ids) == 0 {
		return &bos.FieldError{Field: "ids", Reason: "a configuration needs at least one component"}
	}
	p := patch{Enabled: a.Enabled, Tags: map[string]string{"bos_session": a.Session}}
	if c.v2 {
		p.DesiredV2 = &a.Configuration
	} else {
		p.DesiredConfig = &a.Configuration
	}
	if a.ClearState {
		p.State = &[]struct{}{}
	}
	return rest.InBatches(rest.Distinct(ids), maxPatchIDs, func(batch []bos.ComponentID) error { return c.assign(ctx, batch, p) })
}

// assign patches one batch and compares what was done with what was asked for.
func (c *Client) assign(ctx context.Context, ids []bos.ComponentID, p patch) error {
	done := map[bos.ComponentID]bool{}
	if sendable := listable(ids); len(sendable) > 0 { // an empty filter would hit all components
		body := map[string]any{"patch": p, "filters": map[string]string{"ids": join(sendable)}}
		err := c.rest.Do(ctx, rest.Request{Method: http.MethodPatch, Path: "components", Body: body}, func(a *rest.Answer) error {
			if c.v2 {
				return rest.ReadList(a, "", func(comp component) error { done[comp.ID] = true; return nil })
			}
			return rest.ReadList(a, "component_ids", func(id bos.ComponentID) error { done[id] = true; return nil })
		})
		if err != nil {
			return err
		}
	}
	failed := map[bos.ComponentID]error{}
	for _, id := range ids {
		if !done[id] {
			failed[id] = fmt.Errorf("unknown to cfs: %w", bos.ErrNotFound)
		}
	}
	if len(failed) > 0 {
		return &bos.BatchError{Failed: failed}
	}
	return nil
}

// listable returns the ids that can stand in a comma list; CFS knows no others.
func listable(ids []bos.ComponentID) []bos.ComponentID {
	out := make([]bos.ComponentID, 0, len(ids))
	for _, id := range ids {
		if strings.TrimSpace(string(id)) != "" && !strings.Contains(string(id), ",") {
			out = append(out, id)
		}
	}
	return out
}

// idLists splits ids into lists that fit into a query.
func idLists(ids []bos.ComponentID) [][]bos.ComponentID {
	var lists [][]bos.ComponentID
	var list []bos.ComponentID
	size := 0
	for _, id := range rest.Distinct(listable(ids)) {
		length := len(url.QueryEscape(string(id))) + len("%2C")
		if len(list) == maxGetIDs || size+length > maxGetBytes {
			lists, list, size = append(lists, list), nil, 0
		}
		list, size = append(list, id), size+length
	}
	if len(list) > 0 {
		lists = append(lists, list)
	}
	return lists
}

func join(ids []bos.ComponentID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	return strings.Join(texts, ",")
}
