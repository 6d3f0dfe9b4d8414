package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/app"
)

func newHealth(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Say whether the service and its database answer",
		Long: "Say whether the service and its database answer. Exits 1 when the database is away.",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				h, err := api.Health(ctx)
				if err != nil {
					return err
				}
				if err := e.print(h, func() [][]string { return [][]string{{"API", "DATABASE"}, {h.APIStatus, h.DBStatus}} }); err != nil {
					return err
				}
				if h.DBStatus != "ok" {
					return &bos.StatusError{Status: 503, Detail: "the service runs but its database is not available", Err: bos.ErrUnavailable}
				}
				return nil
			})
		},
	}
}

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the versions of this program and of the service", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				v, err := api.Version(ctx)
				if err != nil {
					return err
				}
				server := strings.Join([]string{v.Major, v.Minor, v.Patch}, ".")
				both := map[string]string{"client": app.Version(), "api": server}
				return e.print(both, func() [][]string { return [][]string{{"CLIENT", "API"}, {app.Version(), server}} })
			})
		},
	}
}

func newOptions(e *env) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Aliases: []string{"get", "describe"}, Short: "Show all options", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				o, err := api.Options(ctx)
				if err != nil {
					return err
				}
				return e.print(o, func() [][]string { return append([][]string{{"OPTION", "VALUE"}}, flatten(o)...) })
			})
		},
	}
	update := &cobra.Command{
		Use: "update NAME=VALUE…", Aliases: []string{"set"}, Short: "Change options; all parts of BOS follow at once",
		Example: "  bos options update polling_frequency=30 max_boot_wait_time=1800",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return app.UsageErrorf("no option named: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var known map[string]json.RawMessage
			data, _ := json.Marshal(bos.DefaultOptions())
			if err := json.Unmarshal(data, &known); err != nil {
				return err
			}
			change := map[string]any{}
			for _, arg := range args {
				name, value, ok := strings.Cut(arg, "=")
				def, found := known[name]
				switch {
				case !ok:
					return app.UsageErrorf("%q is not NAME=VALUE", arg)
				case !found:
					return app.UsageErrorf("there is no option %q; the options are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
				}
				change[name] = value
				if def[0] != '"' { // a number or a boolean
					if n, err := strconv.Atoi(value); err == nil {
						change[name] = n
					} else if b, err := strconv.ParseBool(value); err == nil {
						change[name] = b
					}
				}
			}
			data, _ = json.Marshal(change)
			var p bos.OptionsPatch
			if err := json.Unmarshal(data, &p); err != nil {
				return app.UsageErrorf("%v", err)
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				o, err := api.UpdateOptions(ctx, p)
				if err != nil {
					return err
				}
				return e.print(o, func() [][]string { return append([][]string{{"OPTION", "VALUE"}}, flatten(o)...) })
			})
		},
	}
	return group("options", "Read and change the options of the service", []string{"option"}, list, update)
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
