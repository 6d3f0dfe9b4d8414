// Command bos-reporter runs on every node that BOS boots and tells BOS what the node has booted. See docs/reporter.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/bootorch/bosgo/bos/reporter"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 69
	exitRefused     = 77
	exitConfig      = 78
)

// version is set when a release is linked.
var version string

func main() { os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)) }

// run is the whole command; it returns the exit code.
func run(args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) int {
	frugal(lookupEnv)
	cmd := command{
		src:    reporter.Sources{Flags: make(map[string]string), LookupEnv: lookupEnv},
		stdout: stdout,
		stderr: stderr,
	}
	if err := cmd.parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		fmt.Fprintf(stderr, "bos-reporter: %v\n", err)
		return exitUsage
	}
	switch cmd.verb {
	case "version":
		fmt.Fprintln(stdout, "bos-reporter", buildVersion())
		return exitOK
	case "status":
		return cmd.status()
	}

	settings, err := reporter.Load(cmd.src)
	if err != nil {
		fmt.Fprintf(stderr, "bos-reporter: %v\n", err)
		if se, ok := errors.AsType[*reporter.SettingError](err); ok && se.Flag {
			return exitUsage
		}
		return exitConfig
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if cmd.once {
		return cmd.runOnce(ctx, settings)
	}
	return cmd.runForever(ctx, settings)
}

// frugal keeps the Go runtime small: the node belongs to its jobs.
func frugal(lookupEnv func(string) (string, bool)) {
	if _, set := lookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(16 << 20)
	}
	if _, set := lookupEnv("GOMAXPROCS"); !set {
		runtime.GOMAXPROCS(1)
	}
}

// command is the parsed command line.
type command struct {
	verb           string // run, status or version
	once, json     bool
	timeout        time.Duration
	src            reporter.Sources
	stdout, stderr io.Writer
}

const usage = `usage: bos-reporter [run] [flags]        report for ever
       bos-reporter --once [flags]       report once
       bos-reporter status [--json]      show the result of the last report
       bos-reporter version
`

func (c *command) parse(args []string) error {
	c.verb = "run"
	if len(args) > 0 && (args[0] == "run" || args[0] == "status" || args[0] == "version") {
		c.verb, args = args[0], args[1:]
	}
	fs := flag.NewFlagSet("bos-reporter", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	showVersion := fs.Bool("version", false, "print the version")
	fs.BoolVar(&c.once, "once", false, "report once and end")
	fs.BoolVar(&c.json, "json", false, "status: print the file as it is")
	fs.DurationVar(&c.timeout, "timeout", time.Minute, "with --once: give up after this time")
	fs.StringVar(&c.src.API, "api", "", "URL of BOS without /v2, in place of gateway and base path")
	fs.StringVar(&c.src.Cmdline, "cmdline", "", "kernel command line (default "+reporter.KernelCmdline+")")
	fs.StringVar(&c.src.ConfigFile, "config", "", "configuration file (default "+reporter.ConfigFile+")")
	for _, key := range reporter.Keys() {
		set := func(v string) error { c.src.Flags[key.Name] = v; return nil }
		help := key.Help
		if key.Default != "" {
			help += " (default " + key.Default + ")"
		}
		if key.Bool {
			fs.BoolFunc(key.Flag(), help, set)
		} else {
			fs.Func(key.Flag(), help, set)
		}
	}
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.stdout, usage)
		fs.SetOutput(c.stdout)
		fs.PrintDefaults()
		return err
	case err != nil:
		return fmt.Errorf("%w (see bos-reporter -h)", err)
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q (see bos-reporter -h)", fs.Arg(0))
	case c.timeout <= 0:
		return errors.New("--timeout must be more than 0s")
	}
	if *showVersion {
		c.verb = "version"
	}
	return nil
}

// logger returns the log that the settings ask for, and gives it their warnings.
func (c *command) logger(s *reporter.Settings) *slog.Logger {
	_, journal := c.src.LookupEnv("JOURNAL_STREAM")
	log := slog.New(newHandler(c.stderr, s.LogLevel, s.LogJSON, journal))
	for _, w := range s.Warnings {
		log.Warn("configuration", "err", w)
	}
	return log
}

