package rest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// errSilence is the cause of a try that ended because the service said nothing for too long.
var errSilence = errors.New("no answer within the read time-out")

// connectError is a try whose request was never sent.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// readError is an answer that broke off.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// transport sends one request at a time per slot, ends those whose service falls silent, and tells apart what was
// never sent from what was.
type transport struct {
	next    http.RoundTripper
	slots   chan struct{}
	timeout func() time.Duration
}

func newTransport(cfg Config) *transport {
	return &transport{next: cfg.Transport, slots: make(chan struct{}, cfg.MaxInFlight), timeout: cfg.Timeout}
}

// HTTPClient returns a client for a library that makes its own requests, and retries them itself. It has the time-outs,
// the connection limit and the TLS of cfg, and follows no redirects. Errors match bos.ErrInvalid.
func HTTPClient(cfg Config) (*http.Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     newTransport(cfg),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case t.slots <- struct{}{}:
	case <-req.Context().Done():
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &connectError{context.Cause(req.Context())}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	limit := t.timeout()
	w := &watch{limit: limit, cancel: cancel, timer: time.AfterFunc(limit, func() { cancel(errSilence) }), slots: t.slots, ctx: ctx}
	var connected atomic.Bool
	resp, err := t.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { connected.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { w.timer.Reset(limit) },
	})))
	if err != nil {
		err = w.cause(err)
		w.end()
		network := false // others know nothing of traces
		switch t.next.(type) {
		case *http.Transport, *reloading:
			network = true
		}
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || network && !connected.Load() {
			err = &connectError{err}
		}
		return nil, err
	}
	w.timer.Stop()
	w.body = resp.Body
	resp.Body = w
	return resp, nil
}

// watch is the body of an answer. It ends the request when a read takes too long, and frees the slot when closed.
type watch struct {
	body   io.ReadCloser
	limit  time.Duration
	timer  *time.Timer
	ctx    context.Context // the request's own, asked for its cause
	cancel context.CancelCauseFunc
	slots  chan struct{}
	once   sync.Once
}

func (w *watch) Read(p []byte) (int, error) {
	w.timer.Reset(w.limit)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{w.cause(err)}
	}
	return n, err
}

func (w *watch) Close() error {
	err := w.body.Close()
	w.end()
	return err
}

// cause returns why the request was ended, if it was ended for silence; else err.
func (w *watch) cause(err error) error {
	if errors.Is(context.Cause(w.ctx), errSilence) {
		return errSilence
	}
	return err
}

func (w *watch) end() {
	w.once.Do(func() {
		w.timer.Stop()
		w.cancel(nil)
		<-w.slots
	})
}
