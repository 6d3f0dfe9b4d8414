package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/push"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Redis tells a connection that asks for it (CLIENT TRACKING ON BCAST) which keys are written, by anybody, in any
// database. What a cycle of its event loop has written it announces before it answers the writers, so that the answer
// to a PING sent after a write was confirmed comes behind the announcement: a PING is all it takes to have heard of
// every earlier write. The announcements do not name the database; keys of others are harmless.

const (
	maxTouched   = 100_000     // how many keys a tracking remembers before it says "all"
	drainTimeout = time.Second // how long it may take to read announcements that nobody asked for
)

// tracks are the trackings of a driver.
type tracks struct {
	client *redis.Client

	mu      sync.Mutex
	active  map[*tracking]struct{}
	drained time.Time
}

// Track implements store.Tracker. The server may turn out not to announce writes, as those before Redis 6: then Touched
// fails with bos.ErrUnsupported.
func (d *Driver) Track(store.Bucket) (store.Tracking, error) {
	d.tracks.mu.Lock()
	defer d.tracks.mu.Unlock()
	if d.tracks.active == nil {
		d.tracks.active = map[*tracking]struct{}{}
	}
	t := &tracking{tracks: &d.tracks, keys: map[string]struct{}{}, all: true}
	d.tracks.active[t] = struct{}{}
	return t, nil
}

// drain reads what was announced while nobody asked, so that the server need not keep it.
func (ts *tracks) drain(ctx context.Context) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if time.Since(ts.drained) < drainTimeout {
		return
	}
	ts.drained = time.Now()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for t := range ts.active {
		t.drain(ctx)
	}
}

func (ts *tracks) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.active {
		t.close()
	}
}

// tracking implements store.Tracking.
type tracking struct {
	tracks *tracks

	mu          sync.Mutex
	conn        *redis.Conn // nil = not connected
	unsupported bool
	closed      bool
	keys        map[string]struct{}
	all         bool
}

// Touched implements store.Tracking.
func (t *tracking) Touched(ctx context.Context) (keys []string, all bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.listen(ctx); err != nil {
		return nil, false, err
	}
	for key := range t.keys {
		keys = append(keys, key)
	}
	all = t.all
	if all || len(keys) > 0 {
		t.keys, t.all = map[string]struct{}{}, false
	}
	return keys, all, nil
}

// listen makes sure that everything written so far was heard of. The caller holds mu.
func (t *tracking) listen(ctx context.Context) error {
	switch {
	case t.closed:
		return fmt.Errorf("the store is closed: %w", bos.ErrUnavailable)
	case t.unsupported:
		return bos.ErrUnsupported
	}
	if t.conn != nil {
		err := t.conn.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		t.hangUp()
		if ctx.Err() != nil {
			return unavailable(err)
		}
	}
	return t.connect(ctx)
}

// connect begins to listen. What was written before is not known.
func (t *tracking) connect(ctx context.Context) error {
	conn := t.tracks.client.Conn()
	if err := conn.RegisterPushNotificationHandler("invalidate", listener{t}, false); err != nil {
		return errors.Join(bos.ErrUnsupported, conn.Close()) // the connection speaks an older protocol
	}
	t.all = true
	err := conn.Do(ctx, "CLIENT", "TRACKING", "ON", "BCAST").Err()
	if err == nil {
		t.conn = conn
		return nil
	}
	_ = conn.Close()
	if _, refused := errors.AsType[redis.Error](err); refused && !redis.IsLoadingError(err) {
		t.unsupported = true
		return bos.ErrUnsupported
	}
	return unavailable(err)
}

// hangUp gives up the connection. The caller holds mu.
func (t *tracking) hangUp() {
	_ = t.conn.Close()
	t.conn, t.all, t.keys = nil, true, map[string]struct{}{}
}

func (t *tracking) drain(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil && t.conn.Ping(ctx).Err() != nil {
		t.hangUp()
	}
}

// Close implements store.Tracking.
func (t *tracking) Close() {
	t.tracks.mu.Lock()
	defer t.tracks.mu.Unlock()
	delete(t.tracks.active, t)
	t.close()
}

func (t *tracking) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.conn != nil {
		t.hangUp()
	}
}

// listener takes the announcements of a connection, which come while a command runs on it: t.mu is held.
type listener struct{ t *tracking }

var _ push.NotificationHandler = listener{}

// HandlePushNotification takes ["invalidate", [key, …]]; no keys means that whole databases were emptied.
func (l listener) HandlePushNotification(_ context.Context, _ push.NotificationHandlerContext, message []any) error {
	var keys []any
	if len(message) == 2 {
		keys, _ = message[1].([]any)
	}
	for _, key := range keys {
		if name, ok := key.(string); ok && name != feedKey && name != headKey {
			l.t.keys[name] = struct{}{}
		}
	}
	if keys == nil || len(l.t.keys) > maxTouched {
		l.t.all, l.t.keys = true, map[string]struct{}{}
	}
	return nil
}