// runOnce makes one report.
func (c *command) runOnce(ctx context.Context, s *reporter.Settings) int {
	log := c.logger(s)
	r, err := reporter.New(s.Config(log))
	if err != nil {
		log.Error("not reported", "err", err)
		return exitConfig
	}
	timed, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err = r.Once(timed)
	if err == nil || ctx.Err() != nil { // ended by a signal
		return exitOK
	}
	u, ok := errors.AsType[*reporter.Undelivered](err)
	if !ok {
		log.Error("not reported", "xname", s.ID, "err", err)
		return exitConfig
	}
	log.Error("not reported", "xname", s.ID, "api", s.API, "tries", u.Tries, "reason", u.Last.Outcome, "err", err)
	if u.Last.Outcome == reporter.Refused {
		return exitRefused
	}
	return exitUnavailable
}

// runForever reports until SIGTERM or SIGINT.
func (c *command) runForever(ctx context.Context, s *reporter.Settings) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)
	for ctx.Err() == nil {
		log := c.logger(s)
		cfg := s.Config(log)
		cfg.Idle = idle
		r, err := reporter.New(cfg)
		if err != nil {
			log.Error("configuration", "err", err)
			return exitConfig
		}
		attrs := []any{"version", buildVersion(), "xname", s.ID, "identity_from", s.IDSource, "api", s.API, "period", r.Period()}
		if s.SessionID != "" {
			attrs = append(attrs, "bos_session_id", s.SessionID)
		}
		log.Info("start", attrs...)

		running, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { _ = r.Run(running) })
		if next := c.reload(running, signals, r, log); next != nil {
			s = next
		}
		cancel()
		wg.Wait()
	}
	return exitOK
}

// reload handles signals until the configuration was read again or ctx ended. It returns the new settings, if any.
func (c *command) reload(ctx context.Context, signals <-chan os.Signal, r *reporter.Reporter, log *slog.Logger) *reporter.Settings {
	for {
		select {
		case <-ctx.Done():
			log.Info("stop")
			return nil
		case sig := <-signals:
			if sig == syscall.SIGUSR1 {
				r.Wake()
				continue
			}
			next, err := reporter.Load(c.src)
			if err == nil {
				return next
			}
			log.Error("configuration not read again, the old one is kept", "err", err)
			r.Wake()
		}
	}
}

// idle is called before and after the hours between two reports. Before, memory goes back to the system and the
// collector is switched off, since otherwise it would run every two minutes.
func idle(yes bool) {
	if yes {
		debug.FreeOSMemory()
		debug.SetGCPercent(-1)
	} else {
		debug.SetGCPercent(100)
	}
}

// status prints the status file.
func (c *command) status() int {
	path := c.src.Flags["status_file"]
	if path == "" {
		path, _ = c.src.LookupEnv("BOS_REPORTER_STATUS_FILE")
	}
	if path == "" {
		path = reporter.StatusDirectory + "/status.json"
		if s, err := reporter.Load(c.src); err == nil && s.StatusFile != "" {
			path = s.StatusFile
		}
	}
	s, err := reporter.ReadStatus(path)
	if err != nil {
		fmt.Fprintf(c.stderr, "bos-reporter: no status: %v\n", err)
		return exitFailed
	}
	if c.json {
		if err := json.NewEncoder(c.stdout).Encode(s); err != nil {
			fmt.Fprintf(c.stderr, "bos-reporter: %v\n", err)
			return exitFailed
		}
		return exitOK
	}
	now := time.Now()
	fmt.Fprintf(c.stdout, "xname         %s\n", s.Xname)
	fmt.Fprintf(c.stdout, "last success  %s\n", when(s.LastSuccess, now))
	fmt.Fprintf(c.stdout, "last attempt  %s\n", when(s.LastAttempt, now))
	fmt.Fprintf(c.stdout, "next report   %s\n", when(s.NextReport, now))
	fmt.Fprintf(c.stdout, "period        %v\n", time.Duration(s.PeriodSeconds*float64(time.Second)))
	if s.LastError != "" {
		fmt.Fprintf(c.stdout, "failed tries  %d\nlast error    %s\n", s.Attempts, s.LastError)
	}
	return exitOK
}

// when writes a time for people.
func when(t *time.Time, now time.Time) string {
	if t == nil {
		return "none"
	}
	text := t.Local().Format(time.RFC3339)
	d := now.Sub(*t).Round(time.Second)
	if d < 0 {
		return fmt.Sprintf("%s (in %v)", text, -d)
	}
	return fmt.Sprintf("%s (%v ago)", text, d)
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
