package bosserver

import (
	"context"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

// meanwhile is a store in which something happens before the transaction of a number, the first is 1.
type meanwhile struct {
	store.Store
	at     int
	happen func()
}

func (m *meanwhile) Transact(ctx context.Context, fn func(store.Tx) error) error {
	if m.at--; m.at == 0 {
		m.happen()
	}
	return m.Store.Transact(ctx, fn)
}

// TestCancelSessionRaces has something happen after the session was announced to be canceled.
func TestCancelSessionRaces(t *testing.T) {
	key := bos.TenantKey{Name: "s1"}
	world := func(t *testing.T, component string, happen func(store.Store)) store.Store {
		st := memstore.New()
		t.Cleanup(func() { _ = st.Close() })
		put := func(session bos.Session) {
			if err := st.Sessions().Put(t.Context(), key, session); err != nil {
				t.Fatal(err)
			}
		}
		put(bos.Session{Name: "s1", Status: &bos.SessionStatus{Status: bos.SessionRunning}})
		if component != "" {
			c := bos.Component{ID: "a", Session: new(component), Enabled: new(true)}
			if err := st.Components().Put(t.Context(), "a", c); err != nil {
				t.Fatal(err)
			}
		}
		svc := New(&meanwhile{Store: st, at: 2, happen: func() { happen(st) }}, Config{})
		if _, err := svc.CancelSession(t.Context(), key, ""); err != nil {
			t.Fatal(err)
		}
		return st
	}
	t.Run("another session takes a component", func(t *testing.T) {
		st := world(t, "s1", func(st store.Store) {
			if err := st.Components().Put(t.Context(), "a", bos.Component{ID: "a", Session: new("s2"), Enabled: new(true)}); err != nil {
				t.Fatal(err)
			}
		})
		if c, err := st.Components().Get(t.Context(), "a"); err != nil || !c.IsEnabled() {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("another session takes the name", func(t *testing.T) {
		st := world(t, "", func(st store.Store) {
			next := bos.Session{Name: "s1", Status: &bos.SessionStatus{Status: bos.SessionPending}}
			if err := st.Sessions().Put(t.Context(), key, next); err != nil {
				t.Fatal(err)
			}
		})
		if s, err := st.Sessions().Get(t.Context(), key); err != nil || s.State() != bos.SessionPending {
			t.Errorf("%+v, %v", s.Status, err)
		}
	})
}

// TestCancelSessionOfAnotherClock: no session ends before it began.
func TestCancelSessionOfAnotherClock(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := newSystem(t, func(cfg *Config, _ *HandlerConfig) { cfg.Now = func() time.Time { return now } })
	key := s.session("", "s1")
	now = now.Add(-time.Minute)
	if _, err := s.svc.CancelSession(t.Context(), key, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := s.svc.GetSession(t.Context(), key); err != nil || got.Status.EndTime != "2026-03-01T12:00:00" {
		t.Errorf("%+v, %v", got.Status, err)
	}
}

// TestCancelSessionOfATenantThatIsGone ends the session and leaves everybody's components alone.
func TestCancelSessionOfATenantThatIsGone(t *testing.T) {
	s := newSystem(t)
	key := s.session("ten1", "s1")
	s.put(`{"id":"a","session":"s1","enabled":true}`)
	s.tenants.Remove("ten1")
	done, err := s.svc.CancelSession(t.Context(), key, "")
	if err != nil || done.Components != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if got, err := s.svc.GetSession(t.Context(), key); err != nil || got.State() != bos.SessionComplete {
		t.Errorf("%+v, %v", got.Status, err)
	}
	if c, err := s.svc.GetComponent(t.Context(), "", "a"); err != nil || !c.IsEnabled() {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestCancelBodies(t *testing.T) {
	s := newSystem(t)
	s.session("", "s1")
	for _, body := range []string{"[]", "null", `"why"`, `{"reason":5}`, `{"reason":null}`, `{"why":""}`, "{", "{\"reason\":\"\xff\"}"} {
		s.want(s.do("POST", "/v2/sessions/s1/cancel", body), 400, "", "")
	}
	s.want(s.do("POST", "/v2/sessions/s1/cancel", `{"reason":"why"}`, "Cray-Tenant-Name", "ten1"), 404, "", "")
	s.want(s.do("PATCH", "/v2/settings", `{"resumed_at":"2026-03-01T12:00:00"}`), 400, "", "")
	s.want(s.do("GET", "/v2/bootartifacts", ""), 405, "", "")
	s.want(s.do("POST", "/v2/sessions/s1/cancel", ""), 200, "", "")
}
