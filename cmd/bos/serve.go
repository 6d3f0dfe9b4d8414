package main

import (
	"flag"
	"io"

	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/internal/app"
)

func newServe(e *env) *cobra.Command {
	var cfg app.ServeConfig
	f := app.NewFlags("bos serve", "", e.getenv, e.stderr)
	cfg.Bind(f)
	c := &cobra.Command{
		Use: "serve", Short: "Run the whole service on this machine: API and all operators",
		Long: `Run the API and all ten operators in this process, on an embedded database by default. The services of the machine
are found at the upstream URLs, or simulated with --simulate or --inventory.`,
		Example: `  bos serve --simulate 64
  bos serve --store redis://127.0.0.1:6379 --hsm-url https://gw/apis/smd/hsm/v2 …`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg.StoreGiven = c.Flags().Changed("store")
			if err := checkMachine(c, cfg.Simulate != 0 || cfg.Inventory != "", e.getenv); err != nil {
				return err
			}
			return app.Serve(c.Context(), cfg, e.getenv, e.stderr)
		},
	}
	c.Flags().AddGoFlagSet(f.FlagSet)
	f.VisitAll(func(def *flag.Flag) { c.Flags().Lookup(def.Name).DefValue = def.DefValue }) // not what the environment says
	return c
}

// checkMachine refuses flags that have no effect: a machine is either simulated or has upstream services.
func checkMachine(c *cobra.Command, simulated bool, getenv func(string) string) error {
	if !simulated {
		for _, name := range []string{"speed", "seed"} {
			if c.Flags().Changed(name) {
				return app.UsageErrorf("--%s is for a simulated machine: add --simulate or --inventory", name)
			}
		}
		return nil
	}
	var err error
	upstream := app.NewFlags("upstream", "", getenv, io.Discard)
	new(app.Upstreams).Bind(upstream)
	upstream.VisitAll(func(f *flag.Flag) {
		if err == nil && c.Flags().Changed(f.Name) {
			err = app.UsageErrorf("--%s has no effect with a simulated machine: leave out one of them", f.Name)
		}
	})
	return err
}
