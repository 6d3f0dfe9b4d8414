package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/operator/builtin"
)

// SimulatedConfig is a whole system in this process: a simulated machine, the API and the operators.
type SimulatedConfig struct {
	Store     string
	Inventory *fleet.Inventory
	Speed     float64
	Seed      uint64
	Faults    []string // as fleet.ParseFault reads them
	Log       *slog.Logger
	Level     *slog.LevelVar

	metrics *metrics // nil = not kept
}

// Simulated is a running system. Its services listen on a loopback port, as real ones would.
type Simulated struct {
	API     *bosserver.Service
	Machine *fleet.Machine
	URL     string // of the simulated services

	ctx   context.Context
	stop  context.CancelFunc
	group *errgroup.Group
	close func() error
	log   *slog.Logger

	metrics *metrics
}

// StartSimulated starts a system. It runs until ctx ends or Stop is called; call Stop in either case.
func StartSimulated(ctx context.Context, cfg SimulatedConfig) (*Simulated, error) {
	var faults []fleet.Fault
	for _, text := range cfg.Faults {
		f, err := fleet.ParseFault(text)
		if err != nil {
			return nil, UsageErrorf("--fault: %v", err)
		}
		faults = append(faults, f)
	}
	st, err := OpenStore(ctx, cfg.Store, cfg.Log)
	if err != nil {
		return nil, err
	}
	s := &Simulated{close: st.Close, log: cfg.Log}
	s.Machine, err = fleet.New(fleet.Config{
		Inventory: cfg.Inventory, Speed: cfg.Speed, Seed: cfg.Seed, Faults: faults, Log: cfg.Log,
		Report: func(ctx context.Context, xname, token string) (int, error) { return s.report(ctx, xname, token) },
	})
	if err != nil {
		st.Close()
		return nil, UsageErrorf("%v", err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		st.Close()
		return nil, fmt.Errorf("listen for the simulated services: %w", err)
	}
	s.URL = "http://" + ln.Addr().String()
	live := newLiveOptions(cfg.Level, cfg.Log)
	upstreams := SimulatedUpstreams(s.URL)
	clients, err := upstreams.clients(live, cfg.Log)
	if err != nil {
		ln.Close()
		st.Close()
		return nil, err
	}
	s.API = newService(st, clients, cfg.Log)
	s.metrics = cfg.metrics
	if s.metrics == nil {
		s.metrics = newMetrics()
	}
	loops, err := newLoops(builtin.Names(), s.API, clients.deps(s.API, cfg.Log), s.metrics, cfg.Log)
	if err != nil {
		ln.Close()
		st.Close()
		return nil, err
	}

	ctx, s.stop = context.WithCancel(ctx)
	s.group, s.ctx = errgroup.WithContext(ctx)
	endBackups := offerBackups(s.ctx, cfg.Store, st, cfg.Log)
	s.group.Go(func() error { <-s.ctx.Done(); endBackups(); return nil })
	s.group.Go(func() error { return s.Machine.Run(s.ctx) })
	s.group.Go(func() error { return ServeHTTP(s.ctx, ln, s.Machine.Handler(), cfg.Log) })
	s.group.Go(func() error { live.follow(s.ctx, s.API); return nil })
	s.group.Go(func() error { return runLoops(s.ctx, loops) })
	return s, nil
}

// Handler serves the API of the system.
func (s *Simulated) Handler() http.Handler { return newHandler(s.ctx, s.API, "", s.metrics, s.log) }

// Context ends when a part of the system fails, or with the context it was started with.
func (s *Simulated) Context() context.Context { return s.ctx }

// Stop ends everything and waits for it. Its error is what made a part fail before.
func (s *Simulated) Stop() error {
	s.stop()
	err := s.group.Wait()
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped) {
		err = nil
	}
	return errors.Join(err, s.close())
}

// reportTimeout is how long a simulated node waits for an answer, see the reporter.
const reportTimeout = 10 * time.Second

// report is what a simulated node sends, without the detour over a socket.
func (s *Simulated) report(ctx context.Context, xname, token string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	p := bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken(token))}}
	if _, err := s.API.PatchComponent(ctx, "", bos.ComponentID(xname), p); err != nil {
		return bos.AsStatus(err).Status, nil
	}
	return 200, nil
}
