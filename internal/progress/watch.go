package progress

import (
	"context"
	"errors"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// API is what Watch needs of BOS.
type API interface {
	bos.EventsAPI
	bos.ComponentsAPI
	bos.SessionsAPI
}

const (
	// refresh bounds how often a session is looked at: at most so often while it changes, at least every tenth of it.
	refresh = 200 * time.Millisecond
	// restFactor bounds what looking costs: after a look at a session of many nodes there is a pause so many times as long.
	restFactor = 4
)

// Watch shows a session until it is complete and returns it. It looks when events tell of changes, and every two
// seconds where there are no events.
func Watch(ctx context.Context, api API, key bos.TenantKey, show func(Snapshot)) (bos.Session, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, err := range api.Changes(ctx, bos.ChangeFilter{Tenant: key.Tenant, Session: key.Name}) {
			if err != nil {
				return // polling goes on
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	defer func() { cancel(); <-done }()
	for {
		start := time.Now()
		s, err := api.GetSession(ctx, key)
		if err != nil {
			return s, err
		}
		components, err := Components(ctx, api, s)
		if err != nil && !errors.Is(err, bos.ErrUnavailable) {
			return s, err
		}
		if err == nil {
			show(Take(s, components, time.Now()))
		}
		if s.State() == bos.SessionComplete {
			return s, nil
		}
		select { // pace
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-time.After(max(refresh, restFactor*time.Since(start))):
		}
		select {
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-changed:
		case <-time.After(10 * refresh):
		}
	}
}

// Components returns the components that a session works on or worked on last.
func Components(ctx context.Context, api bos.ComponentsAPI, s bos.Session) ([]bos.Component, error) {
	var components []bos.Component
	f := bos.ComponentFilter{Tenant: string(s.Tenant), Session: s.Name}
	if s.Stage {
		f = bos.ComponentFilter{Tenant: string(s.Tenant), StagedSession: s.Name}
	}
	for c, err := range api.ListComponents(ctx, f) {
		if err != nil {
			return nil, err
		}
		components = append(components, c)
	}
	return components, nil
}
