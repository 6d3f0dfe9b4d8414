package bosserver

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// eventWriteTimeout is how long a subscriber may take to accept an event before it is cut off.
const eventWriteTimeout = 30 * time.Second

var changeKinds = []bos.ChangeKind{
	bos.ChangeComponent, bos.ChangeSession, bos.ChangeTemplate, bos.ChangeOptions, bos.ChangeSettings, bos.ChangeLease,
	bos.ChangePower,
}

// changeFilter reads the filter of an event stream.
func (c *call) changeFilter() (bos.ChangeFilter, error) {
	f := bos.ChangeFilter{Tenant: c.tenant, Session: c.param("session")}
	if err := f.Since.UnmarshalText([]byte(c.r.Header.Get("Last-Event-ID"))); err != nil {
		return f, err
	}
	if c.has("kind") {
		for kind := range strings.SplitSeq(c.param("kind"), ",") {
			if !slices.Contains(changeKinds, bos.ChangeKind(kind)) {
				return f, invalid("%s is not a kind of change for query parameter 'kind'", quoteText(kind))
			}
			f.Kinds = append(f.Kinds, bos.ChangeKind(kind))
		}
	}
	if c.has("ids") {
		f.IDs = strings.Split(c.param("ids"), ",")
	}
	return f, nil
}

// streamEvents sends changes as they happen, until the caller goes away or the server closes. An error ends the stream:
// the subscriber comes back and learns it then.
func (h *handler) streamEvents(c *call) error {
	f, err := c.changeFilter()
	if err != nil {
		return err
	}
	// An empty list of components tells whether there is such a tenant, as long as an error can still be answered.
	for _, err := range h.api.ListComponents(c.ctx(), bos.ComponentFilter{Tenant: c.tenant, IDs: []bos.ComponentID{}}) {
		if err != nil {
			return err
		}
	}
	if f.Since.IsZero() {
		f.Since = h.cursor()
	}
	ctx, cancel := context.WithCancel(c.ctx())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	changes := make(chan bos.Change, maxEventsTogether)
	seq := h.api.Changes(ctx, f)
	wg.Go(func() {
		defer close(changes)
		for change, err := range seq {
			if err != nil {
				h.log.WarnContext(ctx, "event stream ends", "err", err)
				return
			}
			select {
			case changes <- change:
			case <-ctx.Done():
				return
			}
		}
	})

	out := eventWriter{w: c.w, rc: http.NewResponseController(c.w)}
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead || out.place(f.Since) != nil {
		return nil
	}
	heartbeat := time.NewTicker(h.cfg.Heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case change, ok := <-changes:
			if !ok {
				return nil
			}
			err = out.events(change, changes)
		case <-heartbeat.C:
			err = out.comment("heartbeat")
		case <-h.cfg.Closing:
			return nil
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return nil // the subscriber is gone
		}
	}
}

// eventWriter writes server-sent events without delay.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// maxEventsTogether is how many events are sent in one go when they come faster than the network takes them.
const maxEventsTogether = 256

// events sends a change and those that wait behind it.
func (e eventWriter) events(c bos.Change, waiting <-chan bos.Change) error {
	var text bytes.Buffer
	for n := 1; ; n++ {
		data, err := c.MarshalJSON()
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "id: %s\nevent: %s\ndata: %s\n\n", c.Cursor, c.Kind, data)
		if n == maxEventsTogether {
			return e.send(text.Bytes())
		}
		var more bool
		select {
		case c, more = <-waiting: // closed: the caller finds out
		default:
		}
		if !more {
			return e.send(text.Bytes())
		}
	}
}

// place tells where the stream begins, so that a subscriber whose stream breaks before the first event misses nothing.
func (e eventWriter) place(at bos.Cursor) error {
	if at.IsZero() {
		return e.comment("following")
	}
	return e.send([]byte("id: " + at.String() + "\n\n"))
}

func (e eventWriter) comment(text string) error { return e.send([]byte(": " + text + "\n\n")) }

func (e eventWriter) send(text []byte) error {
	_ = e.rc.SetWriteDeadline(time.Now().Add(eventWriteTimeout)) // not every writer can
	if _, err := e.w.Write(text); err != nil {
		return err
	}
	return e.rc.Flush()
}
