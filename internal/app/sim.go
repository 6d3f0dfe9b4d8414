package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/internal/fleet"
)

// SimConfig is what the simulated machine is told.
type SimConfig struct {
	Listen    ListenConfig
	Gateway   ListenConfig  // for those outside of the mesh; no address = none
	Services  []SimListener // services with an address of their own, too
	Nodes     int           // compute nodes to make up; 0 with an inventory
	Inventory string        // file with the nodes
	Speed     float64
	Manual    bool // the clock of the machine stands still until it is told to advance
	Seed      uint64
	BOSAPI    string // where nodes report to; empty = nowhere
	TokenFile string
	Faults    []fleet.Fault
	LogLevel  string

	Reporters       int  // reports to BOS at a time; 0 = default
	ExtraComponents bool // HSM also lists what is not a node
}

// SimListener is an address of one simulated service.
type SimListener struct {
	Service string // of fleet.Services
	Listen  ListenConfig
}

const defaultSimNodes = 16

const simIntro = `bos-sim serves a simulated HPC machine over HTTP: nodes that boot, report to BOS
and shut down, and the services that BOS needs to make them do so.

Usage:
  bos-sim [--nodes N | --inventory FILE] [--speed X] [--bos-api URL] [flags]

Example: 64 nodes, sixty times as fast as real ones, for a BOS on this host
  bos-api --listen 127.0.0.1:9000 --store memory: &
  bos-sim --nodes 64 --speed 60 --bos-api http://127.0.0.1:9000 &
  bos-operator --api http://127.0.0.1:9000 \
    --hsm-url http://127.0.0.1:9100/hsm/v2 --pcs-url http://127.0.0.1:9100/pcs/v1 \
    --cfs-url http://127.0.0.1:9100/cfs/v3 --bss-url http://127.0.0.1:9100/bss/boot/v1 \
    --ims-url http://127.0.0.1:9100/ims/v3 --tapms-url http://127.0.0.1:9100/tapms/v1alpha3 \
    --s3-endpoint http://127.0.0.1:9100/s3
CAPMC, in place of PCS, is at /capmc/v1. CFS v2 is at /cfs/v2.

Control and truth:
  GET    /_sim/                 base URLs, kinds of faults
  GET    /_sim/nodes            all nodes; /_sim/nodes/{xname} tells everything about one
  GET    /_sim/calls?service=   latest requests; of service gateway: those it refused
  GET    /_sim/metrics          counters
  GET    /_sim/nodes/{xname}/token  identity token, as the node's SPIRE agent gives it
  GET    /_sim/clock            what the clock shows
  POST   /_sim/clock            {"advance":"30s"}, or {"advance":"2h","until_idle":true}: let time pass
                                (--clock manual); time stands still while nodes wait for BOS
  POST   /_sim/faults           {"kind":"kernel_panic","fraction":0.1}: see below
  GET    /_sim/faults           DELETE /_sim/faults/{id} ends one
  PUT    /_sim/tenants/{name}   {"xnames":["x1000c0s0b0n0"],"deploying":false}; DELETE removes one

Faults are given with --fault or sent to /_sim/faults; the kinds are listed at --fault.
  --fault kernel_panic:0.1                            a tenth of the nodes; the seed chooses
  --fault soft_off_slow:x1000c0s0b0n0,x1000c0s0b0n1:5m  two nodes, by five minutes
  --fault power_on_fails:10%:stays_off,count=2        each of these nodes twice, then no more
  --fault error_rate:cfs:503@0.2,methods=POST+PATCH   a fifth of the requests that change CFS
  --fault retry_after:hsm:5/429,count=3               three requests to HSM: 429, come back in 5 s
  --fault outage:pcs:refuse,after=10m,for=90s         PCS is away for 90 s
The same over HTTP, with every member that there is (a fault is about nodes or a service):
  {"id":"mine","kind":"power_on_slow","nodes":["x1000c0s0b0n0"],"value":"5m",
   "probability":0.5,"count":2,"after":"10m","for":"1h"}
  {"kind":"error_rate","service":"cfs","value":"503","methods":["POST","PATCH"]}
Without a target it is every node, or every service. The probability is of each time
that a fault may strike; the count is of times that it struck, for each node or for the
service. What lasts, such as hsm_locked or clock_skew, takes no count: for bounds it. On
nodes its probability decides once for each boot.

--gateway-listen adds the way in from outside of the mesh: the services below /apis/smd,
/apis/power-control, /apis/capmc, /apis/cfs, /apis/bss, /apis/ims and /apis/tapms, and
BOS below /apis/bos, for anybody with a bearer token; POST
/keycloak/realms/shasta/protocol/openid-connect/token gives one for any secret. The
faults require_auth, expire_tokens_after and deny_xname_mismatch are about tokens, and
outage:gateway and outage:auth take the gateway and the token endpoint away.

An outage of mode refuse breaks connections at the address that all services share.
One that was given with --service-listen, and that of the gateway, is closed instead.`

