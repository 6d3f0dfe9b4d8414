package app

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/store"
)

// besideReference is an API that may be a reference server's, with a store beside it for what such a server does not
// keep: leases and power transitions, and the changes of both. A server of ours is left to keep them itself. Which of
// the two it is may change while the process runs; a lease that was taken at the other place then counts as lost,
// unless both places are one database.
type besideReference struct {
	bos.API
	beside *bosserver.Service
	alone  bool // nobody else sees the store
	log    *slog.Logger

	here atomic.Bool // the leases are kept in the store
}

// newBesideReference keeps in st what the API server does not. Processes that share st, and whose clocks agree, take
// turns as if the server kept the leases; alone means that no other process can share it.
func newBesideReference(api bos.API, st store.Store, alone bool, log *slog.Logger) *besideReference {
	return &besideReference{API: api, beside: bosserver.New(st, bosserver.Config{Log: log}), alone: alone, log: log}
}

func unsupported(err error) bool { return errors.Is(err, bos.ErrUnsupported) }

// AcquireLease implements bos.API.
func (b *besideReference) AcquireLease(ctx context.Context, operator, holder string, ttl time.Duration) (bos.Lease, error) {
	lease, err := b.API.AcquireLease(ctx, operator, holder, ttl)
	if !unsupported(err) {
		if err == nil || errors.Is(err, bos.ErrConflict) {
			b.here.Store(false)
		}
		return lease, err
	}
	if !b.here.Swap(true) {
		if b.alone {
			b.log.Warn("the API server keeps no leases, so this process acts alone: run no other one, or give the server's Redis to each with --store")
		} else {
			b.log.Info("the API server keeps no leases: the database of --store does")
		}
	}
	return b.beside.AcquireLease(ctx, operator, holder, ttl)
}

// ReleaseLease implements bos.API.
func (b *besideReference) ReleaseLease(ctx context.Context, operator, holder string) error {
	err := b.API.ReleaseLease(ctx, operator, holder)
	if unsupported(err) {
		return b.beside.ReleaseLease(ctx, operator, holder)
	}
	return err
}

// PatchGuarded implements bos.API. A reference server cannot check a lease, so it is checked just before.
func (b *besideReference) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error) {
	if p.Lease > 0 && b.here.Load() {
		if _, err := b.beside.PatchGuarded(ctx, bos.GuardedPatches{Lease: p.Lease}); err != nil {
			return bos.GuardedResult{}, err
		}
	}
	return b.API.PatchGuarded(ctx, p)
}

// PruneBootArtifacts implements bos.API. The tokens of a reference server are in the database of --store.
func (b *besideReference) PruneBootArtifacts(ctx context.Context, unused time.Duration) (int, error) {
	removed, err := b.API.PruneBootArtifacts(ctx, unused)
	if unsupported(err) && !b.alone {
		return b.beside.PruneBootArtifacts(ctx, unused)
	}
	return removed, err
}

// PowerTransitions implements bos.API.
func (b *besideReference) PowerTransitions(ctx context.Context, ids []string) ([]bos.PowerTransition, error) {
	found, err := b.API.PowerTransitions(ctx, ids)
	if unsupported(err) {
		return b.beside.PowerTransitions(ctx, ids)
	}
	return found, err
}

// PutPowerTransition implements bos.API.
func (b *besideReference) PutPowerTransition(ctx context.Context, t bos.PowerTransition) error {
	err := b.API.PutPowerTransition(ctx, t)
	if unsupported(err) {
		return b.beside.PutPowerTransition(ctx, t)
	}
	return err
}

// DeletePowerTransition implements bos.API.
func (b *besideReference) DeletePowerTransition(ctx context.Context, id string) error {
	err := b.API.DeletePowerTransition(ctx, id)
	if unsupported(err) {
		return b.beside.DeletePowerTransition(ctx, id)
	}
	return err
}

// besideFor is how long the changes of the store are followed before the API is asked for its own again.
const besideFor = time.Minute

// Changes implements bos.API. Where the API tells of none, those of the store wake who waits for a lease; what the
// server itself writes is not among them.
func (b *besideReference) Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	return func(yield func(bos.Change, error) bool) {
		f := f
		handOn := func(c bos.Change, err error) bool {
			if !c.Cursor.IsZero() {
				f.Since = c.Cursor
			}
			return yield(c, err) && err == nil
		}
		for ctx.Err() == nil {
			told := true
			for c, err := range b.API.Changes(ctx, f) {
				if unsupported(err) {
					told = false
					break
				}
				if !handOn(c, err) {
					return
				}
			}
			if told || !b.followStore(ctx, &f, handOn) {
				return
			}
		}
	}
}

// followStore hands on the changes of the store for a while. It returns false when there is to be no more.
func (b *besideReference) followStore(ctx context.Context, f *bos.ChangeFilter, handOn func(bos.Change, error) bool) bool {
	if f.Since.IsZero() {
		f.Since = b.beside.Cursor() // the next time goes on from here
	}
	ctx, cancel := context.WithTimeout(ctx, besideFor)
	defer cancel()
	for c, err := range b.beside.Changes(ctx, *f) {
		if !handOn(c, err) {
			return false
		}
	}
	return true
}
