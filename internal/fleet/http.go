package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxBody bounds the body of any request.
const maxBody = 64 << 20

// Call is one request that a service answered.
type Call struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Items   int       `json:"items"` // nodes, hosts, components … it was about
	Status  int       `json:"status"`
	Millis  float64   `json:"ms"`
}

// callLogLength bounds the request log.
const callLogLength = 4096

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

// answer is the response to one call: it remembers what goes into the log.
type answer struct {
	http.ResponseWriter
	status int
	items  int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// about notes how many items a call is about.
func about(w http.ResponseWriter, items int) {
	if a, ok := w.(*answer); ok {
		a.items = items
	}
}

// serve wraps a service: the call log around the service's faults around the
// service.
func (m *Machine) serve(service string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		a := &answer{ResponseWriter: w}
		r.Body = http.MaxBytesReader(a, r.Body, maxBody)
		defer func() {
			m.mu.Lock()
			m.calls.add(Call{start.UTC(), service, r.Method, r.URL.RequestURI(), a.items, a.status, float64(time.Since(start).Microseconds()) / 1000})
			m.count.requests[callKey{service, a.status}]++
			m.mu.Unlock()
		}()
		m.withFaults(service, h, a, r)
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