// ParseSimFlags reads the flags of bos-sim.
func ParseSimFlags(args []string, getenv func(string) string, stdout io.Writer) (SimConfig, error) {
	cfg := SimConfig{Listen: ListenConfig{Insecure: true}, Gateway: ListenConfig{Insecure: true}} // there is nothing to protect
	f := NewFlags("bos-sim", simIntro, getenv, stdout)
	f.StringEnv(&cfg.Listen.Addr, "listen", "BOS_LISTEN", "127.0.0.1:9100", "`address` to serve on; port 0 picks one")
	f.StringVar(&cfg.Gateway.Addr, "gateway-listen", "", "`address` of the API gateway, which wants a bearer token; nodes then report to BOS through it")
	f.StringVar(&cfg.Gateway.CertFile, "gateway-cert", "", "TLS certificate of the gateway, PEM; without one it speaks plain HTTP")
	f.StringVar(&cfg.Gateway.KeyFile, "gateway-key", "", "TLS key of the gateway, PEM")
	f.Func("service-listen", "`service=address`, repeatable: serve hsm, pcs, capmc, cfs, bss, ims, s3 or tapms there as well, alone;\n"+
		"the address is closed while an outage of mode refuse lasts", func(text string) error {
		name, addr, ok := strings.Cut(text, "=")
		if !ok || !slices.Contains(fleet.Services(), name) {
			return fmt.Errorf("want SERVICE=HOST:PORT, the service one of %s", strings.Join(fleet.Services(), ", "))
		}
		cfg.Services = append(cfg.Services, SimListener{name, ListenConfig{Addr: addr, Insecure: true}})
		return nil
	})
	f.IntVar(&cfg.Nodes, "nodes", 0, fmt.Sprintf("`number` of compute nodes to make up (default %d)", defaultSimNodes))
	f.StringVar(&cfg.Inventory, "inventory", "", "`file` with the nodes: an HSM State/Components document or an SLS dump")
	f.Float64Var(&cfg.Speed, "speed", 1, "divides every duration of the machine; 0 is hardware that takes no time")
	clock := f.String("clock", "scaled", "scaled: runs by itself, at --speed; manual: stands still until POST /_sim/clock advances it")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of every chance the machine takes")
	f.StringEnv(&cfg.BOSAPI, "bos-api", "BOS_API_URL", "", "`URL` of BOS for the nodes' reports; /v2/components/… is appended; without it nodes report to nobody")
	f.StringEnv(&cfg.TokenFile, "token-file", "BOS_TOKEN_FILE", "", "`file` with the bearer token for reports, read for each one")
	f.IntVar(&cfg.Reporters, "reporter-concurrency", 0, "most reports to BOS at the same time, a `number` (default 64)")
	f.BoolVar(&cfg.ExtraComponents, "extra-components", false, "let HSM also list cabinets, chassis, slots, BMCs and processors, as the fault hsm_extra_components does")
	f.Func("fault", "`kind[:target][:value][,options]`, repeatable; the target is a fraction or a comma list of xnames, or a service,\n"+
		"gateway or auth; the options are after, for, count, probability (or @ behind the value) and methods.\n"+
		"The kinds, whom each is about, and the values that it takes, of several the first by default:\n"+strings.Join(fleet.FaultKinds(), "\n"),
		func(text string) error {
			fault, err := fleet.ParseFault(text)
			cfg.Faults = append(cfg.Faults, fault)
			return err
		})
	f.StringVar(&cfg.LogLevel, "log-level", "INFO", "debug, info, warning or error")
	if err := f.parse(args, stdout, new(string)); err != nil {
		return cfg, err
	}
	given := map[string]bool{}
	f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
	if _, ok := ParseLevel(cfg.LogLevel); !ok {
		return cfg, UsageErrorf("--log-level %q is not debug, info, warning or error", cfg.LogLevel)
	}
	if cfg.Manual = *clock == "manual"; !cfg.Manual && *clock != "scaled" {
		return cfg, UsageErrorf("--clock %q is not scaled or manual", *clock)
	}
	switch {
	case cfg.Gateway.Addr == "" && (cfg.Gateway.CertFile != "" || cfg.Gateway.KeyFile != ""):
		return cfg, UsageErrorf("--gateway-cert and --gateway-key need --gateway-listen")
	case cfg.Reporters < 0:
		return cfg, UsageErrorf("--reporter-concurrency %d: want a positive number", cfg.Reporters)
	case given["nodes"] && given["inventory"]:
		return cfg, UsageErrorf("--nodes and --inventory exclude each other: give one")
	case given["nodes"] && cfg.Nodes < 1:
		return cfg, UsageErrorf("--nodes %d: a machine has at least one node", cfg.Nodes)
	case given["inventory"] && cfg.Inventory == "":
		return cfg, UsageErrorf("--inventory needs the name of a file")
	case !given["nodes"] && cfg.Inventory == "":
		cfg.Nodes = defaultSimNodes
	}
	return cfg, nil
}

