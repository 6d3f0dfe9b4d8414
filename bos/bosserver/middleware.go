package bosserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bootorch/bosgo/bos"
)

// trace is what the layers below tell the log line of a request.
type trace struct {
	route  string // pattern; empty = unknown
	tenant string
	err    error
}

type traceKey struct{}

// traceOf returns the trace of a request, which only outermost makes.
func traceOf(r *http.Request) *trace {
	if t, ok := r.Context().Value(traceKey{}).(*trace); ok {
		return t
	}
	return &trace{}
}

// outermost is around everything: request id, time limit, log line, observation, panics.
func (h *handler) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		t := &trace{}
		rec := &recorder{ResponseWriter: w, cursor: h.cursor}
		id := requestID(r)
		w.Header().Set("X-Request-Id", id)

		ctx := context.WithValue(r.Context(), traceKey{}, t)
		if r.URL.Path != eventsPath {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, h.cfg.RequestTimeout)
			defer cancel()
			rc := http.NewResponseController(w)
			_ = rc.SetReadDeadline(start.Add(h.cfg.RequestTimeout)) // not every writer can
			_ = rc.SetWriteDeadline(start.Add(h.cfg.RequestTimeout + 5*time.Second))
		}
		r = r.WithContext(ctx)

		defer func() {
			aborted := false
			if p := recover(); p != nil {
				aborted = rec.began // part of another answer is out
				if err, _ := p.(error); !errors.Is(err, http.ErrAbortHandler) {
					h.log.ErrorContext(ctx, "panic", "request_id", id, "route", t.route, "panic", p, "stack", string(debug.Stack()))
				}
				writeProblem(rec, &bos.StatusError{Status: http.StatusInternalServerError, Detail: bos.DetailInternalError})
			}
			h.finish(ctx, r, rec, t, id, time.Since(start))
			if aborted {
				panic(http.ErrAbortHandler)
			}
		}()
		if !knownPath(r.URL) {
			writeProblem(rec, errRoute())
			return
		}
		next.ServeHTTP(rec, r)
	})
}

// finish logs and observes a request.
func (h *handler) finish(ctx context.Context, r *http.Request, rec *recorder, t *trace, id string, d time.Duration) {
	code := rec.code
	if code == 0 {
		code = http.StatusOK
	}
	level := slog.LevelInfo
	standingBy := code == http.StatusConflict && t.route == "/v2/leases/{operator}" // asks for the lease every few seconds
	if routine(r.Method, t.route) && (code < 400 || standingBy) {
		level = slog.LevelDebug
	}
	if code >= 500 && !errors.Is(context.Cause(ctx), context.Canceled) { // where the caller has gone nothing has failed
		level = slog.LevelError
	}
	if h.log.Enabled(ctx, level) {
		attrs := []slog.Attr{
			slog.String("request_id", id), slog.String("method", r.Method), slog.String("route", t.route),
			slog.Int("status", code), slog.Int64("bytes", rec.bytes), slog.Duration("duration", d),
		}
		if t.route != "" && !strings.Contains(t.route, "{token}") {
			attrs = append(attrs, slog.String("path", r.URL.Path)) // the path of an unknown route may hold a token as well
		}
		if t.tenant != "" {
			attrs = append(attrs, slog.String("tenant", t.tenant))
		}
		if op := r.Header.Get("Bos-Operator"); op != "" {
			attrs = append(attrs, slog.String("operator", clip(op)))
		}
		if t.err != nil {
			attrs = append(attrs, slog.Any("err", t.err))
		}
		h.log.LogAttrs(ctx, level, "request", attrs...)
	}
	if h.cfg.Observe != nil {
		h.cfg.Observe(t.route, knownMethod(r.Method), code, d)
	}
}

// routine reports whether a request is one of those that ten thousand nodes and ten operators send all day: reads,
// reports, leases, operators' patches and transitions. They are worth a line only where they fail, or where somebody is looking.
func routine(method, route string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	case http.MethodPatch:
		return route == "/v2/components/{component_id}"
	}
	return route == "/v2/componentpatches" || strings.HasPrefix(route, "/v2/leases/") ||
		strings.HasPrefix(route, "/v2/bootartifacts/") || strings.HasPrefix(route, "/v2/transitions/")
}

// knownMethod bounds the number of methods that an observer sees.
func knownMethod(method string) string {
	switch method {
	case "GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS":
		return method
	}
	return "OTHER"
}

// requestID returns the caller's id of the request where it has a sensible one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 64 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:") != "" {
		return uuid.NewString()
	}
	return id
}

// recorder remembers what was answered and puts the present revision into the header of each answer.
type recorder struct {
	http.ResponseWriter
	cursor func() bos.Cursor
	code   int
	bytes  int64
	began  bool // some of the body is out
}

func (rec *recorder) WriteHeader(code int) {
	if rec.code == 0 {
		rec.code = code
		if at := rec.cursor(); !at.IsZero() {
			rec.Header().Set("Bos-Revision", at.String())
		}
	}
	rec.ResponseWriter.WriteHeader(code)
}

func (rec *recorder) Write(data []byte) (int, error) {
	if rec.code == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	rec.began = true
	n, err := rec.ResponseWriter.Write(data)
	rec.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }
