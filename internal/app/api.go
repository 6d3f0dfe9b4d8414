package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/store"
)

// APIConfig is what the API server is told.
type APIConfig struct {
	Listen    ListenConfig
	Store     string
	Upstreams Upstreams
	ProxyPath string // prefix of links for requests that came through the gateway
	Metrics   string // address to serve metrics on
	LogLevel  string
}

// ParseAPIFlags reads the flags of bos-api. --help and --version print to stdout.
func ParseAPIFlags(args []string, getenv func(string) string, stdout io.Writer) (APIConfig, error) {
	var cfg APIConfig
	f := NewFlags("bos-api", `bos-api serves the BOS v2 API: session templates, sessions, components and options, kept in a database.
It boots nothing itself; bos-operator does.

  bos-api --store redis://cray-bos-db:6379 --listen :9000 --insecure     inside a service mesh
  bos-api --store bolt:/var/lib/bos/bos.db                               one machine, 127.0.0.1:9000`, getenv, stdout)
	cfg.Listen.Bind(f, "127.0.0.1:9000")
	f.StringEnv(&cfg.Store, "store", "BOS_STORE", "", "database: "+StoreHelp+"; a URL with a password only from the environment")
	f.StringEnv(&cfg.ProxyPath, "proxy-path", "PROXY_PATH", "", "path prefix under which a gateway exposes the API, for links")
	f.StringEnv(&cfg.Metrics, "metrics-listen", "BOS_METRICS_LISTEN", "", metricsHelp)
	f.StringEnv(&cfg.LogLevel, "log-level", "BOS_LOG_LEVEL", "INFO", logLevelHelp)
	cfg.Upstreams.BindAPI(f)
	if err := f.parse(args, stdout, &cfg.Store); err != nil {
		return cfg, err
	}
	if err := checkLevel(cfg.LogLevel); err != nil {
		return cfg, err
	}
	if cfg.Store == "" {
		return cfg, UsageErrorf("--store is missing: %s (memory: loses everything at the end)", StoreHelp)
	}
	return cfg, nil
}

// RunAPI serves until ctx ends.
func RunAPI(ctx context.Context, cfg APIConfig, stderr io.Writer) error {
	log, level := NewLog(stderr, cfg.LogLevel)
	st, err := OpenStore(ctx, cfg.Store, log)
	if err != nil {
		return err
	}
	defer st.Close()
	live := newLiveOptions(level, log)
	clients, err := cfg.Upstreams.apiClients(live, log)
	if err != nil {
		return err
	}
	svc := newService(st, clients, log)
	ln, err := cfg.Listen.Listen(ctx)
	if err != nil {
		return err
	}
	m := newMetrics()
	if err := m.serve(ctx, cfg.Metrics, log); err != nil {
		ln.Close()
		return err
	}
	go live.follow(ctx, svc)
	defer offerBackups(ctx, cfg.Store, st, log)()
	go limitMemory(ctx)
	fmt.Fprintf(stderr, "listening on %s\n", cfg.Listen.URL(ln))
	return ServeHTTP(ctx, ln, newHandler(ctx, svc, cfg.ProxyPath, m, log), log)
}

func newService(st store.Store, c Clients, log *slog.Logger) *bosserver.Service {
	return bosserver.New(st, bosserver.Config{Tenants: c.Tenants, Images: c.Images, Manifests: c.Manifests, Log: log})
}

// newHandler returns the API with our pages. Its event streams end with ctx.
func newHandler(ctx context.Context, svc *bosserver.Service, proxyPath string, m *metrics, log *slog.Logger) http.Handler {
	return withPages(bosserver.NewHandler(svc, bosserver.HandlerConfig{ProxyPath: proxyPath, Log: log, Closing: ctx.Done(), Observe: m.request}))
}
