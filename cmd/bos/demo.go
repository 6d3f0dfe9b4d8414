package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/internal/progress"
)

// demoConfig is what the flags of bos demo say.
type demoConfig struct {
	nodes     int
	inventory string
	speed     float64
	seed      uint64
	faults    []string
	json      bool
	verbose   bool
}

func newDemo(e *env) *cobra.Command {
	var cfg demoConfig
	c := &cobra.Command{
		Use: "demo", Short: "See a simulated machine boot, reboot and shut down",
		Long: `Start the whole service in this process on a temporary database, with a simulated machine, and do what an
administrator does: discover the nodes, put a session template, boot, reboot with a new image, and shut some nodes down.

Exits 0 only if every node ended as wanted. Nothing is left behind.`,
		Example: `  bos demo
  bos demo --nodes 5000 --speed 600
  bos demo --inventory inventory.json --json
  bos demo --fault soft_off_ignored:0.1 --fault kernel_panic:0.05`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), e, cfg, c.Flags().Changed("nodes"))
		},
	}
	fl := c.Flags()
	fl.IntVar(&cfg.nodes, "nodes", 64, "number of nodes to simulate")
	fl.StringVar(&cfg.inventory, "inventory", "", "simulate the nodes of this HSM State/Components document or SLS dump")
	fl.Float64Var(&cfg.speed, "speed", 120, "run the simulated machine so many times faster than a real one; 0 takes no time at all")
	fl.Uint64Var(&cfg.seed, "seed", 1, "seed of the simulation's chances")
	fl.StringArrayVar(&cfg.faults, "fault", nil, "break something: kind[:fraction or xnames][:value]; may be repeated; bos-sim --help has the kinds")
	fl.BoolVar(&cfg.json, "json", false, "print one JSON summary and nothing else")
	fl.BoolVar(&cfg.verbose, "verbose", false, "show the service's log on standard error")
	return c
}

// demoSummary is the contract of bos demo --json.
type demoSummary struct {
	OK       bool          `json:"ok"`
	Nodes    int           `json:"nodes"`
	Sessions []demoSession `json:"sessions"`
	Failures []demoFailure `json:"failures"`
}

type demoSession struct {
	Name              string  `json:"name"`
	Operation         string  `json:"operation"`
	Status            string  `json:"status"`
	Components        int     `json:"components"`
	PercentSuccessful float64 `json:"percent_successful"`
	PercentFailed     float64 `json:"percent_failed"`
	DurationSeconds   float64 `json:"duration_seconds"`
}

type demoFailure struct {
	Xname string `json:"xname"`
	Cause string `json:"cause"`
}

