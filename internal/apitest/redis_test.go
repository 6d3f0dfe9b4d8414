package apitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store/storetest"
)

// TestRedisRestarts takes the database away from a running server and gives it back: requests are refused in the agreed
// way meanwhile, and afterwards everything goes on, streams of changes included.
func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t, storetest.RedisConfig{Durable: true})
	s := start(t, redis.URL)
	api := s.client()
	if _, err := api.PutComponent(t.Context(), "x1", bos.Component{ID: "x1", Error: new("before")}); err != nil {
		t.Fatal(err)
	}
	stream := send(t, s, "GET /v2/events HTTP/1.1\r\nHost: bos\r\n\r\n").answer(t)
	following, stop := context.WithCancel(t.Context())
	defer stop()
	changes := make(chan bos.Change, 1000)
	go func() {
		defer close(changes)
		for c, err := range s.client().Changes(following, bos.ChangeFilter{}) {
			if err != nil {
				t.Errorf("the client's stream ended: %v", err)
				return
			}
			changes <- c
		}
	}()
	const cycles = 2
	for cycle := range cycles {
		redis.Kill()
		for _, r := range []struct{ method, path, body string }{
			{"GET", "/v2/components/x1", ""},
			{"GET", "/v2/components", ""},
			{"PATCH", "/v2/components/x1", `{"error":"never"}`},
			{"PATCH", "/v2/components", `[{"id":"x1","error":"never"}]`},
			{"PUT", "/v2/components/x2", `{"id":"x2"}`},
			{"DELETE", "/v2/components/x1", ""},
			{"POST", "/v2/sessions", `{"operation":"reboot","template_name":"t1"}`},
			{"GET", "/v2/sessions", ""},
			{"GET", "/v2/sessiontemplates/t1", ""},
			{"PATCH", "/v2/options", `{"clear_stage":true}`},
		} {
			t.Run(fmt.Sprintf("away %d %s %s", cycle, r.method, r.path), func(t *testing.T) { s.refuses(t, r.method, r.path, r.body) })
		}
		if v, err := api.Version(t.Context()); err != nil || v.Major != "2" {
			t.Errorf("version without a database: %+v, %v", v, err)
		}
		redis.Restart()
		number := fmt.Sprint("after ", cycle)
		until(t, "a write after Redis is back", func(ctx context.Context) error {
			_, err := api.PatchComponent(ctx, "", "x1", bos.ComponentPatch{Error: &number})
			if err != nil && !errors.Is(err, bos.ErrUnavailable) {
				t.Fatalf("an error other than an outage: %v", err)
			}
			return err
		})
		if c, err := api.GetComponent(t.Context(), "", "x1"); err != nil || c.ErrorText() != number {
			t.Errorf("x1 has %q, %v, want %q", c.ErrorText(), err, number)
		}
		if _, err := api.GetComponent(t.Context(), "", "x2"); !errors.Is(err, bos.ErrNotFound) {
			t.Errorf("x2, whose creation was refused: %v", err)
		}
	}

	// Both streams have lived through it: they tell that something may have been missed, and then of what comes.
	if _, err := api.PutComponent(t.Context(), "x9", bos.Component{ID: "x9"}); err != nil {
		t.Fatal(err)
	}
	if !readsOf(stream.Body, `"x9"`) {
		t.Error("the stream that was open all the time does not tell of a change")
	}
	resynced := false
	for c := range changes {
		resynced = resynced || c.Kind == bos.ChangeResync
		if c.ID == "x9" {
			stop()
			break
		}
	}
	if !resynced {
		t.Error("nobody was told that changes may have been missed")
	}
	s.healthy(t)
}

// refuses checks that a request is answered as an outage of the database.
func (s *server) refuses(t *testing.T, method, path, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || !strings.Contains(string(text), `"title":"`+bos.TitleStoreDown+`"`) {
		t.Errorf("%s, Retry-After %q: %s", answer.Status, answer.Header.Get("Retry-After"), text)
	}
}
