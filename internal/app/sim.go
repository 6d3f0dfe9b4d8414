package app

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/internal/fleet"
)

// SimConfig is what the simulated machine is told.
type SimConfig struct {
	Listen    ListenConfig
	Nodes     int    // compute nodes to make up; 0 with an inventory
	Inventory string // file with the nodes
	Speed     float64
	Manual    bool // the clock of the machine stands still until it is told to advance
	Seed      uint64
	BOSAPI    string // where nodes report to; empty = nowhere
	TokenFile string
	Faults    []fleet.Fault
	LogLevel  string
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
  GET    /_sim/calls?service=   latest requests
  GET    /_sim/metrics          counters
  GET    /_sim/clock            what the clock shows
  POST   /_sim/clock            {"advance":"30s"}, or {"advance":"2h","until_idle":true}: let time pass
                                (--clock manual); time stands still while nodes wait for BOS
  POST   /_sim/faults           {"kind":"kernel_panic","fraction":0.1}
  GET    /_sim/faults           DELETE /_sim/faults/{id} ends one`

// ParseSimFlags reads the flags of bos-sim.
func ParseSimFlags(args []string, getenv func(string) string, stdout io.Writer) (SimConfig, error) {
	cfg := SimConfig{Listen: ListenConfig{Insecure: true}} // there is nothing to protect
	f := NewFlags("bos-sim", simIntro, getenv, stdout)
	f.StringEnv(&cfg.Listen.Addr, "listen", "BOS_LISTEN", "127.0.0.1:9100", "`address` to serve on; port 0 picks one")
	f.IntVar(&cfg.Nodes, "nodes", 0, fmt.Sprintf("`number` of compute nodes to make up (default %d)", defaultSimNodes))
	f.StringVar(&cfg.Inventory, "inventory", "", "`file` with the nodes: an HSM State/Components document or an SLS dump")
	f.Float64Var(&cfg.Speed, "speed", 1, "divides every duration of the machine; 0 is hardware that takes no time")
	clock := f.String("clock", "scaled", "scaled: runs by itself, at --speed; manual: stands still until POST /_sim/clock advances it")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of every chance the machine takes")
	f.StringEnv(&cfg.BOSAPI, "bos-api", "BOS_API_URL", "", "`URL` of BOS for the nodes' reports; /v2/components/… is appended; without it nodes report to nobody")
	f.StringEnv(&cfg.TokenFile, "token-file", "BOS_TOKEN_FILE", "", "`file` with the bearer token for reports, read for each one")
	f.Func("fault", "`kind[:target][:value]`, repeatable; the target is a fraction or a comma list of xnames, or a service:\n"+
		"kernel_panic:0.1, soft_off_slow:x1000c0s0b0n0:5m, outage:pcs:502html, error_rate:cfs:503@0.2\n"+strings.Join(fleet.FaultKinds(), "\n"),
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
		if inventory, err = fleet.LoadInventory(cfg.Inventory); err != nil {
			return err
		}
	}
	machine, err := fleet.New(fleet.Config{
		Nodes: cfg.Nodes, Inventory: inventory, Seed: cfg.Seed, Speed: cfg.Speed, Manual: cfg.Manual, BOSURL: cfg.BOSAPI, TokenFile: cfg.TokenFile,
		Faults: cfg.Faults, Log: log,
	})
	if err != nil {
		return UsageErrorf("%v", err) // everything but the flags has been read by now
	}
	ln, err := cfg.Listen.Listen(ctx)
	if err != nil {
		return err
	}
	root := cfg.Listen.URL(ln)
	fmt.Fprintf(stderr, "listening on %s\n", root)
	log.Info("machine is up", "nodes", machine.Size(), "speed", cfg.Speed, "manual", cfg.Manual, "seed", cfg.Seed, "control", root+"/_sim/")
	if cfg.BOSAPI == "" {
		log.Info("nodes report to nobody; --bos-api says where BOS is")
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return machine.Run(gctx) })
	g.Go(func() error { return ServeHTTP(gctx, ln, machine.Handler(), log) })
	return g.Wait()
}
