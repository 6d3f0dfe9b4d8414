package bosserver

import (
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// TestSessionsOfOneName sets up a session of the system and one of a tenant that have the same name, in each way that
// components get into sessions.
func TestSessionsOfOneName(t *testing.T) {
	s := newSystem(t)
	lease, err := s.svc.AcquireLease(t.Context(), "session-setup", "me", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	system, tenant := s.session("", "s1"), s.session("ten1", "s1")
	count := func(key bos.TenantKey) int {
		t.Helper()
		st, err := s.svc.SessionStatus(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return st.ManagedComponentsCount
	}
	for _, how := range []struct {
		name string
		take func(tenant string, id bos.ComponentID) error
	}{
		{"guarded", func(tenant string, id bos.ComponentID) error {
			ctx := bos.WithSessionTenant(t.Context(), tenant)
			_, err := s.svc.PatchGuarded(ctx, bos.GuardedPatches{Patches: []bos.GuardedPatch{{ID: id, Patch: bos.ComponentPatch{Session: new("s1")}}}})
			return err
		}},
		{"leased", func(tenant string, id bos.ComponentID) error {
			ctx := bos.WithWriter(bos.WithSessionTenant(t.Context(), tenant), "session-setup")
			_, err := s.svc.PatchGuarded(ctx, bos.GuardedPatches{Lease: lease.Token, Patches: []bos.GuardedPatch{{ID: id, Patch: bos.ComponentPatch{Session: new("s1")}}}})
			return err
		}},
		{"bulk", func(tenant string, id bos.ComponentID) error {
			_, err := s.svc.PatchComponents(bos.WithSessionTenant(t.Context(), tenant), "", []bos.ComponentPatch{{ID: id, Session: new("s1")}}, false)
			return err
		}},
		{"over HTTP", func(tenant string, id bos.ComponentID) error {
			s.want(s.do("POST", "/v2/componentpatches", `{"patches":[{"id":"`+string(id)+`","patch":{"session":"s1"}}]}`, "Bos-Session-Tenant", tenant), 200, "", "")
			return nil
		}},
		{"staged", func(tenant string, id bos.ComponentID) error {
			s.put(`{"id":"` + string(id) + `","staged_state":{"session":"s1"}}`)
			_, err := s.svc.ApplyStaged(t.Context(), tenant, []bos.ComponentID{id})
			if err == nil { // the stage itself counts for whoever asks
				_, err = s.svc.PatchComponent(t.Context(), "", id, bos.ComponentPatch{StagedState: &bos.StagedState{Session: new("")}})
			}
			return err
		}},
	} {
		t.Run(how.name, func(t *testing.T) {
			s.put(`{"id":"n0","enabled":false}`, `{"id":"n1","enabled":false}`, `{"id":"x2","enabled":false}`)
			for id, tenant := range map[bos.ComponentID]string{"n0": "ten1", "n1": "", "x2": ""} {
				if err := how.take(tenant, id); err != nil {
					t.Fatal(err)
				}
			}
			if a, b := count(system), count(tenant); a != 2 || b != 1 {
				t.Errorf("%d components of the system's session, %d of the tenant's, want 2 and 1", a, b)
			}
		})
	}
	t.Run("nobody told", func(t *testing.T) { // as with a reference operator
		s.put(`{"id":"n0","session":"s2"}`)
		if a, b := count(s.session("", "s2")), count(s.session("ten1", "s2")); a != 1 || b != 1 {
			t.Errorf("%d and %d components", a, b)
		}
	})
}

func TestNamesThatComeBack(t *testing.T) {
	s := newSystem(t)
	key := s.session("", "s1")
	s.put(`{"id":"a","enabled":false}`, `{"id":"b","enabled":false}`)
	take := func(id bos.ComponentID) {
		t.Helper()
		if _, err := s.svc.PatchComponents(bos.WithSessionTenant(t.Context(), ""), "", []bos.ComponentPatch{{ID: id, Session: new("s1")}}, false); err != nil {
			t.Fatal(err)
		}
	}
	take("a")
	if err := s.svc.DeleteSession(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	s.session("", "s1")
	take("b")
	if st, err := s.svc.SessionStatus(t.Context(), key); err != nil || st.ManagedComponentsCount != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}
