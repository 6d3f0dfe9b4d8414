// Command bos-sim serves a simulated HPC machine: HSM, PCS, CAPMC, CFS, BSS, IMS,
// S3, TAPMS and the nodes themselves, under one address.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/bootorch/bosgo/internal/fleet"
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2

	// stopTime bounds the wait for requests under way when the command is stopped.
	stopTime = 500 * time.Millisecond
)

const defaultNodes = 16

const usage = `bos-sim serves a simulated HPC machine over HTTP: nodes that boot, report to BOS
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
  POST   /_sim/faults           {"kind":"kernel_panic","fraction":0.1}
  GET    /_sim/faults           DELETE /_sim/faults/{id} ends one

Flags:
`

// faultFlags collects --fault.
type faultFlags []fleet.Fault

func (f *faultFlags) String() string { return "" }

func (f *faultFlags) Set(s string) error {
	fault, err := fleet.ParseFault(s)
	if err == nil {
		*f = append(*f, fault)
	}
	return err
}

// config is what the command line says.
type config struct {
	listen    string
	nodes     int
	inventory string
	speed     float64
	seed      uint64
	bosAPI    string
	tokenFile string
	faults    faultFlags
	logLevel  slog.Level
	version   bool
}

func run(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, getenv, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "bos-sim: %v (see bos-sim --help)\n", err)
		return exitUsage
	case cfg.version:
		fmt.Fprintln(stdout, "bos-sim", version())
		return exitOK
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, cfg, stderr); err != nil {
		fmt.Fprintf(stderr, "bos-sim: %v\n", err)
		if errors.As(err, new(usageError)) {
			return exitUsage
		}
		return exitFail
	}
	return exitOK
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func parse(args []string, getenv func(string) string, stdout io.Writer) (config, error) {
	var cfg config
	fs := flag.NewFlagSet("bos-sim", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&cfg.listen, "listen", cmp.Or(getenv("BOS_LISTEN"), "127.0.0.1:9100"), "`address` to serve on; port 0 picks one")
	fs.IntVar(&cfg.nodes, "nodes", 0, fmt.Sprintf("`number` of compute nodes to make up (default %d)", defaultNodes))
	fs.StringVar(&cfg.inventory, "inventory", "", "`file` with the nodes: an HSM State/Components document or an SLS dump")
	fs.Float64Var(&cfg.speed, "speed", 1, "divides every duration of the machine; 0 is hardware that takes no time")
	fs.Uint64Var(&cfg.seed, "seed", 1, "of every chance the machine takes")
	fs.StringVar(&cfg.bosAPI, "bos-api", getenv("BOS_API_URL"), "`URL` of BOS for the nodes' reports; /v2/components/… is appended; without it nodes report to nobody (BOS_API_URL)")
	fs.StringVar(&cfg.tokenFile, "token-file", getenv("BOS_TOKEN_FILE"), "`file` with the bearer token for reports, read for each one (BOS_TOKEN_FILE)")
	fs.Var(&cfg.faults, "fault", "`kind[:target][:value]`, repeatable; the target is a fraction or a comma list of xnames, or a service:\n"+
		"kernel_panic:0.1, soft_off_slow:x1000c0s0b0n0:5m, outage:pcs:502html, error_rate:cfs:503@0.2\n"+strings.Join(fleet.FaultKinds(), "\n"))
	fs.TextVar(&cfg.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	fs.BoolVar(&cfg.version, "version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			io.WriteString(stdout, usage)
			fs.SetOutput(stdout)
			fs.PrintDefaults()
		}
		return cfg, err
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case fs.NArg() > 0:
		return cfg, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case given["nodes"] && given["inventory"]:
		return cfg, errors.New("--nodes and --inventory exclude each other: give one")
	case given["nodes"] && cfg.nodes < 1:
		return cfg, fmt.Errorf("--nodes %d: a machine has at least one node", cfg.nodes)
	case cfg.inventory == "" && given["inventory"]:
		return cfg, errors.New("--inventory needs the name of a file")
	case !given["nodes"] && cfg.inventory == "":
		cfg.nodes = defaultNodes
	}
	return cfg, nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// serve runs the machine and its server until ctx ends.
func serve(ctx context.Context, cfg config, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: cfg.logLevel}))
	var inventory *fleet.Inventory
	if cfg.inventory != "" {
		var err error
		if inventory, err = fleet.LoadInventory(cfg.inventory); err != nil {
			return err
		}
	}
	machine, err := fleet.New(fleet.Config{
		Nodes: cfg.nodes, Inventory: inventory, Seed: cfg.seed, Speed: cfg.speed, BOSURL: cfg.bosAPI, TokenFile: cfg.tokenFile, Faults: cfg.faults, Log: log,
	})
	if err != nil {
		return usageError{err} // everything but the flags has been read by now
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%s is in use by another process: give another address, or port 0, with --listen", cfg.listen)
		}
		return fmt.Errorf("--listen %s: %w", cfg.listen, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: machine.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		machine.Run(ctx)
	}()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	root := "http://" + listener.Addr().String()
	fmt.Fprintf(stderr, "listening on %s\n", root)
	log.Info("machine is up", "nodes", machine.Size(), "speed", cfg.speed, "seed", cfg.seed, "control", root+"/_sim/")
	if cfg.bosAPI == "" {
		log.Info("nodes report to nobody; --bos-api says where BOS is")
	}
	select {
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		err = nil
	}
	cancel()
	grace, end := context.WithTimeout(context.Background(), stopTime)
	defer end()
	if server.Shutdown(grace) != nil {
		server.Close() // whoever is still asking gets no answer
	}
	<-stopped
	return err
}
