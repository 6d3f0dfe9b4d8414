package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/app"
)

func newTemplates(e *env) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the session templates", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				ts, err := api.ListTemplates(ctx, e.tenant)
				if err != nil {
					return err
				}
				slices.SortFunc(ts, func(a, b bos.SessionTemplate) int { return strings.Compare(a.Name, b.Name) })
				return e.print(ts, func() [][]string {
					rows := [][]string{{"NAME", "TENANT", "BOOT SETS", "CONFIGURATION", "DESCRIPTION"}}
					for _, t := range ts {
						cfg := ""
						if t.CFS != nil {
							cfg = bos.Value(t.CFS.Configuration)
						}
						rows = append(rows, []string{t.Name, or(string(t.Tenant), "-"), strings.Join(slices.Sorted(maps.Keys(t.BootSets)), ","), or(cfg, "-"), bos.Value(t.Description)})
					}
					return rows
				})
			})
		},
	}
	show := func(t bos.SessionTemplate) error {
		return e.print(t, func() [][]string { return flatten(t) })
	}
	describe := &cobra.Command{
		Use: "describe NAME", Aliases: []string{"get"}, Short: "Show a session template", Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				t, err := api.GetTemplate(ctx, e.key(args[0]))
				if err != nil {
					return err
				}
				return show(t)
			})
		},
	}
	var createFile string
	create := &cobra.Command{
		Use: "create NAME --file FILE", Short: "Create or replace a session template from a JSON or YAML file",
		Long: `Create or replace a session template from a JSON or YAML file ("-" is standard input).
Members that only the service writes (name, tenant, links) are left out, so that what describe printed can be used.`,
		Example: "  bos templates create compute --file compute.json\n  bos templates describe old -o json | bos templates create new --file -",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var t bos.SessionTemplate
			if err := readDocument(c.InOrStdin(), createFile, &t); err != nil {
				return err
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				stored, err := api.PutTemplate(ctx, e.key(args[0]), t)
				if err != nil {
					return err
				}
				return show(stored)
			})
		},
	}
	create.Flags().StringVarP(&createFile, "file", "f", "", "the template, JSON or YAML; - reads standard input")
	var updateFile string
	update := &cobra.Command{
		Use: "update NAME --file FILE", Short: "Change members of a session template", Args: exactly("NAME"),
		Long: "Change members of a session template: boot sets are merged by name (each needs path and type), other members replaced.",
		RunE: func(c *cobra.Command, args []string) error {
			var p bos.TemplatePatch
			if err := readDocument(c.InOrStdin(), updateFile, &p); err != nil {
				return err
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				stored, err := api.PatchTemplate(ctx, e.key(args[0]), p)
				if err != nil {
					return err
				}
				return show(stored)
			})
		},
	}
	update.Flags().StringVarP(&updateFile, "file", "f", "", "the change, JSON or YAML; - reads standard input")
	remove := &cobra.Command{
		Use: "delete NAME", Short: "Delete a session template", Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error { return api.DeleteTemplate(ctx, e.key(args[0])) })
		},
	}
	validate := &cobra.Command{
		Use: "validate NAME", Short: "Say whether a boot session with the template could be set up", Args: exactly("NAME"),
		Long: "Say whether a boot session with the template could be set up. Exits 1 when it could not.",
		RunE: func(c *cobra.Command, args []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				text, err := api.ValidateTemplate(ctx, e.key(args[0]))
				if err != nil {
					return err
				}
				text = strings.TrimSpace(text)
				if err := e.print(text, func() [][]string { return [][]string{{text}} }); err != nil {
					return err
				}
				if text != "Valid" {
					return fmt.Errorf("template %s is not valid", args[0])
				}
				return nil
			})
		},
	}
	example := &cobra.Command{
		Use: "example", Short: "Show a template to start from", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				t, err := api.ExampleTemplate(ctx)
				if err != nil {
					return err
				}
				if e.output == "table" {
					e.output = "yaml"
				}
				return show(t)
			})
		},
	}
	return group("templates", "Keep session templates: what to boot on which nodes", []string{"template", "sessiontemplates"},
		list, describe, create, update, remove, validate, example)
}

// readDocument reads JSON or YAML into v. Members that only the service writes are dropped. Mistakes name the file.
func readDocument(stdin io.Reader, file string, v any) error {
	var data []byte
	var err error
	switch file {
	case "":
		return app.UsageErrorf("--file is missing: name a JSON or YAML file, or - for standard input")
	case "-":
		data, err = io.ReadAll(io.LimitReader(stdin, 16<<20))
	default:
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return app.UsageErrorf("--file: %v", err)
	}
	var members map[string]any
	if err := yaml.Unmarshal(data, &members); err != nil {
		return app.UsageErrorf("%s is neither JSON nor YAML, or no object: %s", file, strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
	}
	if members == nil {
		return app.UsageErrorf("%s is empty", file)
	}
	for _, name := range []string{"name", "tenant", "links"} {
		delete(members, name)
	}
	if data, err = json.Marshal(members); err != nil {
		return app.UsageErrorf("%s: %v", file, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return app.UsageErrorf("%s: %s: the value is of the wrong kind, a %s", file, or(kind.Field, "the document"), kind.Value)
		}
		return app.UsageErrorf("%s: %v", file, err)
	}
	return nil
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) + " %" }

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