func runDemo(ctx context.Context, e *env, cfg demoConfig, nodesGiven bool) error {
	if cfg.inventory != "" && nodesGiven {
		return app.UsageErrorf("--nodes and --inventory exclude each other")
	}
	logTo := io.Discard
	if cfg.verbose {
		logTo = e.stderr
	}
	log, level := app.NewLog(logTo, "INFO")
	inv, err := demoInventory(cfg)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bos-demo-")
	if err != nil {
		return fmt.Errorf("temporary directory for the database: %w; set TMPDIR to a writable directory", err)
	}
	defer os.RemoveAll(dir)
	sys, err := app.StartSimulated(ctx, app.SimulatedConfig{
		Store: "bolt:" + filepath.Join(dir, "bos.db"), Inventory: inv, Speed: cfg.speed, Seed: cfg.seed, Faults: cfg.faults,
		Log: log, Level: level,
	})
	if err != nil {
		return err
	}
	d := &demo{cfg: cfg, api: sys.API, inv: inv, images: bootImages(sys.Machine.Images()), printer: e.printer(), out: e.stdout, log: log}
	if cfg.json {
		d.printer = progress.NewPrinter(io.Discard, false, 0)
	} else if _, isTerminal := terminal(e.stderr); !isTerminal {
		d.printer = progress.NewPrinter(e.stdout, false, 0)
	}
	err = d.run(sys.Context())
	if stopErr := sys.Stop(); err == nil || ctx.Err() == nil && stopErr != nil {
		err = firstError(err, stopErr)
	}
	if err != nil {
		return err
	}
	return d.report()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func demoInventory(cfg demoConfig) (*fleet.Inventory, error) {
	if cfg.inventory != "" {
		return app.LoadInventory(cfg.inventory)
	}
	inv, err := fleet.Generate(cfg.nodes)
	if err != nil {
		return nil, app.UsageErrorf("--nodes: %v", err)
	}
	return inv, nil
}

// bootImages returns the manifests of the images for X86 nodes.
func bootImages(all []fleet.Image) []string {
	var paths []string
	for _, img := range all {
		if img.Arch == "x86_64" && img.Link != nil {
			paths = append(paths, img.Link.Path)
		}
	}
	return paths
}

// demo does what an administrator does, through the API alone.
type demo struct {
	cfg     demoConfig
	api     bos.API
	inv     *fleet.Inventory
	images  []string // S3 URLs of the manifests of two images
	printer *progress.Printer
	out     io.Writer
	log     *slog.Logger
	summary demoSummary
}

const demoTemplate = "compute"

func (d *demo) run(ctx context.Context) error {
	d.summary = demoSummary{OK: true, Nodes: len(d.inv.Nodes), Sessions: []demoSession{}, Failures: []demoFailure{}}
	if err := d.shortenWaits(ctx); err != nil {
		return err
	}
	if err := d.discover(ctx); err != nil {
		return err
	}
	bootSet, targets := d.bootSet()
	if len(targets) == 0 {
		return fmt.Errorf("the inventory has %s, all of role Management: there is nothing to boot", count(len(d.inv.Nodes), "node"))
	}
	limit := targets[:min(8, len(targets))]
	for _, step := range []struct {
		name      string
		operation bos.Operation
		image     int
		limit     []string
		targets   []string
	}{
		{"demo-boot", bos.OperationBoot, 0, nil, targets},
		{"demo-reboot", bos.OperationReboot, 1, nil, targets},
		{"demo-shutdown", bos.OperationShutdown, 1, limit, limit},
	} {
		set := bootSet
		set.Path = d.images[step.image]
		t := bos.SessionTemplate{BootSets: map[string]bos.BootSet{"compute": set}, CFS: &bos.CFSParameters{Configuration: new("compute-24.7.0")}}
		if _, err := d.api.PutTemplate(ctx, bos.TenantKey{Name: demoTemplate}, t); err != nil {
			return fmt.Errorf("put session template %s: %w", demoTemplate, err)
		}
		if err := d.session(ctx, step.name, step.operation, step.limit, step.targets); err != nil {
			return err
		}
	}
	return nil
}

// nodesPerSecond is what this machine gets done at least: a wait is long enough for all nodes of a session to get their
// turn.
const nodesPerSecond = 500

// shortenWaits makes the waits of BOS fit the simulated machine: they are divided by its speed, but BOS is no faster.
func (d *demo) shortenWaits(ctx context.Context) error {
	speed := d.cfg.speed
	least := 2 + len(d.inv.Nodes)/nodesPerSecond // seconds
	scaled := func(wait time.Duration) *int {
		if speed <= 0 {
			return &least
		}
		return new(max(least, int((time.Duration(float64(wait)/speed)+time.Second-1)/time.Second)))
	}
	o := bos.DefaultOptions()
	if _, err := d.api.UpdateOptions(ctx, bos.OptionsPatch{
		MaxBootWaitTime:     scaled(o.MaxBootWaitTime),
		MaxPowerOnWaitTime:  scaled(o.MaxPowerOnWaitTime),
		MaxPowerOffWaitTime: scaled(o.MaxPowerOffWaitTime),
	}); err != nil {
		return fmt.Errorf("set options: %w", err)
	}
	return nil
}

// discover waits until BOS knows every node.
func (d *demo) discover(ctx context.Context) error {
	d.printer.Say("discovering %s of the simulated machine", count(len(d.inv.Nodes), "node"))
	for deadline := time.Now().Add(time.Minute); ; {
		start := time.Now()
		n := 0
		for _, err := range d.api.ListComponents(ctx, bos.ComponentFilter{}) {
			if err != nil {
				return fmt.Errorf("list components: %w", err)
			}
			n++
		}
		if n >= len(d.inv.Nodes) {
			d.printer.Say("discovered %s", count(n, "node"))
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("discovery found only %d of %s within a minute; run again with --verbose to see why", n, count(len(d.inv.Nodes), "node"))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(max(50*time.Millisecond, 4*time.Since(start))):
		}
	}
}

// bootSet returns the boot set of the demonstration and its nodes: those of role Compute, or where there are none all
// but the management nodes.
func (d *demo) bootSet() (bos.BootSet, []string) {
	set := bos.BootSet{
		Type:             "s3",
		KernelParameters: new("console=ttyS0,115200 quiet"),
		RootfsProvider:   new("sbps"),
		Arch:             new(bos.ArchX86),
	}
	var compute, others []string
	for _, n := range d.inv.Nodes {
		switch n.Role {
		case "Compute":
			compute = append(compute, n.Xname)
		case "Management":
		default:
			others = append(others, n.Xname)
		}
	}
	slices.Sort(compute)
	slices.Sort(others)
	if len(compute) > 0 {
		set.NodeRolesGroups = []string{"Compute"}
		return set, compute
	}
	set.NodeList = others
	return set, others
}

// session runs one session to its end and adds it to the summary.
func (d *demo) session(ctx context.Context, name string, op bos.Operation, limit, targets []string) error {
	start := time.Now()
	s, err := d.api.CreateSession(ctx, "", bos.SessionCreate{Name: name, Operation: op, TemplateName: demoTemplate, Limit: strings.Join(limit, ",")})
	if err != nil {
		return fmt.Errorf("create session %s: %w", name, err)
	}
	s, err = progress.Watch(ctx, d.api, s.Key(), d.printer.Show)
	d.printer.End()
	if err != nil {
		return fmt.Errorf("watch session %s: %w", name, err)
	}
	st, err := d.api.SessionStatus(ctx, s.Key())
	if err != nil {
		return fmt.Errorf("status of session %s: %w", name, err)
	}
	d.summary.Sessions = append(d.summary.Sessions, demoSession{
		Name: name, Operation: string(op), Status: string(s.State()), Components: st.ManagedComponentsCount,
		PercentSuccessful: st.PercentSuccessful, PercentFailed: st.PercentFailed, DurationSeconds: time.Since(start).Round(time.Millisecond).Seconds(),
	})
	if text := bos.Value(s.Status).Error; text != "" {
		d.fail(name, string(text))
		return nil
	}
	return d.check(ctx, op, targets)
}

// check compares every node of a session with what it should be now.
func (d *demo) check(ctx context.Context, op bos.Operation, targets []string) error {
	wanted := map[bos.ComponentID]bool{}
	for _, x := range targets {
		wanted[bos.ComponentID(x)] = true
	}
	for c, err := range d.api.ListComponents(ctx, bos.ComponentFilter{}) {
		if err != nil {
			return fmt.Errorf("list components: %w", err)
		}
		if !wanted[c.ID] {
			continue
		}
		delete(wanted, c.ID)
		if cause := shortfall(&c, op); cause != "" {
			d.fail(string(c.ID), cause)
		}
	}
	for id := range wanted {
		d.fail(string(id), "BOS has no component for it")
	}
	return nil
}

// shortfall says what keeps a component from being as the operation wanted it, or "".
func shortfall(c *bos.Component, op bos.Operation) string {
	switch status := c.ComputeStatus(); {
	case status != bos.StatusStable:
		return or(c.ErrorText(), "its status is "+string(status))
	case c.IsEnabled():
		return "BOS is still working on it"
	case op == bos.OperationShutdown && !c.DesiredArtifacts().Empty():
		return "it is still wanted to be on"
	case !c.ActualArtifacts().Same(c.DesiredArtifacts()):
		return "it booted something else than was wanted"
	}
	return ""
}

func (d *demo) fail(xname, cause string) {
	d.summary.OK = false
	for i, f := range d.summary.Failures {
		if f.Xname == xname { // the latest session has the last word
			d.summary.Failures[i].Cause = cause
			return
		}
	}
	d.summary.Failures = append(d.summary.Failures, demoFailure{Xname: xname, Cause: cause})
}

// report prints the summary; its error says that not all nodes made it.
func (d *demo) report() error {
	slices.SortFunc(d.summary.Failures, func(a, b demoFailure) int { return strings.Compare(a.Xname, b.Xname) })
	if d.cfg.json {
		enc := json.NewEncoder(d.out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(d.summary); err != nil {
			return err
		}
	} else {
		d.table()
	}
	if !d.summary.OK {
		return fmt.Errorf("%s did not end as wanted", count(len(d.summary.Failures), "node"))
	}
	return nil
}

// maxFailureRows bounds the failures in the table; --json has them all.
const maxFailureRows = 20

func (d *demo) table() {
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tOPERATION\tSTATUS\tNODES\tSUCCESSFUL\tFAILED\tTIME")
	for _, s := range d.summary.Sessions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%.1f s\n", s.Name, s.Operation, s.Status, s.Components, percent(s.PercentSuccessful), percent(s.PercentFailed), s.DurationSeconds)
	}
	w.Flush()
	if len(d.summary.Failures) == 0 {
		fmt.Fprintf(d.out, "\nall nodes ended as wanted; the machine has %s\n", count(d.summary.Nodes, "node"))
		return
	}
	fmt.Fprintln(d.out)
	w = tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tCAUSE")
	for i, f := range d.summary.Failures {
		if i == maxFailureRows {
			fmt.Fprintf(w, "…\tand %d more; --json lists all\n", len(d.summary.Failures)-i)
			break
		}
		fmt.Fprintf(w, "%s\t%s\n", f.Xname, f.Cause)
	}
	w.Flush()
}
