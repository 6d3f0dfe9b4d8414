package fleet

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// withFaults answers a request as the service does with the faults it has.
func (m *Machine) withFaults(service string, h http.Handler, w *answer, r *http.Request) {
	m.mu.Lock()
	quiet := len(m.faults) == 0
	m.mu.Unlock()
	if quiet {
		h.ServeHTTP(w, r)
		return
	}
	if m.refuse(service, w, r) {
		return
	}
	bend := m.benders(service)
	if len(bend) == 0 {
		h.ServeHTTP(w, r)
		return
	}
	held := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	inner := &answer{ResponseWriter: held}
	h.ServeHTTP(inner, r)
	w.items = inner.items
	for _, f := range bend {
		m.bend(f, held, w, r)
	}
	maps.Copy(w.Header(), held.header)
	if held.body.Len() > 0 || r.Method != http.MethodHead && held.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(held.body.Len()))
	}
	w.WriteHeader(held.status)
	w.Write(held.body.Bytes())
}

// heldAnswer is a response that has not been sent yet.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header         { return h.header }
func (h *heldAnswer) WriteHeader(status int)      { h.status = status }
func (h *heldAnswer) Write(b []byte) (int, error) { return h.body.Write(b) }

// wait lets d pass on the wall clock; it is false when the caller has gone or the
// machine has stopped.
func (m *Machine) wait(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-m.stopped:
	}
	return false
}

// faultNow is serviceFault with the lock taken.
func (m *Machine) faultNow(service, kind string) *activeFault {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serviceFault(service, kind)
}

// abort breaks the connection.
func abort() { panic(http.ErrAbortHandler) }

// refuse applies the faults that keep a request from the service; it is true when
// the request has been answered.
func (m *Machine) refuse(service string, w *answer, r *http.Request) bool {
	if f := m.faultNow(service, "outage"); f != nil {
		m.outage(f.Value, w, r)
		return true
	}
	if f := m.faultNow(service, "latency"); f != nil {
		m.mu.Lock()
		d := f.duration + time.Duration(m.rand.Float64()*float64(f.upTo-f.duration))
		m.mu.Unlock()
		if !m.wait(r, d) {
			abort()
		}
	}
	if f := m.faultNow(service, "auth_401"); f != nil {
		m.mu.Lock()
		late := f.used[nil] > f.number
		m.mu.Unlock()
		if late {
			problem(w, http.StatusUnauthorized, "token expired")
			return true
		}
	}
	if f := m.faultNow(service, "max_url"); f != nil && len(r.URL.RequestURI()) > f.number {
		problemf(w, http.StatusRequestURITooLong, "request line longer than %d bytes", f.number)
		return true
	}
	if f := m.faultNow(service, "max_body"); f != nil && r.ContentLength > int64(f.number) {
		problemf(w, http.StatusRequestEntityTooLarge, "body longer than %d bytes", f.number)
		return true
	}
	if f := m.faultNow(service, "retry_after"); f != nil {
		w.Header().Set("Retry-After", strconv.Itoa(f.number))
		problem(w, http.StatusServiceUnavailable, "try again later")
		return true
	}
	if f := m.faultNow(service, "error_rate"); f != nil {
		problem(w, f.number, "simulated error")
		return true
	}
	return false
}

// outage is a request to a service that is down. A refused connection can only be
// shown as one that breaks: the address is shared with the other services.
func (m *Machine) outage(mode string, w *answer, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	switch mode {
	case "blackhole":
		m.wait(r, 24*time.Hour)
		abort()
	case "refuse":
		abort()
	case "502html":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n")
	case "reset_mid_body":
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, `{"`)
		http.NewResponseController(w).Flush()
		abort()
	default:
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "no healthy upstream")
	}
}

// benders returns the faults that change an answer, in the order of their
// application.
func (m *Machine) benders(service string) []*activeFault {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*activeFault
	for _, kind := range []string{"latency_per_item", "null_collections", "drop_items", "dup_items", "reorder", "malformed", "empty_body", "bandwidth", "truncate_body"} {
		if f := m.serviceFault(service, kind); f != nil {
			out = append(out, f)
		}
	}
	return out
}

// bend applies one fault to an answer that has not been sent yet.
func (m *Machine) bend(f *activeFault, held *heldAnswer, w *answer, r *http.Request) {
	switch f.Kind {
	case "latency_per_item":
		if !m.wait(r, time.Duration(w.items)*f.duration) {
			abort()
		}
	case "malformed":
		held.header.Set("Content-Type", "text/html")
		held.status = http.StatusOK
		held.body.Reset()
		held.body.WriteString("<html><body>Please sign in</body></html>\n")
	case "empty_body":
		held.body.Reset()
	case "bandwidth":
		m.send(held, w)
		step := max(1, f.number/10)
		for held.body.Len() > 0 && m.wait(r, 100*time.Millisecond) {
			w.Write(held.body.Next(step))
			http.NewResponseController(w).Flush()
		}
		abort() // ends a complete body quietly, and shows an incomplete one as such
	case "truncate_body":
		if held.body.Len() > f.number {
			m.send(held, w)
			w.Write(held.body.Next(f.number))
			http.NewResponseController(w).Flush()
			abort()
		}
	default:
		m.bendItems(f, held)
	}
}

// send sends the header of an answer whose body follows.
func (m *Machine) send(held *heldAnswer, w *answer) {
	maps.Copy(w.Header(), held.header)
	w.Header().Set("Content-Length", strconv.Itoa(held.body.Len()))
	w.WriteHeader(held.status)
}

// bendItems changes the lists in a JSON answer: the answer itself, or the members
// of an object.
func (m *Machine) bendItems(f *activeFault, held *heldAnswer) {
	var list []json.RawMessage
	var object map[string]json.RawMessage
	switch body := held.body.Bytes(); {
	case held.status/100 != 2:
		return
	case json.Unmarshal(body, &list) == nil && list != nil:
		held.body.Reset()
		held.body.Write(m.bendList(f, list))
	case json.Unmarshal(body, &object) == nil:
		for key, value := range object {
			if list = nil; json.Unmarshal(value, &list) == nil && list != nil {
				object[key] = m.bendList(f, list)
			}
		}
		changed, err := json.Marshal(object)
		if err != nil {
			return
		}
		held.body.Reset()
		held.body.Write(changed)
	}
}

func (m *Machine) bendList(f *activeFault, list []json.RawMessage) json.RawMessage {
	if f.Kind == "null_collections" {
		return json.RawMessage("null")
	}
	m.mu.Lock()
	out := make([]json.RawMessage, 0, len(list))
	for _, item := range list {
		struck := f.Probability == 0 || m.rand.Float64() < f.Probability
		if f.Kind == "drop_items" && struck {
			continue
		}
		out = append(out, item)
		if f.Kind == "dup_items" && struck {
			out = append(out, item)
		}
	}
	if f.Kind == "reorder" {
		m.rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	m.mu.Unlock()
	data, err := json.Marshal(out)
	if err != nil {
		return json.RawMessage("[]")
	}
	return data
}
