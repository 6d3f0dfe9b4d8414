package bosserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// stream is a subscriber that reads at once.
type stream struct {
	*httptest.ResponseRecorder
	mu sync.Mutex
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ResponseRecorder.Write(p)
}

func (s *stream) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Body.String()
}

// events returns the names and ids in the stream so far, such as "component/a".
func (s *stream) events() string {
	var list []string
	for event := range strings.SplitSeq(s.text(), "\n\n") {
		_, rest, ok := strings.Cut(event, "event: ")
		if !ok {
			continue
		}
		kind, data, _ := strings.Cut(rest, "\ndata: ")
		_, id, _ := strings.Cut(data, `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		list = append(list, kind+"/"+id)
	}
	return strings.Join(list, " ")
}

// follow opens a stream in the background; stop ends it and waits.
func (s *system) follow(target string, headers ...string) (st *stream, stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	r := httptest.NewRequest(http.MethodGet, target, nil).WithContext(ctx)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	st = &stream{ResponseRecorder: httptest.NewRecorder()}
	var wg sync.WaitGroup
	wg.Go(func() { s.handler.ServeHTTP(st, r) })
	synctest.Wait()
	return st, func() { cancel(); wg.Wait() }
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		type want struct{ target, events string }
		wants := []want{
			{"/v2/events", "component/n0 component/x9 options/ template/t1 session/s1 template/t1 session/s1 lease/status settings/ power_transition/t1 component/n0"},
			{"/v2/events?kind=session,options", "options/ session/s1 session/s1"},
			{"/v2/events?ids=x9", "component/x9"},
			{"/v2/events?session=s1", "session/s1 session/s1 component/n0"},
		}
		var streams []*stream
		for _, w := range wants {
			st, stop := s.follow(w.target)
			defer stop()
			streams = append(streams, st)
		}
		tenant, stop := s.follow("/v2/events", "Cray-Tenant-Name", "ten1")
		defer stop()

		s.put(`{"id":"n0","enabled":false}`, `{"id":"x9","enabled":false}`)
		if _, err := s.svc.UpdateOptions(t.Context(), bos.OptionsPatch{PollingFrequency: new(20)}); err != nil {
			t.Fatal(err)
		}
		s.session("", "s1")
		s.session("ten1", "s1")
		if _, err := s.svc.AcquireLease(t.Context(), "status", "me", time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := s.svc.UpdateSettings(t.Context(), bos.SettingsPatch{MaxConfigureWaitTime: new(60)}); err != nil {
			t.Fatal(err)
		}
		if err := s.svc.PutPowerTransition(t.Context(), bos.PowerTransition{ID: "t1", Operation: "On", Operator: "power-on", Components: []bos.ComponentID{"n0"}}); err != nil {
			t.Fatal(err)
		}
		ctx := bos.WithWriter(t.Context(), "status")
		if _, err := s.svc.PatchComponent(ctx, "", "n0", bos.ComponentPatch{Session: new("s1")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i, w := range wants {
			if got := streams[i].events(); got != w.events {
				t.Errorf("%s:\ngot  %s\nwant %s", w.target, got, w.events)
			}
		}
		if got := tenant.events(); got != "component/n0 options/ template/t1 session/s1 component/n0" {
			t.Errorf("the tenant sees %s", got)
		}
		last := streams[0].text()[strings.LastIndex(streams[0].text(), "id: "):]
		if !strings.Contains(last, `"writer":"status"`) || !strings.HasPrefix(last, "id: "+s.svc.Cursor().String()+"\nevent: component\ndata: {") {
			t.Errorf("last event:\n%s", last)
		}
		if h := streams[0].Header(); h.Get("Content-Type") != "text/event-stream" || h.Get("Bos-Revision") == "" {
			t.Errorf("headers %v", h)
		}
	})
}

func TestEventsAreTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put(`{"id":"a","enabled":false}`)
		at := s.svc.Cursor()
		s.put(`{"id":"b","enabled":false}`)
		known, stop := s.follow("/v2/events", "Last-Event-ID", at.String())
		defer stop()
		unknown, stop := s.follow("/v2/events", "Last-Event-ID", "elsewhere-5")
		defer stop()
		if got := known.events(); got != "component/b" {
			t.Errorf("after a known cursor: %s", got)
		}
		if got := unknown.events(); got != "resync/" {
			t.Errorf("after an unknown cursor: %s", got)
		}
		for target, header := range map[string]string{"/v2/events": "nonsense", "/v2/events?kind=session,bogus": "", "/v2/events?ids=": "", "/v2/events?kind=resync": ""} {
			s.want(s.do("GET", target, "", "Last-Event-ID", header), http.StatusBadRequest, "Bad Request", "")
		}
		s.want(s.do("GET", "/v2/events", "", "Cray-Tenant-Name", "other"), http.StatusBadRequest, bos.TitleInvalidTenant, "")
	})
}

func TestEventsHeartbeatAndShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		s := newSystem(t, func(_ *Config, h *HandlerConfig) { h.Closing = closing })
		st, stop := s.follow("/v2/events")
		time.Sleep(31 * time.Second) // longer than a request may last
		synctest.Wait()
		if n := strings.Count(st.text(), ": heartbeat\n\n"); n != 2 {
			t.Errorf("%d heartbeats in 31 s", n)
		}
		close(closing)
		synctest.Wait()
		if s.route != "/v2/events" {
			t.Error("the stream goes on")
		}
		stop()
	})
}

// TestTenantSeesWhatItOwnsNow moves a node to the tenant while it listens.
func TestTenantSeesWhatItOwnsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		st, stop := s.follow("/v2/events?kind=component", "Cray-Tenant-Name", "ten1")
		defer stop()
		s.tenants.Set("ten1", "n1", "n2")
		time.Sleep(ownershipAge)
		s.put(`{"id":"n2","enabled":false}`, `{"id":"n0","enabled":false}`)
		synctest.Wait()
		if got := st.events(); got != "resync/ component/n2" {
			t.Errorf("got %s", got)
		}
	})
}

// TestChangesCountFromTheCall writes between the call and the first look: nothing is missed.
func TestChangesCountFromTheCall(t *testing.T) {
	s := newSystem(t)
	changes := s.svc.Changes(t.Context(), bos.ChangeFilter{})
	s.put(`{"id":"a","enabled":false}`)
	for c, err := range changes {
		if err != nil || c.ID != "a" {
			t.Errorf("%+v, %v", c, err)
		}
		break
	}
}
