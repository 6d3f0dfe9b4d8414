package redisstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/bootorch/bosgo/bos"
)

// together sends requests as they come while few are on their way, and those that come meanwhile as one: when
// thousands of nodes report at once, that is some requests to Redis rather than thousands.
type together[Q, A any] struct {
	few  int                                               // how many may be on their way
	most int                                               // how many are sent as one
	name func(Q) string                                    // of a request; two of one name are not sent as one; nil = any are
	send func(ctx context.Context, batch []Q) ([]A, error) // answers in the order of the batch

	mu      sync.Mutex
	sending int
	waiting []*call[Q, A]
}

type call[Q, A any] struct {
	ctx      context.Context
	request  Q
	answer   A
	err      error
	answered chan struct{}
}

// do returns the answer to a request. When ctx ends first it may have been sent.
func (t *together[Q, A]) do(ctx context.Context, request Q) (answer A, err error) {
	t.mu.Lock()
	if t.sending < t.few {
		t.sending++
		t.mu.Unlock()
		defer t.sent()
		answers, err := t.send(ctx, []Q{request})
		if err != nil {
			return answer, err
		}
		return answers[0], nil
	}
	c := &call[Q, A]{ctx: ctx, request: request, answered: make(chan struct{})}
	t.waiting = append(t.waiting, c)
	t.mu.Unlock()
	select {
	case <-c.answered:
		return c.answer, c.err
	case <-ctx.Done():
		return answer, fmt.Errorf("%w: %w", bos.ErrUnavailable, context.Cause(ctx))
	}
}

// sent makes room for those that wait.
func (t *together[Q, A]) sent() {
	if batch := t.next(); len(batch) > 0 {
		go t.sendBatch(batch)
	}
}

func (t *together[Q, A]) sendBatch(batch []*call[Q, A]) {
	defer t.sent()
	requests := make([]Q, len(batch))
	for i, c := range batch {
		requests[i] = c.request
	}
	// One caller's end must not be that of the others; how long Redis may take is bounded by the client.
	answers, err := t.send(context.WithoutCancel(batch[0].ctx), requests)
	for i, c := range batch {
		if c.err = err; err == nil {
			c.answer = answers[i]
		}
		close(c.answered)
	}
}

// next takes the next batch from those that wait, in their order. It leaves out who no longer does.
func (t *together[Q, A]) next() (batch []*call[Q, A]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var later []*call[Q, A]
	taken := map[string]bool{}
	for _, c := range t.waiting {
		var name string
		if t.name != nil {
			name = t.name(c.request)
		}
		switch {
		case c.ctx.Err() != nil:
		case len(batch) == t.most || taken[name]:
			later = append(later, c)
		default:
			batch = append(batch, c)
			taken[name] = t.name != nil
		}
	}
	if t.waiting = later; len(batch) == 0 {
		t.sending--
	}
	return batch
}
