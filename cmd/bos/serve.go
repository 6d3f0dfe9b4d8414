package main

import (
	"flag"

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
			return app.Serve(c.Context(), cfg, e.getenv, e.stderr)
		},
	}
	c.Flags().AddGoFlagSet(f.FlagSet)
	f.VisitAll(func(def *flag.Flag) { c.Flags().Lookup(def.Name).DefValue = def.DefValue }) // not what the environment says
	return c
}
