package bosclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

const (
	// streamSilence is how long a stream of changes may be silent, three heartbeats of the server, before it is dead.
	streamSilence = 45 * time.Second
	// maxEventLine bounds a line of the stream. A change is a few hundred bytes.
	maxEventLine = 1 << 20

	firstReconnect = 250 * time.Millisecond
	lastReconnect  = 15 * time.Second
)

var errStopped = errors.New("the caller has had enough")

// Changes yields the committed writes that match, from f.Since on, until the context ends. A broken stream is taken up
// again behind the last change, with a growing wait between attempts; where that place is not known, a resync is
// yielded. Only an error that trying again cannot mend ends the sequence: bos.ErrUnsupported from a reference server,
// bos.ErrInvalid, missing rights, a stream that is none.
func (c *Client) Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	return func(yield func(bos.Change, error) bool) {
		failures := 0
		for {
			connected := false
			err := c.stream(ctx, &f, &connected, func(change bos.Change) bool {
				failures = 0
				return yield(change, nil)
			})
			switch {
			case ctx.Err() != nil, errors.Is(err, errStopped):
				return
			case !worthReconnecting(err):
				yield(bos.Change{}, err)
				return
			case connected && f.Since.IsZero() && !yield(bos.Change{Kind: bos.ChangeResync}, nil):
				return
			}
			if failures == 0 {
				c.log.Warn("stream of changes ended, connecting again", "err", err)
			}
			failures++
			if !sleep(ctx, reconnectAfter(failures)) {
				return
			}
		}
	}
}

// worthReconnecting reports whether the error is an outage.
func worthReconnecting(err error) bool {
	answer, ok := errors.AsType[*bos.StatusError](err)
	return errors.Is(err, bos.ErrUnavailable) || ok && answer.Status >= 500
}

// reconnectAfter doubles from attempt to attempt. Half of it is chance, lest many clients come back at once.
func reconnectAfter(failures int) time.Duration {
	d := min(firstReconnect<<min(failures-1, 10), lastReconnect)
	return d/2 + rand.N(d/2+1)
}

// stream is one connection: it calls each for every change and moves f.Since on. It returns why it ended, errStopped if
// each said so.
func (c *Client) stream(ctx context.Context, f *bos.ChangeFilter, connected *bool, each func(bos.Change) bool) error {
	q := url.Values{}
	if len(f.Kinds) > 0 {
		q.Set("kind", join(f.Kinds))
	}
	if ids := join(f.IDs); len(f.IDs) > 0 && len(url.QueryEscape(ids)) <= idsPerURL {
		q.Set("ids", ids)
	}
	if f.Session != "" {
		q.Set("session", f.Session)
	}
	header := http.Header{"Accept": {"text/event-stream"}}
	if !f.Since.IsZero() {
		header.Set("Last-Event-ID", f.Since.String())
	}
	r := request{method: http.MethodGet, path: "/v2/events", query: q, tenant: f.Tenant, header: header}
	return c.ifSupported(r, func() error {
		return c.ask(ctx, c.streams, r, func(a *rest.Answer) error {
			*connected = true
			return readEvents(a.Body(), func(change bos.Change) bool {
				if !change.Cursor.IsZero() {
					f.Since = change.Cursor
				}
				if change.Kind == "" || !f.Match(&change) {
					return true
				}
				return each(change)
			})
		})
	})
}

// readEvents decodes server-sent events and calls each for every change, until it returns false. An id that comes alone
// is a change with nothing but a cursor. The type of an event says nothing that the change does not.
func readEvents(r io.Reader, each func(bos.Change) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEventLine)
	var e event
	for lines.Scan() {
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		if len(line) > 0 {
			e.add(line)
			continue
		}
		change, ok, err := e.change()
		if err != nil {
			return err
		}
		if ok && !each(change) {
			return errStopped
		}
		e = event{}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: the server ended the stream of changes", bos.ErrUnavailable)
}

// event is a server-sent event. Source: HTML standard, Server-sent events.
type event struct {
	id   string
	data []byte
}

func (e *event) add(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		e.id = string(value)
	case "data":
		if len(e.data) > 0 {
			e.data = append(e.data, '\n')
		}
		e.data = append(e.data, value...)
	}
}

// change decodes the event; ok is false if it says nothing.
func (e *event) change() (change bos.Change, ok bool, err error) {
	if len(e.data) > 0 {
		if err := change.UnmarshalJSON(e.data); err != nil {
			return change, false, fmt.Errorf("stream of changes: an event is not a change: %w", err)
		}
	}
	if e.id != "" && change.Cursor.IsZero() {
		if err := change.Cursor.UnmarshalText([]byte(e.id)); err != nil {
			return change, false, fmt.Errorf("stream of changes: %w", err)
		}
	}
	return change, change.Kind != "" || e.id != "", nil
}

// sleep waits and reports whether the context still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
