package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/internal/bench"
)

func newBench(e *env) *cobra.Command {
	cfg := bench.Config{}
	var jsonFile, chartFile string
	c := &cobra.Command{
		Use: "bench", Short: "Measure the service on a simulated machine",
		Long: `Measure how long BOS itself takes to reboot one node and thousands, with the time of the hardware subtracted, what it
costs while nothing happens, and how fast its API answers. Everything runs on this machine and nothing is left behind.`,
		Example: `  bos bench --nodes 10000
  bos bench --nodes 1000 --separate --json result.json --chart result.svg`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkBench(cfg); err != nil {
				return err
			}
			for _, f := range []struct{ flag, file string }{{"json", jsonFile}, {"chart", chartFile}} {
				if f.file == "" {
					continue
				}
				if err := writable(f.file); err != nil {
					return app.UsageErrorf("--%s: %v", f.flag, err) // now, not after minutes of measuring
				}
			}
			cfg.Progress = e.stderr
			log, _ := app.NewLog(e.stderr, "ERROR")
			slices.Sort(cfg.Sizes)
			res, err := bench.Run(c.Context(), cfg, log)
			if err != nil {
				return err
			}
			if err := res.Print(e.stdout); err != nil {
				return err
			}
			for _, out := range []struct {
				file  string
				write func(*os.File) error
			}{
				{jsonFile, func(f *os.File) error { return json.NewEncoder(f).Encode(res) }},
				{chartFile, func(f *os.File) error { return res.Chart(f) }},
			} {
				if out.file == "" {
					continue
				}
				if err := writeTo(out.file, out.write); err != nil {
					return fmt.Errorf("write the result: %w", err)
				}
			}
			return nil
		},
	}
	fl := c.Flags()
	fl.IntVar(&cfg.Nodes, "nodes", 1000, "nodes of the simulated machine")
	fl.IntSliceVar(&cfg.Sizes, "sizes", []int{1, 10, 1000, 10000}, "sizes of the sessions to measure; those above --nodes are left out")
	fl.IntVar(&cfg.Runs, "runs", 10, "how often the one-node reboot is repeated")
	fl.Float64Var(&cfg.Speed, "speed", 0, "speed of the simulated hardware; 0 takes no time at all")
	fl.DurationVar(&cfg.Idle, "idle", time.Minute, "how long to watch the idle system; 0 = not at all")
	fl.DurationVar(&cfg.Load, "load", 3*time.Second, "how long each API measurement runs; 0 = none")
	fl.BoolVar(&cfg.Separate, "separate", false, "run API and operators as processes of their own on a Redis of their own")
	fl.StringVar(&jsonFile, "json", "", "also write the figures to this file")
	fl.StringVar(&chartFile, "chart", "", "also draw the largest session to this SVG file")
	return c
}

// checkBench refuses what there is nothing to measure on.
func checkBench(cfg bench.Config) error {
	switch {
	case cfg.Nodes < 1:
		return app.UsageErrorf("--nodes %d: a machine has at least one node", cfg.Nodes)
	case len(cfg.Sizes) > 0 && slices.Min(cfg.Sizes) < 1:
		return app.UsageErrorf("--sizes %d: a session has at least one node", slices.Min(cfg.Sizes))
	case len(cfg.Sizes) > 0 && slices.Min(cfg.Sizes) > cfg.Nodes:
		return app.UsageErrorf("--sizes: none of them fits a machine of %d nodes; see --nodes", cfg.Nodes)
	case cfg.Runs < 1:
		return app.UsageErrorf("--runs %d: measure once at least", cfg.Runs)
	case cfg.Speed < 0:
		return app.UsageErrorf("--speed %g: want 0 or a positive number", cfg.Speed)
	case cfg.Idle < 0 || cfg.Load < 0:
		return app.UsageErrorf("--idle and --load are times, 0 or more")
	}
	return nil
}

// writeTo has write fill a file, of which nothing of before is kept.
func writeTo(path string, write func(*os.File) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	return write(f)
}

// writable reports why a file cannot be written. It leaves what is there as it is.
func writable(path string) error {
	_, err := os.Stat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666) //nolint:gosec // as os.Create
	if err != nil {
		return err
	}
	err = f.Close()
	if isNew {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// newRole runs this program as one of the others, for bos bench --separate.
func newRole(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "role", Hidden: true, DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			roles := map[string]func(context.Context, []string) error{
				"bos-api": func(ctx context.Context, args []string) error {
					cfg, err := app.ParseAPIFlags(args, e.getenv, e.stdout)
					if err != nil {
						return err
					}
					return app.RunAPI(ctx, cfg, e.stderr)
				},
				"bos-operator": func(ctx context.Context, args []string) error {
					cfg, err := app.ParseOperatorFlags(args, e.getenv, e.stdout)
					if err != nil {
						return err
					}
					return app.RunOperators(ctx, cfg, e.stderr)
				},
			}
			if len(args) == 0 || roles[args[0]] == nil {
				return app.UsageErrorf("role wants bos-api or bos-operator")
			}
			return roles[args[0]](c.Context(), args[1:])
		},
	}
}
