package main

import (
	"context"
	"encoding/json"
	"errors"
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
		Long: "Show the versions of this program and of the service. Exits 1 when the service does not answer.",
		RunE: func(c *cobra.Command, _ []string) error {
			server := ""
			unknown := e.call(c, func(ctx context.Context, api bos.API) error {
				v, err := api.Version(ctx)
				if err == nil {
					server = strings.Join([]string{v.Major, v.Minor, v.Patch}, ".")
				}
				return err
			})
			if _, ok := errors.AsType[*app.UsageError](unknown); ok {
				return unknown
			}
			both := map[string]string{"client": app.Version(), "api": server}
			if err := e.print(both, func() [][]string { return [][]string{{"CLIENT", "API"}, {app.Version(), or(server, "-")}} }); err != nil {
				return err
			}
			return unknown
		},
	}
}

func newOptions(e *env) *cobra.Command {
	return record(e, "option", "the options of the service", "polling_frequency=30 max_boot_wait_time=1800", bos.DefaultOptions(), bos.API.Options, bos.API.UpdateOptions)
}

func newSettings(e *env) *cobra.Command {
	return record(e, "setting", "what this service has beyond the options of the reference", "max_configure_wait_time=3600\n  bos settings update paused=true", bos.DefaultSettings(), bos.API.Settings, bos.API.UpdateSettings)
}

// record makes the commands that list and update one record of named values: V, changed by a P.
func record[V, P any](e *env, noun, what, example string, defaults V, get func(bos.API, context.Context) (V, error), update func(bos.API, context.Context, P) (V, error)) *cobra.Command {
	show := func(v V) error {
		return e.print(v, func() [][]string { return append([][]string{{strings.ToUpper(noun), "VALUE"}}, flatten(v)...) })
	}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"get", "describe"}, Short: "Show all " + noun + "s", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				v, err := get(api, ctx)
				if err != nil {
					return err
				}
				return show(v)
			})
		},
	}
	change := &cobra.Command{
		Use: "update NAME=VALUE…", Aliases: []string{"set"}, Short: "Change " + noun + "s; all parts of BOS follow at once",
		Example: "  bos " + noun + "s update " + example,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return app.UsageErrorf("no %s named: %s", noun, c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			members, err := assignments(noun, defaults, args)
			if err != nil {
				return err
			}
			var p P
			if err := json.Unmarshal(members, &p); err != nil {
				return app.UsageErrorf("%v", err)
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				v, err := update(api, ctx, p)
				if err != nil {
					return err
				}
				return show(v)
			})
		},
	}
	return group(noun+"s", "Read and change "+what, []string{noun}, list, change)
}

// assignments makes a JSON object of NAME=VALUE arguments; names and kinds of values are those of the defaults.
func assignments(noun string, defaults any, args []string) ([]byte, error) {
	data, err := json.Marshal(defaults)
	if err != nil {
		return nil, err
	}
	var known map[string]any
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, err
	}
	change := map[string]any{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		def, found := known[name]
		switch {
		case !ok:
			return nil, app.UsageErrorf("%q is not NAME=VALUE", arg)
		case !found:
			return nil, app.UsageErrorf("there is no %s %q; the %ss are %s", noun, name, noun, strings.Join(sortedKeys(known), ", "))
		}
		switch def.(type) {
		case float64:
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, app.UsageErrorf("%s: %q is not a whole number", name, value)
			}
			change[name] = n
		case bool:
			b, err := strconv.ParseBool(value)
			if err != nil {
				return nil, app.UsageErrorf("%s: %q is neither true nor false", name, value)
			}
			change[name] = b
		default:
			change[name] = value
		}
	}
	return json.Marshal(change)
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
