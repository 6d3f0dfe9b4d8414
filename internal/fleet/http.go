package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxBody bounds the body of any request.
const maxBody = 64 << 20

// Call is one request that a service answered.
type Call struct {
	Time    time.Time `json:"time"` // on the clock of the machine
	Service string    `json:"service"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`   // with the query; cut after 256 bytes
	Items   int       `json:"items"`  // nodes, hosts, components … it was about
	Status  int       `json:"status"` // 0: the connection was broken
	Millis  float64   `json:"ms"`     // on the wall clock
}

// Bounds of the request log.
const (
	callLogLength = 4096
	maxCallPath   = 256
)

// callLog is a ring of the latest calls.
type callLog struct {
	ring  []Call
	total int
}

func (l *callLog) add(c Call) {
	if len(l.ring) < callLogLength {
		l.ring = append(l.ring, c)
	} else {
		l.ring[l.total%callLogLength] = c
	}
	l.total++
}

// list returns the calls of a service, or of all, oldest first.
func (l *callLog) list(service string) []Call {
	out := []Call{}
	for i := range l.ring {
		c := l.ring[(l.total+i)%len(l.ring)]
		if service == "" || c.Service == service {
			out = append(out, c)
		}
	}
	return out
}

// Calls returns the latest calls of a service, or of all when it is empty, oldest
// first; the log keeps 4096.
func (m *Machine) Calls(service string) []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls.list(service)
}

// answer is a response that is sent when its handler has returned: handlers may
// write it while they hold the machine, however slow the client is.
type answer struct {
	header http.Header
	status int
	items  int
	body   *bytes.Buffer
	record func() // into the call log, once; before the client can see the answer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// begin sends the status and the header; length is that of the body to come.
func (a *answer) begin(w http.ResponseWriter, length int) {
	maps.Copy(w.Header(), a.header)
	if length > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	w.WriteHeader(a.status)
}

// about notes how many items a call is about.
func about(w http.ResponseWriter, items int) {
	if a, ok := w.(*answer); ok {
		a.items = items
	}
}

// newAnswer makes the answer to a request, which can be recorded once.
func (m *Machine) newAnswer(service string, r *http.Request) *answer {
	at, start := m.time(), time.Now()
	a := &answer{header: http.Header{}, body: bodies.Get().(*bytes.Buffer)}
	a.record = sync.OnceFunc(func() {
		uri := r.URL.RequestURI()
		c := Call{at, service, r.Method, uri[:min(len(uri), maxCallPath)], a.items, a.status, float64(time.Since(start).Microseconds()) / 1000}
		m.mu.Lock()
		m.calls.add(c)
		m.count.requests[callKey{service, a.status}]++
		m.mu.Unlock()
	})
	return a
}

// bodies are buffers of answers that have been sent; some are large.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// release gives the body back. Nothing may touch the answer afterwards.
func (a *answer) release() {
	a.body.Reset()
	bodies.Put(a.body)
	a.body = nil
}

// send sends the answer, and records it before the client can see it.
func (a *answer) send(w http.ResponseWriter) {
	a.WriteHeader(http.StatusOK)
	a.record()
	a.begin(w, a.body.Len())
	_, _ = w.Write(a.body.Bytes())
}

// serve wraps a service in its faults and in the call log.
func (m *Machine) serve(service string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := m.newAnswer(service, r)
		defer a.release()
		defer a.record() // when the connection is broken
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		m.answer(service, h, a, w, r)
		a.send(w)
	})
}

// writeJSON answers v.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// problem answers an RFC 7807 document.
func problem(w http.ResponseWriter, status int, detail string) {
	body, _ := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// problemf is problem with a formatted detail.
func problemf(w http.ResponseWriter, status int, format string, args ...any) {
	problem(w, status, fmt.Sprintf(format, args...))
}

// decode reads a JSON body; an empty one is an error.
func decode(r *http.Request, v any) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return errors.New("empty body")
	}
	return json.Unmarshal(data, v)
}

// decodeControl is decode for the control API, which tells what is wrong.
func decodeControl(r *http.Request, v any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return errors.New("empty body")
	}
	return unmarshalStrict(data, v)
}
