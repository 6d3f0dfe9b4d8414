package hsm

import (
	"context"
	"encoding/json"
	"errors"
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

// Client is an Inventory over HTTP. It is safe for concurrent use.
type Client struct{ rest *rest.Client }

var _ Inventory = (*Client)(nil)

// New returns a client of HSM at baseURL, such as "http://cray-smd/hsm/v2". No request is made. Errors match
// bos.ErrInvalid.
func New(baseURL string, cfg Config) (*Client, error) {
	c, err := rest.New("hsm", baseURL, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// component is a component of any type on the wire. Source: HSM API, Component.100_Component.
type component struct {
	ID, Type, State, Role, SubRole, Arch, Class string
	Enabled                                     *bool
	NID                                         json.Number
}

// String names a component that is malformed.
func (c component) String() string { return c.ID }

// isNode accepts a missing type, which no HSM sends but a site's own façade might.
func (c *component) isNode() bool {
	return c.ID != "" && (c.Type == "" || strings.EqualFold(c.Type, "Node"))
}

func (c *component) node() Node {
	nid, err := c.NID.Int64()
	if err != nil {
		nid = 0
	}
	return Node{
		ID: bos.ComponentID(c.ID), Enabled: c.Enabled == nil || *c.Enabled, State: c.State,
		Role: c.Role, SubRole: c.SubRole, Arch: c.Arch, Class: c.Class, NID: int(nid),
	}
}

// Nodes implements Inventory. It asks for nodes alone, since a full answer has ten to twenty records per node.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	var nodes []Node
	r := rest.Request{Method: http.MethodGet, Path: "State/Components", Query: url.Values{"type": {"Node"}}}
	err := c.rest.Do(ctx, r, func(a *rest.Answer) error {
		nodes = nil
		return rest.ReadList(a, "Components", func(comp component) error {
			if comp.isNode() {
				nodes = append(nodes, comp.node())
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return nodes, nil
}

// Query implements Inventory. HSM knows canonical names only, so it is asked for those; the answer has the ids as given.
func (c *Client) Query(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]Node, error) {
	if len(ids) == 0 {
		return map[bos.ComponentID]Node{}, nil
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = bos.CanonicalXname(string(id))
	}
	known := map[string]Node{}
	r := rest.Request{
		Method: http.MethodPost, Path: "State/Components/Query", ReadOnly: true,
		Body: map[string]any{"ComponentIDs": rest.Distinct(names)},
	}
	err := c.rest.Do(ctx, r, func(a *rest.Answer) error {
		clear(known)
		return rest.ReadList(a, "Components", func(comp component) error {
			if comp.isNode() {
				known[comp.ID] = comp.node()
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	found := make(map[bos.ComponentID]Node, len(known))
	for i, id := range ids {
		if n, ok := known[names[i]]; ok {
			found[id] = n
		}
	}
	return found, nil
}

// Groups implements Inventory.
func (c *Client) Groups(ctx context.Context) (map[string][]bos.ComponentID, error) {
	return c.members(ctx, "groups")
}

// Partitions implements Inventory.
func (c *Client) Partitions(ctx context.Context) (map[string][]bos.ComponentID, error) {
	return c.members(ctx, "partitions")
}

// members reads groups or partitions; the former have a label, the latter a name.
func (c *Client) members(ctx context.Context, path string) (map[string][]bos.ComponentID, error) {
	type set struct {
		Label, Name string
		Members     struct{ IDs []bos.ComponentID }
	}
	var members map[string][]bos.ComponentID
	err := c.rest.Do(ctx, rest.Request{Method: http.MethodGet, Path: path}, func(a *rest.Answer) error {
		members = map[string][]bos.ComponentID{}
		return rest.ReadList(a, "", func(s set) error {
			if name := s.Label + s.Name; name != "" {
				members[name] = append([]bos.ComponentID{}, s.Members.IDs...) // null is an empty group
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return members, nil
}

// RoleMembers implements Inventory.
func (c *Client) RoleMembers(ctx context.Context) (map[string][]bos.ComponentID, error) {
	var members map[string][]bos.ComponentID
	r := rest.Request{Method: http.MethodGet, Path: "State/Components"}
	err := c.rest.Do(ctx, r, func(a *rest.Answer) error {
		members = map[string][]bos.ComponentID{}
		return rest.ReadList(a, "Components", func(comp component) error {
			id := bos.ComponentID(comp.ID)
			if id == "" {
				return nil
			}
			if comp.Role != "" {
				members[comp.Role] = append(members[comp.Role], id)
			}
			if comp.SubRole != "" {
				key := comp.Role + "_" + comp.SubRole
				members[key] = append(members[key], id)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return members, nil
}

// LockedNodes implements Inventory. HSM before 2.45 answers 400 "Component not found" when no node is locked, older
// ones have no locks and answer 404; both mean none. A 404 in HTML is not HSM's: the URL leads elsewhere.
// Source: services 3.6, BOS operators Q-20.
func (c *Client) LockedNodes(ctx context.Context) (map[bos.ComponentID]bool, error) {
	var answer struct {
		Components []struct {
			ID     bos.ComponentID
			Locked *bool
		}
	}
	r := rest.Request{Method: http.MethodGet, Path: "locks/status", Query: url.Values{"type": {"Node"}, "locked": {"True"}}}
	locked := map[bos.ComponentID]bool{}
	if err := rest.CheckRoute(c.rest.Do(ctx, r, rest.JSON(&answer))); err != nil {
		if e, ok := errors.AsType[*Error](err); ok && (e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest && strings.Contains(e.Body+e.Detail, "Component not found")) {
			return locked, nil
		}
		return nil, err
	}
	for _, comp := range answer.Components {
		if comp.ID != "" && (comp.Locked == nil || *comp.Locked) {
			locked[comp.ID] = true
		}
	}
	return locked, nil
}
