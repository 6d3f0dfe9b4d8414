package bos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ChangeKind is the kind of record that changed.
type ChangeKind string

// The kinds. Resync tells a subscriber that changes may have been missed: it reads the present state again.
const (
	ChangeComponent ChangeKind = "component"
	ChangeSession   ChangeKind = "session"
	ChangeTemplate  ChangeKind = "template"
	ChangeOptions   ChangeKind = "options"
	ChangeSettings  ChangeKind = "settings"
	ChangeLease     ChangeKind = "lease"
	ChangePower     ChangeKind = "power_transition"
	ChangeResync    ChangeKind = "resync"
)

// Change is one committed write, as published to subscribers. It says what happened, never more: no tokens, no values
// beyond these. Changes of one store come in the order of Cursor.Revision.
type Change struct {
	Cursor        Cursor     `json:"cursor"`
	Kind          ChangeKind `json:"kind"`
	Deleted       bool       `json:"deleted,omitempty"`
	ID            string     `json:"id,omitempty"`     // xname, name of the session or template, id of the power transition
	Tenant        string     `json:"tenant,omitempty"` // of sessions and templates
	Writer        string     `json:"writer,omitempty"` // operator that wrote, see WithWriter; empty = somebody else
	Fields        []string   `json:"fields,omitempty"` // members that really changed, such as "enabled" or "desired_state.configuration"
	Heartbeat     bool       `json:"heartbeat,omitempty"`
	Enabled       bool       `json:"enabled,omitempty"`        // components: after the write
	Status        Status     `json:"status,omitempty"`         // components: computed, after the write; sessions: their state
	Phase         Phase      `json:"phase,omitempty"`          // components
	Session       string     `json:"session,omitempty"`        // components
	StagedSession string     `json:"staged_session,omitempty"` // components
}

// Touches reports whether one of the members changed. "desired_state" stands for everything below it.
func (c *Change) Touches(fields ...string) bool {
	return slices.ContainsFunc(c.Fields, func(changed string) bool {
		return slices.ContainsFunc(fields, func(f string) bool {
			return changed == f || strings.HasPrefix(changed, f+".") || strings.HasPrefix(f, changed+".")
		})
	})
}

// Cursor is a place in the feed of changes: the epoch of the feed and the revision within it. The epoch is another
// one after a store was restarted or restored; a subscriber with an unknown cursor gets a resync first.
type Cursor struct {
	Epoch    string
	Revision uint64
}

// IsZero reports whether the cursor names no place: subscribing with it starts at the present.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String returns the wire form "epoch-revision", empty for the zero cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return c.Epoch + "-" + strconv.FormatUint(c.Revision, 10)
}

// MarshalText writes the wire form.
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the wire form. The error matches ErrInvalid.
func (c *Cursor) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*c = Cursor{}
		return nil
	}
	i := strings.LastIndexByte(string(text), '-')
	if i > 0 {
		if rev, err := strconv.ParseUint(string(text[i+1:]), 10, 64); err == nil {
			*c = Cursor{Epoch: string(text[:i]), Revision: rev}
			return nil
		}
	}
	return &FieldError{Field: "cursor", Reason: fmt.Sprintf("'%s' is not a cursor of the form epoch-revision", text)}
}

// ChangeFilter selects changes; its members are ANDed, the zero value selects all. Resyncs always pass.
type ChangeFilter struct {
	Since   Cursor       // replay what came after; zero = from now on
	Tenant  string       // only what this tenant may see; empty = everything
	Kinds   []ChangeKind // empty = all
	IDs     []string     // empty = all
	Session string       // components of this session, and the session itself
}

// Match reports whether the change passes Kinds, IDs and Session; Since and Tenant are the feed's business.
func (f *ChangeFilter) Match(c *Change) bool {
	if c.Kind == ChangeResync {
		return true
	}
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, c.Kind) || len(f.IDs) > 0 && !slices.Contains(f.IDs, c.ID) {
		return false
	}
	if f.Session == "" {
		return true
	}
	return c.Kind == ChangeSession && c.ID == f.Session ||
		c.Kind == ChangeComponent && (c.Session == f.Session || c.StagedSession == f.Session)
}

type writerKey struct{}

// WithWriter names the operator on whose behalf the context's writes are made. Changes carry the name, so that a loop
// can ignore its own. Over HTTP it travels in the header Bos-Operator.
func WithWriter(ctx context.Context, operator string) context.Context {
	return context.WithValue(ctx, writerKey{}, operator)
}

// Writer returns the name given to WithWriter, or "".
func Writer(ctx context.Context) string {
	name, _ := ctx.Value(writerKey{}).(string)
	return name
}