// RunSim runs the machine and serves its services until ctx ends.
func RunSim(ctx context.Context, cfg SimConfig, stderr io.Writer) error {
	log, _ := NewLog(stderr, cfg.LogLevel)
	var inventory *fleet.Inventory
	if cfg.Inventory != "" {
		var err error
		if inventory, err = LoadInventory(cfg.Inventory); err != nil {
			return err
		}
	}
	machine, err := fleet.New(fleet.Config{
		Nodes: cfg.Nodes, Inventory: inventory, Seed: cfg.Seed, Speed: cfg.Speed, Manual: cfg.Manual, BOSURL: cfg.BOSAPI, TokenFile: cfg.TokenFile,
		ThroughGateway: cfg.Gateway.Addr != "" && cfg.BOSAPI != "", ReportWorkers: cfg.Reporters, ExtraComponents: cfg.ExtraComponents,
		Faults: cfg.Faults, Log: log,
	})
	if err != nil {
		return UsageErrorf("%v", err) // everything but the flags has been read by now
	}
	ln, err := cfg.Listen.Listen(ctx)
	if err != nil {
		return err
	}
	doors := []*simDoor{{ln: ln, handler: machine.Handler()}}
	defer func() {
		for _, d := range doors {
			if d.ln != nil {
				d.ln.Close() // nobody has served it
			}
		}
	}()
	root := cfg.Listen.URL(ln)
	addresses := fmt.Sprintf("listening on %s\n", root)
	for _, s := range cfg.Services {
		d, err := openDoor(ctx, "--service-listen", s.Service, s.Listen, machine.Service(s.Service))
		if err != nil {
			return err
		}
		doors = append(doors, d)
		addresses += fmt.Sprintf("%s listens on %s\n", s.Service, fleet.BaseURLs(s.Listen.URL(d.ln))[s.Service])
	}
	if cfg.Gateway.Addr != "" {
		d, err := openDoor(ctx, "--gateway-listen", "gateway", cfg.Gateway, machine.Gateway())
		if err != nil {
			return err
		}
		doors = append(doors, d)
		addresses += fmt.Sprintf("gateway listens on %s/apis\n", cfg.Gateway.URL(d.ln))
	}
	_, _ = io.WriteString(stderr, addresses)
	log.Info("machine is up", "nodes", machine.Size(), "speed", cfg.Speed, "manual", cfg.Manual, "seed", cfg.Seed, "control", root+"/_sim/")
	if cfg.BOSAPI == "" {
		log.Info("nodes report to nobody; --bos-api says where BOS is")
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return machine.Run(gctx) })
	for _, d := range doors {
		g.Go(func() error { return d.serve(gctx, machine, log) })
	}
	return g.Wait()
}

// simDoor is an address of the machine: of all its services, of one, or of the gateway.
type simDoor struct {
	name    string
	ln      net.Listener
	open    func(context.Context) (net.Listener, error) // again, at the same address; nil: it stays open
	handler http.Handler
}

func openDoor(ctx context.Context, flag, name string, cfg ListenConfig, h http.Handler) (*simDoor, error) {
	ln, err := cfg.Listen(ctx)
	if _, ok := errors.AsType[*UsageError](err); ok {
		return nil, UsageErrorf("%s", strings.Replace(err.Error(), "--listen", flag, 1))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	cfg.Addr = ln.Addr().String() // the port, where any would have done
	return &simDoor{name, ln, cfg.Listen, h}, nil
}

// serve serves until ctx ends, and closes the address for as long as the machine has it
// refuse connections. Requests in hand then get a moment to end.
func (d *simDoor) serve(ctx context.Context, machine *fleet.Machine, log *slog.Logger) error {
	if d.open == nil { // the control API is here, which has to stay
		return ServeHTTP(ctx, d.ln, d.handler, log)
	}
	for {
		serving, stop := context.WithCancel(ctx)
		refused := make(chan struct{})
		go func() {
			defer close(refused)
			defer stop()
			waitRefusing(serving, machine, d.name, true)
		}()
		err := ServeHTTP(serving, d.ln, d.handler, log) // closes the address first of all
		stop()
		<-refused
		d.ln.Close()
		if err != nil || ctx.Err() != nil {
			return err
		}
		log.Info("address is closed", "service", d.name)
		waitRefusing(ctx, machine, d.name, false)
		for d.ln, err = d.open(ctx); err != nil && ctx.Err() == nil; d.ln, err = d.open(ctx) {
			log.Warn("cannot listen again yet", "service", d.name, "err", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
		if err != nil {
			return nil // it was time to stop
		}
		log.Info("address is open", "service", d.name)
	}
}

// waitRefusing returns when the machine has a service refuse connections, or no longer,
// or when ctx ends.
func waitRefusing(ctx context.Context, machine *fleet.Machine, service string, want bool) {
	for {
		refusing, changed := machine.Refusing(service)
		if refusing == want {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
