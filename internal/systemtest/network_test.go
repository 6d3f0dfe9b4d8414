package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/bootorch/bosgo/bos"
)

// request is one request of a process, as the network sees it.
type request struct {
	operator string // that makes it; empty = the process itself, as for leases
	service  string // bos, hsm, pcs, cfs, bss, ims, s3 or tapms
	method   string
	path     string
	body     []byte
	asked    int    // when the settings were asked for, by the clock of the rules; 0 = it is another request
	late     string // who holds the lease when a write to components is sent, if that is somebody else
}

// changes reports whether the request changes something, at BOS or elsewhere. Leases are apart: they are no work.
func (r *request) changes() bool {
	switch {
	case r.method == http.MethodGet, r.method == http.MethodHead, r.lease():
		return false
	case strings.HasSuffix(r.path, "/power-status"), strings.HasSuffix(r.path, "/Query"):
		return false
	}
	return true
}

func (r *request) lease() bool { return strings.HasPrefix(r.path, "/v2/leases/") }

// power is what a power request says; ok is false for any other.
func (r *request) power() (operation string, ids []bos.ComponentID, ok bool) {
	if r.service != "pcs" || r.method != http.MethodPost || !strings.HasSuffix(r.path, "/transitions") {
		return "", nil, false
	}
	var body struct {
		Operation string
		Location  []struct{ Xname bos.ComponentID }
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		return "", nil, false
	}
	for _, l := range body.Location {
		ids = append(ids, l.Xname)
	}
	return body.Operation, ids, true
}

// String tells the request in a line, without what differs from run to run.
func (r *request) String() string {
	path := r.path
	for _, random := range []string{"/bootartifacts/", "/transitions/"} {
		if before, _, ok := strings.Cut(path, random); ok {
			path = before + random + "…"
		}
	}
	text := fmt.Sprintf("%s: %s %s %s", r.operator, r.method, r.service, path)
	if op, ids, ok := r.power(); ok {
		return fmt.Sprintf("%s %s of %d", text, op, len(ids))
	}
	if strings.HasSuffix(r.path, "/componentpatches") {
		var body struct {
			Patches []struct{ Patch map[string]any }
		}
		if json.Unmarshal(r.body, &body) == nil && len(body.Patches) > 0 {
			members := []string{}
			for name := range body.Patches[0].Patch {
				if name != "id" {
					members = append(members, name)
				}
			}
			slices.Sort(members)
			return fmt.Sprintf("%s %s of %d", text, strings.Join(members, ","), len(body.Patches))
		}
	}
	return text
}

// network carries requests to the handlers of hosts, in memory. What serves a request serves others after it: new
// goroutines would spend much of their time on growing their stacks.
type network struct {
	hosts map[string]http.Handler
	wg    sync.WaitGroup

	mu     sync.Mutex
	idle   []chan func()
	closed bool
}

// serve runs f in the background.
func (n *network) serve(f func()) {
	n.mu.Lock()
	if last := len(n.idle) - 1; last >= 0 {
		work := n.idle[last]
		n.idle = n.idle[:last]
		n.mu.Unlock()
		work <- f
		return
	}
	n.mu.Unlock()
	work := make(chan func(), 1)
	work <- f
	n.wg.Go(func() {
		for f := range work {
			f()
			n.mu.Lock()
			if n.closed {
				close(work)
			} else {
				n.idle = append(n.idle, work)
			}
			n.mu.Unlock()
		}
	})
}

// close waits for what is being served. Nothing may be sent afterwards.
func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	for _, work := range n.idle {
		close(work)
	}
	n.idle = nil
	n.mu.Unlock()
	n.wg.Wait()
}

// readRequest takes the request down and leaves it as it was.
func readRequest(req *http.Request) (*request, error) {
	r := &request{operator: bos.Writer(req.Context()), service: "bos", method: req.Method, path: req.URL.Path}
	if req.URL.Host != bosHost {
		r.service, _, _ = strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	}
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		r.body, req.Body = data, io.NopCloser(bytes.NewReader(data))
	}
	return r, nil
}

// send gives the request to its host and returns the answer when its header is there: what the request does is done.
func (n *network) send(req *http.Request) (*http.Response, error) {
	h := n.hosts[req.URL.Host]
	if h == nil {
		return nil, fmt.Errorf("no such host: %s", req.URL.Host)
	}
	ctx, cancel := context.WithCancel(req.Context())
	r := req.Clone(ctx)
	r.RequestURI, r.RemoteAddr = req.URL.RequestURI(), "192.0.2.1:1234"
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body := newBody(cancel)
	w := &responseWriter{header: http.Header{}, body: body, began: make(chan struct{})}
	n.serve(func() {
		defer func() {
			if p := recover(); p != nil {
				if err, _ := p.(error); !errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				w.abort()
				return
			}
			w.WriteHeader(http.StatusOK)
			body.end(io.EOF)
		}()
		h.ServeHTTP(w, r)
	})
	select {
	case <-w.began:
	case <-req.Context().Done():
		body.Close()
		return nil, context.Cause(req.Context())
	}
	if w.status == 0 {
		cancel()
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, ContentLength: -1, Body: body, Request: req,
	}, nil
}

// RoundTrip lets the network be the transport of a process that nobody watches.
func (n *network) RoundTrip(req *http.Request) (*http.Response, error) { return n.send(req) }

// responseBody is what a handler has written and the client has not read yet. Closing it ends the request.
type responseBody struct {
	cancel context.CancelFunc

	mu   sync.Mutex
	more *sync.Cond // there is something to read
	data []byte
	err  error // after the data; nil = more may come
}

func newBody(cancel context.CancelFunc) *responseBody {
	b := &responseBody{cancel: cancel}
	b.more = sync.NewCond(&b.mu)
	return b
}

// Read waits for something to read.
func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.data) == 0 && b.err == nil {
		b.more.Wait()
	}
	if len(b.data) == 0 {
		return 0, b.err
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// Write takes what the handler sends. It fails when the client is gone.
func (b *responseBody) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	b.data = append(b.data, p...)
	b.more.Broadcast()
	return len(p), nil
}

// end says what comes after the data.
func (b *responseBody) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.more.Broadcast()
}

func (b *responseBody) Close() error {
	b.cancel()
	b.mu.Lock()
	b.data = nil
	b.mu.Unlock()
	b.end(io.ErrClosedPipe)
	return nil
}

// responseWriter sends an answer.
type responseWriter struct {
	header http.Header
	body   *responseBody
	once   sync.Once
	began  chan struct{}
	status int // set before began is closed; 0 = the connection broke before
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		w.header = w.header.Clone()
		close(w.began)
	})
}

func (w *responseWriter) Write(data []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(data)
}

// Flush implements http.Flusher: nothing is held back.
func (w *responseWriter) Flush() { w.WriteHeader(http.StatusOK) }

func (w *responseWriter) abort() {
	w.once.Do(func() { close(w.began) })
	w.body.end(io.ErrUnexpectedEOF)
}
