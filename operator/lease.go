package operator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// The lease is renewed every third of its time and believed until a margin before its end, which covers a slow call
// that is on its way when it ends.
const (
	leaseTTL    = 15 * time.Second
	leaseRenew  = leaseTTL / 3
	leaseMargin = 3 * time.Second
)

// lease is a Fence over a lease of the API.
type lease struct {
	operator string
	token    int64

	mu   sync.Mutex
	sent time.Time // of the request that was answered last; the lease counts from before it
	ttl  time.Duration
	lost error
}

// Token implements Fence.
func (l *lease) Token() int64 { return l.token }

// Check implements Fence. A paused process's monotonic clock runs on and a suspended machine's does not, so the clock
// that says more counts.
func (l *lease) Check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return l.lost
	}
	now := time.Now()
	if held := max(now.Sub(l.sent), now.Round(0).Sub(l.sent.Round(0))); held > l.ttl-leaseMargin {
		return fmt.Errorf("%w: the lease of %s was not renewed for %s", bos.ErrConflict, l.operator, held.Round(time.Second))
	}
	return nil
}

func (l *lease) renewed(sent time.Time, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent, l.ttl = sent, ttl
}

func (l *lease) lose(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = fmt.Errorf("%w: lost the lease of %s: %w", bos.ErrConflict, l.operator, err)
}

// acquire waits until the loop may act. A nil lease without error means that it acts alone: it has no holder name, or
// the API knows no leases. The error is that of the context.
func (r *runner) acquire(ctx context.Context) (*lease, error) {
	if r.Holder == "" {
		return nil, nil
	}
	for standingBy := false; ; {
		sent := time.Now()
		got, err := r.askLease(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil:
			l := &lease{operator: r.name, token: got.Token}
			l.renewed(sent, got.ExpiresIn)
			if standingBy {
				r.log.Info("taking over")
			}
			return l, nil
		case errors.Is(err, bos.ErrUnsupported):
			r.log.Warn("the API knows no leases: make sure that no other process runs this operator")
			return nil, nil
		case errors.Is(err, bos.ErrConflict):
			if !standingBy {
				r.log.Info("standing by", "err", err)
			}
			standingBy = true
		default:
			r.log.Warn("acquire lease", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-r.leaseFreed:
		case <-time.After(r.jitter(leaseRenew)):
		}
	}
}

// keep renews the lease until the context ends or the lease is lost; then it cancels the tenure with the reason.
func (r *runner) keep(ctx context.Context, l *lease, cancel context.CancelCauseFunc) {
	wait := leaseRenew
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		sent := time.Now()
		got, err := r.askLease(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && got.Token == l.token:
			l.renewed(sent, got.ExpiresIn)
			wait = leaseRenew
			continue
		case err == nil: // it had run out and was given anew: somebody may have acted in between
			l.lose(errors.New("it had run out"))
		case errors.Is(err, bos.ErrConflict):
			l.lose(err)
		default:
			r.log.Warn("renew lease", "err", err)
			wait = time.Second
		}
		if err := l.Check(); err != nil {
			cancel(err)
			return
		}
	}
}

// askLease asks for the lease, or its renewal, and does not wait longer for the answer than until the next renewal.
func (r *runner) askLease(ctx context.Context) (bos.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	got, err := r.API.AcquireLease(ctx, r.name, r.Holder, leaseTTL)
	if err == nil && (got.ExpiresIn <= 0 || got.ExpiresIn > leaseTTL) {
		got.ExpiresIn = leaseTTL
	}
	return got, err
}

// release gives the lease up, so that another process need not wait for its end.
func (r *runner) release(ctx context.Context, l *lease) {
	if l.Check() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
	defer cancel()
	if err := r.API.ReleaseLease(ctx, r.name, r.Holder); err != nil {
		r.log.Warn("release lease", "err", err)
	}
}
