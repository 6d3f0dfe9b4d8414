package bosclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
)

// feed is a server of changes whose connections a test plays.
type feed struct {
	mu    sync.Mutex
	asked []string // "query Last-Event-ID"
	plays []play
}

// play is one connection: an answer, and what follows it.
type play struct {
	status int
	text   string
	open   bool // the stream does not end
	beats  bool // and has heartbeats
}

// says is a connection that sends text and then ends.
func says(text string) play { return play{status: 200, text: text} }

// saysAndWaits is a connection that sends text and stays open.
func saysAndWaits(text string) play { return play{status: 200, text: text, open: true, beats: true} }

func fails(status int) play { return play{status: status} }

// RoundTrip gives the n-th connection to the n-th play; without one it is refused.
func (f *feed) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, strings.TrimSpace(r.URL.RawQuery+" "+r.Header.Get("Last-Event-ID")))
	if len(f.plays) == 0 {
		return refused(r)
	}
	p := f.plays[0]
	f.plays = f.plays[1:]
	reader, writer := io.Pipe()
	go p.run(r.Context(), writer)
	return &http.Response{
		StatusCode: p.status, Status: fmt.Sprintf("%d %s", p.status, http.StatusText(p.status)), Header: http.Header{}, Body: reader, Request: r,
	}, nil
}

func (p play) run(ctx context.Context, w *io.PipeWriter) {
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	defer stop()
	_, _ = io.WriteString(w, p.text)
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	for p.open {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if p.beats {
				_, _ = io.WriteString(w, ": still here\n\n")
			}
		}
	}
	_ = w.Close()
}

func follow(t *testing.T, f *feed, filter bos.ChangeFilter, log io.Writer, n int) (got []string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := client(t, "http://bos", bosclient.Config{Transport: f, Log: slog.New(slog.NewTextHandler(log, nil))})
	for change, err := range c.Changes(ctx, filter) {
		if err != nil {
			return got, err
		}
		got = append(got, fmt.Sprintf("%s %s %s", change.Kind, change.ID, change.Cursor))
		if len(got) == n {
			break
		}
	}
	return got, nil
}

func event(id string, data string) string {
	return "id: " + id + "\nevent: component\ndata: " + data + "\n\n"
}

func component(id, cursor string) string {
	return event(cursor, fmt.Sprintf(`{"cursor":%q,"kind":"component","id":%q}`, cursor, id))
}

func TestChangesAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feed{plays: []play{saysAndWaits(
			": hello\n\nid: e-1\n\n" + component("a", "e-2") +
				"id: e-3\r\nevent: change\r\ndata: {\"kind\":\"component\",\r\ndata: \"id\":\"b\"}\r\n\r\n" +
				event("f-1", `{"kind":"resync"}`) + component("other", "f-2") + component("a", "f-3"))}}
		filter := bos.ChangeFilter{Kinds: []bos.ChangeKind{"component", "session"}, IDs: []string{"a", "b"}, Session: ""}
		got, err := follow(t, f, filter, io.Discard, 4)
		if diff := cmp.Diff([]string{"component a e-2", "component b e-3", "resync  f-1", "component a f-3"}, got); err != nil || diff != "" {
			t.Errorf("%v, changes (-want +got):\n%s", err, diff)
		}
		if diff := cmp.Diff([]string{"ids=a%2Cb&kind=component%2Csession"}, f.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}

func TestChangesResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &feed{plays: []play{
			says(component("a", "e-2") + "id: e-3\nda"),
			fails(503), fails(502), fails(500), fails(429),
			says("id: e-9\n\n"),
			saysAndWaits(component("b", "e-10")),
		}}
		start := time.Now()
		got, err := follow(t, f, bos.ChangeFilter{Since: bos.Cursor{Epoch: "e", Revision: 1}}, &log, 2)
		if diff := cmp.Diff([]string{"component a e-2", "component b e-10"}, got); err != nil || diff != "" {
			t.Errorf("%v, changes (-want +got):\n%s", err, diff)
		}
		if diff := cmp.Diff([]string{"e-1", "e-2", "e-2", "e-2", "e-2", "e-2", "e-9"}, f.asked); diff != "" {
			t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
		}
		if d := time.Since(start); d < 3*time.Second || d > 20*time.Second {
			t.Errorf("six connections took %v: the waits do not grow, or too much", d)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings of one outage, want 1:\n%s", n, log.String())
		}
	})
}

func TestChangesResyncWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feed{plays: []play{says(": hello\n\n"), saysAndWaits(component("a", "e-2"))}}
		got, err := follow(t, f, bos.ChangeFilter{}, io.Discard, 2)
		if diff := cmp.Diff([]string{"resync  ", "component a e-2"}, got); err != nil || diff != "" {
			t.Errorf("%v, changes (-want +got):\n%s", err, diff)
		}
	})
}

func TestChangesOfASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := play{status: 200, text: component("a", "e-2"), open: true}
		f := &feed{plays: []play{silent, saysAndWaits(component("b", "e-3"))}}
		start := time.Now()
		got, err := follow(t, f, bos.ChangeFilter{}, io.Discard, 2)
		if diff := cmp.Diff([]string{"component a e-2", "component b e-3"}, got); err != nil || diff != "" {
			t.Errorf("%v, changes (-want +got):\n%s", err, diff)
		}
		if d := time.Since(start).Truncate(time.Second); d != 45*time.Second {
			t.Errorf("connected again after %v, want 45s of silence", d)
		}
	})
}

func TestChangesEnd(t *testing.T) {
	tests := []struct {
		name string
		play play
		want error // nil = any
	}{
		{"reference server", fails(404), bos.ErrUnsupported},
		{"no rights", fails(403), bos.ErrForbidden},
		{"bad filter", fails(400), bos.ErrInvalid},
		{"no stream", says("data: <html>\n\n"), nil},
		{"no cursor", says("id: what\n\n"), bos.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &feed{plays: []play{tt.play}}
				got, err := follow(t, f, bos.ChangeFilter{}, io.Discard, 1)
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) || len(got) > 0 || len(f.asked) != 1 {
					t.Errorf("changes %q, error %v after %d connections; want %v after one", got, err, len(f.asked), tt.want)
				}
			})
		})
	}
}

func TestChangesEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, plays := range map[string][]play{
			"open stream":          {saysAndWaits(component("a", "e-1"))},
			"server that is away":  nil,
			"stream that ended":    {says(component("a", "e-1"))},
			"cannot be authorised": {fails(503)},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			c := client(t, "http://bos", bosclient.Config{Transport: &feed{plays: plays}})
			for _, err := range c.Changes(ctx, bos.ChangeFilter{}) {
				if err != nil {
					t.Errorf("%s: error %v, want the end", name, err)
				}
			}
			if ctx.Err() == nil {
				t.Errorf("%s: ended before the context", name)
			}
			cancel()
		}
	})
}
