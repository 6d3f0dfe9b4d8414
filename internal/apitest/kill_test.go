package apitest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/store/storetest"
)

// writer writes one number after the other into records of its own until the server does not answer any more.
type writer struct {
	ids   []bos.ComponentID
	write func(ctx context.Context, api *bosclient.Client, ids []bos.ComponentID, number string) error
	read  func(c *bos.Component) string

	sent, acknowledged int
}

// The ways to write. Each keeps the number in a member of its own.
var ways = map[string]struct {
	size  int // how many components are written at a time
	write func(ctx context.Context, api *bosclient.Client, ids []bos.ComponentID, number string) error
	read  func(c *bos.Component) string
}{
	"patch one": {
		1,
		func(ctx context.Context, api *bosclient.Client, ids []bos.ComponentID, number string) error {
			_, err := api.PatchComponent(ctx, "", ids[0], bos.ComponentPatch{Error: &number})
			return err
		},
		func(c *bos.Component) string { return c.ErrorText() },
	},
	"patch many": {
		20,
		func(ctx context.Context, api *bosclient.Client, ids []bos.ComponentID, number string) error {
			patches := make([]bos.ComponentPatch, len(ids))
			for i, id := range ids {
				patches[i] = bos.ComponentPatch{ID: id, DesiredState: &bos.DesiredState{Configuration: &number}}
			}
			_, err := api.PatchComponents(ctx, "", patches, false)
			return err
		},
		func(c *bos.Component) string {
			if c.DesiredState == nil {
				return ""
			}
			return bos.Value(c.DesiredState.Configuration)
		},
	},
	"replace": {
		1,
		func(ctx context.Context, api *bosclient.Client, ids []bos.ComponentID, number string) error {
			_, err := api.PutComponent(ctx, ids[0], bos.Component{ID: ids[0], Error: &number})
			return err
		},
		func(c *bos.Component) string { return c.ErrorText() },
	},
}

const (
	rounds     = 4
	perWay     = 5   // writers
	killAtMost = 300 // acknowledged writes after which the server is killed, at random
)

// TestKilledUnderLoad kills the server again and again while many clients write: whatever it has acknowledged is there
// when it runs again, and it runs again on the same database.
func TestKilledUnderLoad(t *testing.T) {
	for name, newStore := range map[string]func(t *testing.T) string{
		"bolt":  func(t *testing.T) string { return "bolt:" + filepath.Join(t.TempDir(), "bos.db") },
		"redis": func(t *testing.T) string { return storetest.NewRedisServer(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := newStore(t)
			s := start(t, url)
			writers := newWriters(t, s)
			for round := range rounds {
				s.killWhile(writers, 1+rand.IntN(killAtMost))
				s = start(t, url)
				s.check(round, writers)
			}
			s.terminate()
			if code := s.exitCode(); code != 0 {
				t.Errorf("exit %d\n%s", code, s.log())
			}
		})
	}
}

// newWriters makes the components that they write.
func newWriters(t *testing.T, s *server) []*writer {
	t.Helper()
	var writers []*writer
	var components []bos.Component
	for _, way := range ways {
		for range perWay {
			w := &writer{write: way.write, read: way.read}
			for range way.size {
				id := bos.ComponentID(fmt.Sprintf("x1000c0s%db0n%d", len(writers), len(w.ids)))
				w.ids = append(w.ids, id)
				components = append(components, bos.Component{ID: id})
			}
			writers = append(writers, w)
		}
	}
	if _, err := s.client().PutComponents(t.Context(), components); err != nil {
		t.Fatal(err)
	}
	return writers
}

// killWhile lets all write and kills the server once it has acknowledged so many writes.
func (s *server) killWhile(writers []*writer, acknowledged int) {
	s.t.Helper()
	api := s.client()
	var count atomic.Int64
	reached, stopped := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for _, w := range writers {
		all.Go(func() {
			for {
				w.sent++
				if err := w.write(s.t.Context(), api, w.ids, fmt.Sprint(w.sent)); err != nil {
					select {
					case <-reached:
					default:
						s.t.Errorf("before the server was killed: %v", err)
					}
					return
				}
				w.acknowledged = w.sent
				if count.Add(1) == int64(acknowledged) {
					close(reached)
				}
			}
		})
	}
	go func() {
		all.Wait()
		close(stopped)
	}()
	select {
	case <-reached:
	case <-stopped: // by their errors
	}
	s.kill()
	<-stopped
}

// check compares what is stored with what was acknowledged. A write that was sent and not answered may be there or not.
func (s *server) check(round int, writers []*writer) {
	s.t.Helper()
	found := map[bos.ComponentID]bos.Component{}
	for c, err := range s.client().ListComponents(s.t.Context(), bos.ComponentFilter{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		found[c.ID] = c
	}
	for _, w := range writers {
		for _, id := range w.ids {
			c, ok := found[id]
			number := 0
			if text := w.read(&c); text != "" {
				if _, err := fmt.Sscan(text, &number); err != nil {
					s.t.Fatalf("round %d: %s holds %q", round, id, text)
				}
			}
			if !ok || number < w.acknowledged || number > w.sent {
				s.t.Errorf("round %d: %s holds write %d (found %v), but %d was acknowledged and %d the last that was sent", round, id, number, ok, w.acknowledged, w.sent)
			}
		}
	}
}
