package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// newHandler returns a log of one line per record, without the time, which the journal adds. If journal is set
// each line begins with its priority, as sd-daemon(3) has it.
func newHandler(w io.Writer, level slog.Level, json, journal bool) slog.Handler {
	out := &lineWriter{w: w}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) > 0:
		case a.Key == slog.TimeKey:
			return slog.Attr{}
		case a.Key == slog.LevelKey:
			a.Value = slog.StringValue(levelName(a.Value.Any().(slog.Level)))
		}
		if err, ok := a.Value.Any().(error); ok { // one line each
			a.Value = slog.StringValue(strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		return a
	}}
	var h slog.Handler = slog.NewTextHandler(out, opts)
	if json {
		h = slog.NewJSONHandler(out, opts)
	}
	if journal {
		h = journalHandler{h, out}
	}
	return h
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warning"
	case l >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}

// lineWriter puts a prefix before each record. A handler writes a record with one call.
type lineWriter struct {
	mu     sync.Mutex // held by journalHandler from setting the prefix to the end of the write
	prefix string
	w      io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	if _, err := l.w.Write(append([]byte(l.prefix), p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// journalHandler sets the prefix that belongs to a record's level.
type journalHandler struct {
	slog.Handler
	out *lineWriter
}

// Handle writes one record.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	switch levelName(r.Level) {
	case "error":
		h.out.prefix = "<3>"
	case "warning":
		h.out.prefix = "<4>"
	case "info":
		h.out.prefix = "<6>"
	default:
		h.out.prefix = "<7>"
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the prefix.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.out}
}

// WithGroup keeps the prefix.
func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.out}
}
