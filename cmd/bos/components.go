package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/app"
)

func newComponents(e *env) *cobra.Command {
	return group("components", "See and change what BOS knows of each node", []string{"component"},
		newComponentList(e), newComponentDescribe(e), newComponentCreate(e), newComponentUpdate(e), newComponentDelete(e), newApplyStaged(e))
}

// What a component can be listed by.
var (
	phases   = []bos.Phase{bos.PhasePoweringOn, bos.PhasePoweringOff, bos.PhaseConfiguring}
	statuses = []bos.Status{
		bos.StatusStable, bos.StatusFailed, bos.StatusOnHold, bos.StatusConfiguring, bos.StatusPowerOnPending, bos.StatusPowerOnCalled,
		bos.StatusPowerOffPending, bos.StatusPowerOffGracefullyCalled, bos.StatusPowerOffForcefullyCalled,
	}
)

func newComponentList(e *env) *cobra.Command {
	var ids, status []string
	var phase, enabled string
	f := bos.ComponentFilter{}
	c := &cobra.Command{
		Use: "list", Short: "List components",
		Example: "  bos components list --status failed\n  bos components list --session s1 --enabled true",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			f.Tenant, f.Phase = e.tenant, bos.Phase(phase)
			for _, id := range ids {
				f.IDs = append(f.IDs, bos.ComponentID(id))
			}
			if err := oneOf("phase", f.Phase, phases...); err != nil {
				return err
			}
			for _, s := range status {
				if err := oneOf("status", bos.Status(s), statuses...); err != nil {
					return err
				}
				f.Status = append(f.Status, bos.Status(s))
			}
			switch strings.ToLower(enabled) {
			case "":
			case "true":
				f.Enabled = new(true)
			case "false":
				f.Enabled = new(false)
			default:
				return app.UsageErrorf("--enabled %q is neither true nor false", enabled)
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				all := []bos.Component{}
				for comp, err := range api.ListComponents(ctx, f) {
					if err != nil {
						return err
					}
					all = append(all, comp)
				}
				return e.print(all, func() [][]string {
					rows := [][]string{{"XNAME", "ENABLED", "STATUS", "SESSION", "LAST ACTION", "ERROR"}}
					for _, c := range all {
						rows = append(rows, []string{string(c.ID), fmt.Sprint(c.IsEnabled()), string(c.ComputeStatus()),
							or(c.SessionName(), "-"), or(string(c.Action()), "-"), c.ErrorText()})
					}
					return rows
				})
			})
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&ids, "ids", nil, "only these xnames")
	fl.StringSliceVar(&status, "status", nil, "only these statuses: stable, failed, on_hold, configuring, power_on_pending, power_on_called, power_off_pending, power_off_gracefully_called, power_off_forcefully_called")
	fl.StringVar(&phase, "phase", "", "only this phase: powering_on, powering_off or configuring")
	fl.StringVar(&enabled, "enabled", "", "true: only those BOS works on; false: only the others")
	fl.StringVar(&f.Session, "session", "", "only those of this session")
	fl.StringVar(&f.StagedSession, "staged-session", "", "only those with a stage of this session")
	return c
}

func (e *env) showComponent(c bos.Component) error {
	return e.print(c, func() [][]string { return flatten(c) })
}

func newComponentDescribe(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "describe XNAME", Aliases: []string{"get"}, Short: "Show a component", Args: exactly("XNAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				comp, err := api.GetComponent(ctx, e.tenant, bos.ComponentID(args[0]))
				if err != nil {
					return err
				}
				return e.showComponent(comp)
			})
		},
	}
}

func newComponentCreate(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "create XNAME --file FILE", Aliases: []string{"replace"}, Short: "Create or replace a component record",
		Long: "Create or replace a component record. Discovery does this by itself for every node that HSM knows.",
		Args: exactly("XNAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var comp bos.Component
			if err := readDocument(c.InOrStdin(), file, &comp); err != nil {
				return err
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				stored, err := api.PutComponent(ctx, bos.ComponentID(args[0]), comp)
				if err != nil {
					return err
				}
				return e.showComponent(stored)
			})
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the record, JSON or YAML; - reads standard input")
	return c
}

func newComponentUpdate(e *env) *cobra.Command {
	var file string
	var enabled bool
	var retries int
	c := &cobra.Command{
		Use: "update XNAME", Short: "Change a component",
		Long: `Change a component: enable or disable it, set its number of attempts, or apply any change from a file.

Enabling puts it on hold until the status operator has decided what to do, which may power the node off or on.`,
		Example: "  bos components update x3000c0s1b0n0 --enabled=false",
		Args:    exactly("XNAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var p bos.ComponentPatch
			if file != "" {
				if err := readDocument(c.InOrStdin(), file, &p); err != nil {
					return err
				}
			}
			if c.Flags().Changed("enabled") {
				p.Enabled = &enabled
			}
			if c.Flags().Changed("retry-policy") {
				p.RetryPolicy = &retries
			}
			if file == "" && p.Enabled == nil && p.RetryPolicy == nil {
				return app.UsageErrorf("nothing to change: give --enabled, --retry-policy or --file")
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				stored, err := api.PatchComponent(ctx, e.tenant, bos.ComponentID(args[0]), p)
				if err != nil {
					return err
				}
				return e.showComponent(stored)
			})
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the change, JSON or YAML; - reads standard input")
	c.Flags().BoolVar(&enabled, "enabled", false, "whether BOS works on the component")
	c.Flags().IntVar(&retries, "retry-policy", 0, "attempts per action")
	return c
}

func newComponentDelete(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "delete XNAME", Short: "Delete a component record; discovery makes it again while HSM knows the node", Args: exactly("XNAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				return api.DeleteComponent(ctx, e.tenant, bos.ComponentID(args[0]))
			})
		},
	}
}

func newApplyStaged(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "apply-staged XNAME…", Short: "Make the staged state of components their desired state",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return app.UsageErrorf("XNAME is missing: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			ids := make([]bos.ComponentID, len(args))
			for i, a := range args {
				ids[i] = bos.ComponentID(a)
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				r, err := api.ApplyStaged(ctx, e.tenant, ids)
				if err != nil {
					return err
				}
				if err := e.print(r, func() [][]string {
					rows := [][]string{{"XNAME", "RESULT"}}
					for _, group := range []struct {
						ids  []bos.ComponentID
						text string
					}{{r.Succeeded, "applied"}, {r.Failed, "failed"}, {r.Ignored, "ignored: nothing staged"}} {
						for _, id := range group.ids {
							rows = append(rows, []string{string(id), group.text})
						}
					}
					return rows
				}); err != nil {
					return err
				}
				if len(r.Failed) > 0 {
					return fmt.Errorf("the stage of %s could not be applied; see bos components describe", count(len(r.Failed), "component"))
				}
				return nil
			})
		},
	}
}
