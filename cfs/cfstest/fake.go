// Package cfstest helps to test code that uses package cfs: a [Fake] configuration service, the same as an HTTP server
// ([Handler]), the conformance suite [Run] for implementations of cfs.ConfigClient, and a generated mock.
package cfstest

//go:generate go tool mockgen -write_package_comment=false -destination mock.go -package cfstest -source ../cfs.go

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
)

// Call is one call that a Fake has answered.
type Call struct {
	Method     string            // of cfs.ConfigClient: "Components" or "Assign"
	IDs        []bos.ComponentID // nil = all
	Assignment cfs.Assignment    // of Assign
}

// Fake is a configuration service in memory. It configures nothing by itself: Finish does. It is safe for concurrent
// use; use it as a pointer. The zero value knows no component.
type Fake struct {
	// OnCall, if set before the first use, sees each call first; an error is the call's answer and nothing else happens.
	OnCall func(Call) error

	mu         sync.Mutex
	components map[bos.ComponentID]cfs.Component
	sessions   map[bos.ComponentID]string // tag bos_session
	calls      []Call
}

var _ cfs.ConfigClient = (*Fake)(nil)

// New returns a Fake that knows ids, enabled and without a configuration.
func New(ids ...bos.ComponentID) *Fake {
	f := new(Fake)
	for _, id := range ids {
		f.Set(cfs.Component{ID: id, Status: cfs.StatusUnconfigured, Enabled: true})
	}
	return f
}

// Set adds components, or replaces those of the same id.
func (f *Fake) Set(components ...cfs.Component) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.components == nil {
		f.components = map[bos.ComponentID]cfs.Component{}
	}
	for _, c := range components {
		f.components[c.ID] = c
	}
}

// Get returns what the service knows of id; ok is false for an unknown one.
func (f *Fake) Get(id bos.ComponentID) (c cfs.Component, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok = f.components[id]
	return c, ok
}

// Session returns the tag bos_session of id.
func (f *Fake) Session(id bos.ComponentID) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[id]
}

// Finish gives ids the status, as a configuration run that has ended would.
func (f *Fake) Finish(s cfs.Status, ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if c, ok := f.components[id]; ok {
			c.Status = s
			f.components[id] = c
		}
	}
}

// Remove makes ids unknown.
func (f *Fake) Remove(ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		delete(f.components, id)
		delete(f.sessions, id)
	}
}

// Calls returns the calls so far, in order; failed ones are among them.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// ForgetCalls empties the record of calls.
func (f *Fake) ForgetCalls() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

func (f *Fake) begin(ctx context.Context, c Call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.IDs = slices.Clone(c.IDs)
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.OnCall != nil {
		return f.OnCall(c)
	}
	return nil
}

// Components implements cfs.ConfigClient.
func (f *Fake) Components(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]cfs.Component, error) {
	if ids != nil && len(ids) == 0 {
		return map[bos.ComponentID]cfs.Component{}, nil
	}
	if err := f.begin(ctx, Call{Method: "Components", IDs: ids}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found := make(map[bos.ComponentID]cfs.Component, len(ids))
	if ids == nil {
		maps.Copy(found, f.components)
	}
	for _, id := range ids {
		if c, ok := f.components[id]; ok {
			found[id] = c
		}
	}
	return found, nil
}

// Assign implements cfs.ConfigClient. A new or cleared configuration is pending, none at all is unconfigured.
func (f *Fake) Assign(ctx context.Context, ids []bos.ComponentID, a cfs.Assignment) error {
	if len(ids) == 0 {
		return &bos.FieldError{Field: "ids", Reason: "a configuration needs at least one component"}
	}
	if err := f.begin(ctx, Call{Method: "Assign", IDs: ids, Assignment: a}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := map[bos.ComponentID]error{}
	for _, id := range ids {
		c, ok := f.components[id]
		if !ok {
			failed[id] = fmt.Errorf("unknown to cfs: %w", bos.ErrNotFound)
			continue
		}
		f.components[id] = assigned(c, a)
		if f.sessions == nil {
			f.sessions = map[bos.ComponentID]string{}
		}
		if f.sessions[id] = a.Session; a.Session == "" {
			delete(f.sessions, id)
		}
	}
	if len(failed) > 0 {
		return &bos.BatchError{Failed: failed}
	}
	return nil
}

// assigned returns c after the assignment.
func assigned(c cfs.Component, a cfs.Assignment) cfs.Component {
	switch {
	case a.Configuration == "" && (a.ClearState || c.Status != cfs.StatusConfigured):
		c.Status = cfs.StatusUnconfigured
	case a.Configuration != "" && (a.ClearState || a.Configuration != c.DesiredConfig || c.Status == cfs.StatusFailed):
		c.Status = cfs.StatusPending
	}
	c.DesiredConfig, c.Enabled, c.ErrorCount = a.Configuration, a.Enabled, 0
	return c
}
