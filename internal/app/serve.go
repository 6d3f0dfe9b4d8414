package app

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/operator/builtin"
)

// ServeConfig is what bos serve is told.
type ServeConfig struct {
	Listen     ListenConfig
	Store      string
	StoreGiven bool // --store was among the arguments
	Simulate   int
	Inventory  string
	Speed      float64
	Seed       uint64
	Upstreams  Upstreams
	ProxyPath  string
	Metrics    string // address to serve metrics on
	LogLevel   string
}

// Bind defines the flags of bos serve.
func (c *ServeConfig) Bind(f *Flags) {
	c.Listen.Bind(f, "127.0.0.1:9000")
	f.StringEnv(&c.Store, "store", "BOS_STORE", "", "database: "+StoreHelp+"; default bos.db in ~/.local/state/bosgo, simulated.db there for a simulated machine")
	f.IntVar(&c.Simulate, "simulate", 0, "simulate a machine of so many nodes instead of speaking to upstream services")
	f.StringVar(&c.Inventory, "inventory", "", "simulate the nodes of this HSM State/Components document or SLS dump")
	f.Float64Var(&c.Speed, "speed", 1, "run the simulated machine so many times faster than a real one")
	f.Uint64Var(&c.Seed, "seed", 1, "seed of the simulation's chances")
	f.StringEnv(&c.ProxyPath, "proxy-path", "PROXY_PATH", "", "path prefix under which a gateway exposes the API, for links")
	f.StringEnv(&c.Metrics, "metrics-listen", "BOS_METRICS_LISTEN", "", metricsHelp)
	f.StringEnv(&c.LogLevel, "log-level", "BOS_LOG_LEVEL", "INFO", logLevelHelp)
	c.Upstreams.Bind(f)
}

func (c *ServeConfig) inventory() (*fleet.Inventory, error) {
	switch {
	case c.Simulate != 0 && c.Inventory != "":
		return nil, UsageErrorf("--simulate and --inventory exclude each other")
	case c.Inventory != "":
		return LoadInventory(c.Inventory)
	case c.Simulate != 0:
		inv, err := fleet.Generate(c.Simulate)
		if err != nil {
			return nil, UsageErrorf("--simulate: %v", err)
		}
		return inv, nil
	}
	return nil, nil
}

// LoadInventory reads the file that --inventory names.
func LoadInventory(path string) (*fleet.Inventory, error) {
	inv, err := fleet.LoadInventory(path)
	if err != nil {
		return nil, UsageErrorf("--inventory: %v", err)
	}
	return inv, nil
}

// Serve runs API and operators until ctx ends.
func Serve(ctx context.Context, cfg ServeConfig, getenv func(string) string, stderr io.Writer) error {
	if cfg.StoreGiven && hasPassword(cfg.Store) {
		return UsageErrorf("--store with a password can be read by every user of this machine: put it in $BOS_STORE")
	}
	if err := checkLevel(cfg.LogLevel); err != nil {
		return err
	}
	inv, err := cfg.inventory()
	if err != nil {
		return err
	}
	if cfg.Store == "" {
		if cfg.Store, err = makeDefaultStore(getenv, inv != nil); err != nil {
			return err
		}
	}
	log, level := NewLog(stderr, cfg.LogLevel)
	ln, err := cfg.Listen.Listen(ctx)
	if err != nil {
		return err
	}
	defer ln.Close()
	m := newMetrics()
	if err := m.serve(ctx, cfg.Metrics, log); err != nil {
		return err
	}
	go limitMemory(ctx)
	serve := func(ctx context.Context, svc *bosserver.Service) error {
		fmt.Fprintf(stderr, "listening on %s\n", cfg.Listen.URL(ln))
		return ServeHTTP(ctx, ln, newHandler(ctx, svc, cfg.ProxyPath, m, log), log)
	}
	if inv != nil {
		sys, err := StartSimulated(ctx, SimulatedConfig{Store: cfg.Store, Inventory: inv, Speed: cfg.Speed, Seed: cfg.Seed, Log: log, Level: level, metrics: m})
		if err != nil {
			return err
		}
		fmt.Fprintf(stderr, "simulating %d nodes; their services are at %s\n", len(inv.Nodes), sys.URL)
		err = serve(sys.Context(), sys.API)
		if stopErr := sys.Stop(); err == nil {
			err = stopErr
		}
		return err
	}
	st, err := OpenStore(ctx, cfg.Store, log)
	if err != nil {
		return err
	}
	defer st.Close()
	defer offerBackups(ctx, cfg.Store, st, log)()
	live := newLiveOptions(level, log)
	clients, err := cfg.Upstreams.clients(live, log)
	if err != nil {
		return err
	}
	svc := newService(st, clients, log)
	loops, err := newLoops(builtin.Names(), svc, clients.deps(svc, log), m, log)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { live.follow(gctx, svc); return nil })
	g.Go(func() error { return serve(gctx, svc) })
	g.Go(func() error { return runLoops(gctx, loops) })
	return g.Wait()
}
