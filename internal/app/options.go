package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// optionsAPI is what following the options takes.
type optionsAPI interface {
	bos.OptionsAPI
	bos.EventsAPI
}

// liveOptions holds the options and settings of the moment for whoever needs one in the middle of something, such as
// a client its time-out. It begins with the defaults and keeps the last good ones through an outage.
type liveOptions struct {
	options  atomic.Pointer[bos.Options]
	settings atomic.Pointer[bos.Settings]
	level    *slog.LevelVar
	log      *slog.Logger
}

func newLiveOptions(level *slog.LevelVar, log *slog.Logger) *liveOptions {
	l := &liveOptions{level: level, log: log}
	l.options.Store(new(bos.DefaultOptions()))
	l.settings.Store(new(bos.DefaultSettings()))
	return l
}

// Options returns the options of the moment; the caller must not change them.
func (l *liveOptions) Options() *bos.Options { return l.options.Load() }

// Settings returns the settings of the moment; the caller must not change them.
func (l *liveOptions) Settings() *bos.Settings { return l.settings.Load() }

// optionsRefresh is how often options are read again where no event tells of a change.
const optionsRefresh = 10 * time.Second

// follow keeps the options up to date until ctx ends.
func (l *liveOptions) follow(ctx context.Context, api optionsAPI) {
	changed := make(chan struct{}, 1)
	go func() {
		f := bos.ChangeFilter{Kinds: []bos.ChangeKind{bos.ChangeOptions, bos.ChangeSettings}}
		for ctx.Err() == nil {
			for _, err := range api.Changes(ctx, f) {
				if err != nil {
					break
				}
				select {
				case changed <- struct{}{}:
				default:
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(optionsRefresh):
			}
		}
	}()
	for {
		l.read(ctx, api)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(optionsRefresh):
		}
	}
}

func (l *liveOptions) read(ctx context.Context, api optionsAPI) {
	if o, err := api.Options(ctx); err == nil {
		l.options.Store(&o)
		if l.level != nil {
			operator.SetLevel(l.log, l.level, o.LoggingLevel)
		}
	}
	if s, err := api.Settings(ctx); err == nil {
		l.settings.Store(&s)
	}
}
