package replicatest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/bootorch/bosgo/bos"
)

// componentsDatabase is the number of the database of components. Source: BOS v2 API, Redis layout.
const componentsDatabase = 1

// foreign is a program that writes components as the reference does: it tells nobody.
type foreign struct {
	t      *testing.T
	client *redis.Client
}

func newForeign(t *testing.T, url string) *foreign {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DB = componentsDatabase
	f := &foreign{t: t, client: redis.NewClient(o)}
	t.Cleanup(func() { _ = f.client.Close() })
	return f
}

// patch replaces members of a record.
func (f *foreign) patch(id bos.ComponentID, members map[string]any) {
	f.t.Helper()
	text, err := f.client.Get(f.t.Context(), string(id)).Result()
	if err != nil {
		f.t.Fatal(err)
	}
	record := map[string]any{}
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		f.t.Fatal(err)
	}
	for name, value := range members {
		record[name] = value
	}
	data, err := json.Marshal(record)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.client.Set(f.t.Context(), string(id), data, 0).Err(); err != nil {
		f.t.Fatal(err)
	}
}

// TestForeignWriterIsSeen lists through both servers after each write of a program that tells nobody of it.
func TestForeignWriterIsSeen(t *testing.T) {
	s := newSystem(t, 1, 0)
	f := newForeign(t, s.redis)
	var ids []bos.ComponentID
	for i := range 100 {
		id := bos.ComponentID(fmt.Sprintf("x1000c0s0b0n%d", 100+i))
		if _, err := s.api[i%2].PutComponent(t.Context(), id, bos.Component{ID: id, Enabled: new(false)}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for i, id := range ids {
		f.patch(id, map[string]any{"enabled": true, "session": "theirs"})
		for n, api := range s.api {
			enabled := s.list(t.Context(), api, bos.ComponentFilter{Enabled: new(true), Session: "theirs"})
			if !slices.Equal(enabled, ids[:i+1]) {
				t.Fatalf("server %d lists %v after %s was enabled, want %v", n, enabled, id, ids[:i+1])
			}
		}
	}
	for i, id := range ids {
		if err := f.client.Del(t.Context(), string(id)).Err(); err != nil {
			t.Fatal(err)
		}
		for n, api := range s.api {
			if left := s.list(t.Context(), api, bos.ComponentFilter{Session: "theirs"}); !slices.Equal(left, ids[i+1:]) {
				t.Fatalf("server %d lists %v after %s was deleted, want %v", n, left, id, ids[i+1:])
			}
		}
	}
}

// TestForeignWriterIsObeyed lets a program that tells nobody want a node off: the operators find it when they poll.
func TestForeignWriterIsObeyed(t *testing.T) {
	s := newSystem(t, 4, 0)
	if _, err := s.api[0].UpdateOptions(t.Context(), bos.OptionsPatch{PollingFrequency: new(1)}); err != nil {
		t.Fatal(err)
	}
	s.operate(allOperators, allOperators)
	s.session(0, "boot", bos.OperationBoot, s.images()[0], configuration)
	s.await("boot", safety)
	target, others := s.ids[1], slices.Delete(slices.Clone(s.ids), 1, 2)
	newForeign(t, s.redis).patch(target, map[string]any{
		"enabled": true, "session": "",
		"desired_state": map[string]any{"boot_artifacts": map[string]any{"kernel": "", "kernel_parameters": "", "initrd": ""}, "configuration": "", "bss_token": ""},
		"last_action":   map[string]any{"action": "session_setup", "failed": false},
		"event_stats":   map[string]any{"power_on_attempts": 0, "power_off_graceful_attempts": 0, "power_off_forceful_attempts": 0},
	})
	until(t, safety, "the node is shut down", func(ctx context.Context) error {
		c, err := s.api[1].GetComponent(ctx, "", target)
		if err == nil && (s.node(target).Phase != "off" || c.IsEnabled()) {
			err = fmt.Errorf("%w: %s, enabled %t, error %q; node %s", errNotYet, c.ComputeStatus(), c.IsEnabled(), c.ErrorText(), s.node(target).Phase)
		}
		return err
	})
	for _, id := range others {
		if n := s.node(id); n.Phase != "up" || n.Requests["Soft-Off"]+n.Requests["Force-Off"] > 0 {
			t.Errorf("%s, which nobody touched, is %s after %v", id, n.Phase, n.Requests)
		}
	}
}
