package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/builtin"
	"github.com/bootorch/bosgo/store"
)

// OperatorConfig is what the operators are told.
type OperatorConfig struct {
	API       string
	TokenFile string
	CAFile    string
	Run       string // "all" or names joined by commas
	Store     string // against a reference API server: its Redis, which keeps what such a server does not; empty = act alone
	Upstreams Upstreams
	Metrics   string // address to serve metrics on
	LogLevel  string
}

// ParseOperatorFlags reads the flags of bos-operator. --help and --version print to stdout.
func ParseOperatorFlags(args []string, getenv func(string) string, stdout io.Writer) (OperatorConfig, error) {
	var cfg OperatorConfig
	f := NewFlags("bos-operator", `bos-operator runs the operators of BOS, which find work through the API and drive HSM, PCS, CFS, BSS, IMS, S3 and
TAPMS. Any number of processes may run; each operator is active in one of them at a time.

  bos-operator --api http://cray-bos
  bos-operator --api http://127.0.0.1:9000 --run power-on,status

The operators: `+strings.Join(builtin.Names(), ", "), getenv, stdout)
	f.StringEnv(&cfg.API, "api", "BOS_API_URL", "http://cray-bos", "URL of the BOS API, to which /v2/… is appended")
	f.StringEnv(&cfg.TokenFile, "token-file", "BOS_TOKEN_FILE", "", "file with a bearer token for the API, re-read when it changes")
	f.StringEnv(&cfg.CAFile, "ca-file", "BOS_CA_FILE", "", "PEM bundle of the authorities to trust for the API")
	f.StringEnv(&cfg.Run, "run", "BOS_RUN", "all", "operators to run: all, or names joined by commas")
	f.StringEnv(&cfg.Store, "store", "BOS_STORE", "", "only with a reference API server: its Redis, where "+
		"leases, power transitions and BSS tokens are kept; the same for all processes; without it run only one")
	f.StringEnv(&cfg.Metrics, "metrics-listen", "BOS_METRICS_LISTEN", "", metricsHelp)
	f.StringEnv(&cfg.LogLevel, "log-level", "BOS_OPERATOR_LOG_LEVEL", "INFO", logLevelHelp)
	cfg.Upstreams.Bind(f)
	if err := f.parse(args, stdout, &cfg.Store); err != nil {
		return cfg, err
	}
	if err := checkLevel(cfg.LogLevel); err != nil {
		return cfg, err
	}
	if _, err := cfg.names(); err != nil {
		return cfg, err
	}
	if s := cfg.Store; s != "" && !strings.HasPrefix(s, "redis") {
		return cfg, UsageErrorf("--store %s belongs to the process that opens it: use --api to reach the server that did", redactURL(s))
	}
	return cfg, nil
}

func (c *OperatorConfig) names() ([]string, error) {
	all := builtin.Names()
	if c.Run == "all" {
		return all, nil
	}
	var names []string
	for name := range strings.SplitSeq(c.Run, ",") {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(all, name):
			return nil, UsageErrorf("--run: there is no operator %q; there are %s", name, strings.Join(all, ", "))
		case slices.Contains(names, name):
			return nil, UsageErrorf("--run names %s twice", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// RunOperators runs the operators until ctx ends.
func RunOperators(ctx context.Context, cfg OperatorConfig, stderr io.Writer) error {
	log, level := NewLog(stderr, cfg.LogLevel)
	client, err := bosclient.New(cfg.API, bosclient.Config{TokenFile: cfg.TokenFile, CAFile: cfg.CAFile, Log: log})
	if err != nil {
		return UsageErrorf("--api: %v", err)
	}
	st, err := OpenStore(ctx, cmp.Or(cfg.Store, "memory:"), log)
	if err != nil {
		return err
	}
	defer st.Close()
	api := shareChanges(ctx, newBesideReference(client, st, cfg.Store == "", log))
	live := newLiveOptions(level, log)
	clients, err := cfg.Upstreams.clients(live, log)
	if err != nil {
		return err
	}
	deps := clients.deps(api, log)
	if cfg.Store != "" {
		deps.Artifacts = tokenRecorder{st}
	}
	names, err := cfg.names()
	if err != nil {
		return err
	}
	m := newMetrics()
	loops, err := newLoops(names, api, deps, m, log)
	if err != nil {
		return err
	}
	if err := m.serve(ctx, cfg.Metrics, log); err != nil {
		return err
	}
	go limitMemory(ctx)
	go live.follow(ctx, api)
	log.Info("operators start", "api", cfg.API, "run", strings.Join(names, ","))
	return runLoops(ctx, loops)
}

// deps hands the clients to the operators.
func (c Clients) deps(api bos.API, log *slog.Logger) builtin.Deps {
	return builtin.Deps{
		API: api, Inventory: c.Inventory, Power: c.Power, Config: c.Config, Boot: c.Boot, Images: c.Images,
		Manifests: c.Manifests, Tenants: c.Tenants, Log: log,
	}
}

// newLoops makes a loop for each operator.
func newLoops(names []string, api bos.API, deps builtin.Deps, m *metrics, log *slog.Logger) ([]*operator.Loop, error) {
	deps.Transitions = builtin.NewTransitions(deps.Power, api)
	holder := holderName()
	var loops []*operator.Loop
	for _, name := range names {
		op, err := builtin.New(name, deps)
		if err != nil {
			return nil, err
		}
		loop := &operator.Loop{Operator: op, API: api, Holder: holder, Log: log}
		m.add(loop)
		loops = append(loops, loop)
	}
	return loops, nil
}

// runLoops runs the loops until ctx ends.
func runLoops(ctx context.Context, loops []*operator.Loop) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, loop := range loops {
		g.Go(func() error { return loop.Run(ctx) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// holderName names this process among those that may hold a lease.
func holderName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), uuid.NewString()[:8])
}

// tokenRecorder writes token records straight into the database, as the reference's power-on operator does.
type tokenRecorder struct{ st store.Store }

// PutBootArtifacts records what a token stands for, and when.
func (r tokenRecorder) PutBootArtifacts(ctx context.Context, token bos.BSSToken, a bos.BootArtifacts) error {
	a.Timestamp = bos.Stamp(time.Now())
	return r.st.BootArtifacts().Put(ctx, token, a)
}
