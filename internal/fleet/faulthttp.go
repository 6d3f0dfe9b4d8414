package fleet

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer fills a with what the service answers, given the faults it has. It
// panics with http.ErrAbortHandler where a fault breaks the connection.
func (m *Machine) answer(service string, h http.Handler, a *answer, w http.ResponseWriter, r *http.Request) {
	if m.healthy() {
		h.ServeHTTP(a, r)
		return
	}
	m.mu.Lock()
	if m.skew(service) != 0 {
		a.header.Set("Date", m.serviceTime(service).Format(http.TimeFormat))
	}
	m.mu.Unlock()
	if m.refuse(service, a, w, r) {
		return
	}
	bend := m.benders(service, r.Method)
	h.ServeHTTP(a, r)
	a.WriteHeader(http.StatusOK)
	if len(bend) > 0 {
		a.record()
	}
	for _, f := range bend {
		m.bend(f, a, w, r)
	}
}

// healthy reports whether the machine has no fault at all.
func (m *Machine) healthy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.faults) == 0
}

// hasFault reports whether there is a fault of that kind.
func (m *Machine) hasFault(kind string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faultsOf[kind]
}

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

// faultNow is requestFault with the lock taken.
func (m *Machine) faultNow(service, kind string, r *http.Request, fits func(*activeFault) bool) *activeFault {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requestFault(service, kind, r.Method, fits)
}

// abort breaks the connection.
func abort() { panic(http.ErrAbortHandler) }

// refuse applies the faults that keep a request from the service; it is true when
// the request has been answered.
func (m *Machine) refuse(service string, a *answer, w http.ResponseWriter, r *http.Request) bool {
	if f := m.faultNow(service, "outage", r, nil); f != nil {
		m.outage(f.Value, a, w, r)
		return true
	}
	if f := m.faultNow(service, "latency", r, nil); f != nil {
		m.mu.Lock()
		d := f.duration + time.Duration(m.rand.Float64()*float64(f.upTo-f.duration))
		m.mu.Unlock()
		if !m.wait(r, d) {
			abort()
		}
	}
	if f := m.faultNow(service, "require_auth", r, nil); f != nil && f.Value == "on" && !m.authorised(service, a, r) {
		return true
	}
	enough := func(f *activeFault) bool {
		f.requests++
		return f.requests > f.number
	}
	if m.faultNow(service, "auth_401", r, enough) != nil {
		problem(a, http.StatusUnauthorized, "token expired")
		return true
	}
	longer := func(length int) func(*activeFault) bool {
		return func(f *activeFault) bool { return length > f.number }
	}
	if f := m.faultNow(service, "max_url", r, longer(len(r.URL.RequestURI()))); f != nil {
		problemf(a, http.StatusRequestURITooLong, "request line longer than %d bytes", f.number)
		return true
	}
	if m.hasFault("max_body") {
		if f := m.faultNow(service, "max_body", r, longer(bodyLength(r))); f != nil {
			problemf(a, http.StatusRequestEntityTooLarge, "body longer than %d bytes", f.number)
			return true
		}
	}
	if f := m.faultNow(service, "redirect", r, func(*activeFault) bool { return !r.URL.Query().Has(redirected) }); f != nil {
		status, _ := strconv.Atoi(f.Value)
		a.header.Set("Location", "?"+strings.TrimPrefix(r.URL.RawQuery+"&"+redirected+"=1", "&"))
		a.WriteHeader(status)
		return true
	}
	if f := m.faultNow(service, "retry_after", r, nil); f != nil {
		a.header.Set("Retry-After", strconv.Itoa(f.number))
		problem(a, f.status, "try again later")
		return true
	}
	if f := m.faultNow(service, "error_rate", r, nil); f != nil {
		problem(a, f.number, "simulated error")
		return true
	}
	return false
}

// redirected is the parameter of a request that has been redirected: once is enough.
const redirected = "redirected"

// bodyLength reads a body to its end where its length is not known.
func bodyLength(r *http.Request) int {
	if r.ContentLength >= 0 {
		return int(r.ContentLength)
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return math.MaxInt // longer than any
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	return len(data)
}

// outage is a request to a service that is down. At an address that services share a
// refused connection can only be shown as one that breaks; see [Machine.Refusing].
func (m *Machine) outage(mode string, a *answer, w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	switch mode {
	case "blackhole":
		m.wait(r, 24*time.Hour)
		abort()
	case "refuse":
		a.record()
		abort()
	case "502html":
		a.header.Set("Content-Type", "text/html")
		a.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(a, "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n")
	case "reset_mid_body", "stall_mid_body":
		a.WriteHeader(http.StatusOK)
		a.record()
		a.header.Set("Content-Type", "application/json")
		a.begin(w, 1000)
		_, _ = io.WriteString(w, `{"`)
		http.NewResponseController(w).Flush()
		if mode == "stall_mid_body" {
			m.wait(r, 24*time.Hour)
		}
		abort()
	default:
		a.header.Set("Content-Type", "text/plain")
		a.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(a, "no healthy upstream")
	}
}

// bodyFaults are the kinds that change an answer, in the order of their application.
var bodyFaults = []string{"latency_per_item", "null_collections", "drop_items", "dup_items", "reorder", "malformed", "empty_body", "bandwidth", "truncate_body"}

// benders returns the faults that change an answer to a request.
func (m *Machine) benders(service, method string) []*activeFault {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*activeFault
	for _, kind := range bodyFaults {
		if f := m.requestFault(service, kind, method, nil); f != nil {
			out = append(out, f)
		}
	}
	return out
}

// bend applies one fault to an answer that has not been sent yet.
func (m *Machine) bend(f *activeFault, a *answer, w http.ResponseWriter, r *http.Request) {
	switch f.Kind {
	case "latency_per_item":
		if !m.wait(r, time.Duration(a.items)*f.duration) {
			abort()
		}
	case "malformed":
		a.header.Set("Content-Type", "text/html")
		a.status = http.StatusOK
		a.body.Reset()
		a.body.WriteString("<html><body>Please sign in</body></html>\n")
	case "empty_body":
		a.body.Reset()
	case "bandwidth":
		a.begin(w, a.body.Len())
		step := max(1, f.number/10)
		for a.body.Len() > 0 && m.wait(r, 100*time.Millisecond) {
			w.Write(a.body.Next(step))
			http.NewResponseController(w).Flush()
		}
		abort() // quiet after a complete body, and shows an incomplete one as such
	case "truncate_body":
		if a.body.Len() > f.number {
			a.begin(w, a.body.Len())
			w.Write(a.body.Next(f.number))
			http.NewResponseController(w).Flush()
			abort()
		}
	default:
		m.bendItems(f, a)
	}
}

// bendItems changes the lists in a JSON answer: the answer itself, or the members
// of an object.
func (m *Machine) bendItems(f *activeFault, a *answer) {
	var list []json.RawMessage
	var object map[string]json.RawMessage
	switch body := a.body.Bytes(); {
	case a.status/100 != 2:
		return
	case json.Unmarshal(body, &list) == nil && list != nil:
		a.body.Reset()
		a.body.Write(m.bendList(f, list))
	case json.Unmarshal(body, &object) == nil:
		for _, key := range slices.Sorted(maps.Keys(object)) { // in order: each list takes its chances
			if list = nil; json.Unmarshal(object[key], &list) == nil && list != nil {
				object[key] = m.bendList(f, list)
			}
		}
		changed, err := json.Marshal(object)
		if err != nil {
			return
		}
		a.body.Reset()
		a.body.Write(changed)
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
