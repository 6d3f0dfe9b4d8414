package store

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// chunkSize is how many records one step reads or writes. Source: BOS v2, Redis layout.
const chunkSize = 500

// Config holds what a DB may be told. The zero value works.
type Config struct {
	Log *slog.Logger // where corrupt records are reported; nil = nowhere
}

// DB is a Store over a Driver: it encodes and decodes, retries lost races and works out what changed.
type DB struct {
	driver Driver
	log    *slog.Logger
	cache  componentCache
}

var (
	_ Store   = (*DB)(nil)
	_ Querier = (*DB)(nil)
)

// New returns the store whose records d keeps. The DB owns d: closing the DB closes it.
func New(d Driver, cfg Config) *DB {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db := &DB{driver: d, log: log}
	db.cache.db = db
	return db
}

// Driver returns what the records are kept in, for tools that copy whole databases.
func (db *DB) Driver() Driver { return db.driver }

// Components implements Store.
func (db *DB) Components() Collection[bos.ComponentID, bos.Component] {
	return &collection[bos.ComponentID, bos.Component]{db, components, &db.cache}
}

// Sessions implements Store.
func (db *DB) Sessions() Collection[bos.TenantKey, bos.Session] {
	return &collection[bos.TenantKey, bos.Session]{db: db, kind: sessions}
}

// Templates implements Store.
func (db *DB) Templates() Collection[bos.TenantKey, bos.SessionTemplate] {
	return &collection[bos.TenantKey, bos.SessionTemplate]{db: db, kind: templates}
}

// SavedStatuses implements Store.
func (db *DB) SavedStatuses() Collection[bos.TenantKey, bos.ExtendedStatus] {
	return &collection[bos.TenantKey, bos.ExtendedStatus]{db: db, kind: statuses}
}

// BootArtifacts implements Store.
func (db *DB) BootArtifacts() Collection[bos.BSSToken, bos.BootArtifacts] {
	return &collection[bos.BSSToken, bos.BootArtifacts]{db: db, kind: artifacts}
}

// Tokens implements Store.
func (db *DB) Tokens(ctx context.Context) iter.Seq2[bos.BSSToken, error] {
	return func(yield func(bos.BSSToken, error) bool) {
		for e, err := range db.driver.Scan(ctx, artifacts.bucket, "", 0) {
			if err != nil {
				yield("", fmt.Errorf("read %s: %w", artifacts.bucket, err))
				return
			}
			if !yield(bos.BSSToken(e.Key), nil) {
				return
			}
		}
	}
}

// Options implements Store.
func (db *DB) Options() Singleton[bos.Options] {
	return &singleton[bos.Options]{collection[struct{}, bos.Options]{db: db, kind: options}}
}

// Settings implements Store.
func (db *DB) Settings() Singleton[bos.Settings] {
	return &singleton[bos.Settings]{collection[struct{}, bos.Settings]{db: db, kind: settings}}
}

// PowerTransitions implements Store.
func (db *DB) PowerTransitions() Collection[string, bos.PowerTransition] {
	return &collection[string, bos.PowerTransition]{db: db, kind: transitions}
}

// Changes implements Store.
func (db *DB) Changes(ctx context.Context, since bos.Cursor) iter.Seq2[bos.Change, error] {
	if since.IsZero() {
		since = db.Cursor()
	}
	return func(yield func(bos.Change, error) bool) {
		sub := db.Subscribe(since)
		defer sub.Close()
		for {
			changes, err := sub.Next(ctx)
			if err != nil {
				if ctx.Err() == nil {
					yield(bos.Change{}, err)
				}
				return
			}
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// Subscribe implements Store.
func (db *DB) Subscribe(since bos.Cursor) *Subscription { return db.driver.Feed().Subscribe(since) }

// Cursor implements Store.
func (db *DB) Cursor() bos.Cursor { return db.driver.Feed().Cursor() }

// Ping implements Store.
func (db *DB) Ping(ctx context.Context) error { return db.driver.Ping(ctx) }

// Close implements Store: it closes the driver. Closing again does nothing.
func (db *DB) Close() error {
	db.cache.close()
	return db.driver.Close()
}

// errLostRaces is why a write gives up when its time ends before it wins.
func errLostRaces(ctx context.Context, what string) error {
	return fmt.Errorf("%s: other writers were always first: %w: %w", what, bos.ErrUnavailable, context.Cause(ctx))
}

// backOff waits a moment before a lost race is run again, longer after each attempt. It reports false once ctx has ended.
func backOff(ctx context.Context, attempt int) bool {
	if attempt < 2 || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	longest := min(50*time.Microsecond<<min(attempt, 10), 20*time.Millisecond)
	t := time.NewTimer(rand.N(longest))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
