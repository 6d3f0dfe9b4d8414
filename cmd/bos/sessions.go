package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/internal/progress"
)

func newSessions(e *env) *cobra.Command {
	return group("sessions", "Boot, reboot and shut down nodes, and see how it goes", []string{"session"},
		newSessionList(e), newSessionDescribe(e), newSessionCreate(e), newSessionUpdate(e), newSessionCancel(e), newSessionDelete(e), newSessionStatus(e))
}

// sessionFilter holds the flags that select sessions.
type sessionFilter struct{ status, minAge, maxAge string }

func (f *sessionFilter) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.status, "status", "", "only sessions that are pending, running or complete")
	c.Flags().StringVar(&f.minAge, "min-age", "", "only sessions started at least so long ago, such as 2h or 7d")
	c.Flags().StringVar(&f.maxAge, "max-age", "", "only sessions started at most so long ago")
}

func (f *sessionFilter) filter(tenant string) (bos.SessionFilter, error) {
	out := bos.SessionFilter{Tenant: tenant, Status: bos.SessionState(f.status)}
	for _, a := range []struct {
		text string
		dst  **time.Duration
	}{{f.minAge, &out.MinAge}, {f.maxAge, &out.MaxAge}} {
		if a.text == "" {
			continue
		}
		d, err := bos.ParseAge(a.text, false)
		if err != nil {
			return out, app.UsageErrorf("%v", err)
		}
		*a.dst = &d
	}
	return out, oneOf("status", out.Status, bos.SessionPending, bos.SessionRunning, bos.SessionComplete)
}

func newSessionList(e *env) *cobra.Command {
	var sf sessionFilter
	c := &cobra.Command{
		Use: "list", Short: "List the sessions", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := sf.filter(e.tenant)
			if err != nil {
				return err
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				ss, err := api.ListSessions(ctx, f)
				if err != nil {
					return err
				}
				slices.SortFunc(ss, func(a, b bos.Session) int {
					return strings.Compare(string(bos.Value(a.Status).StartTime)+a.Name, string(bos.Value(b.Status).StartTime)+b.Name)
				})
				return e.print(ss, func() [][]string {
					rows := [][]string{{"NAME", "TENANT", "OPERATION", "TEMPLATE", "STATUS", "STARTED", "ENDED", "ERROR"}}
					for _, s := range ss {
						st := bos.Value(s.Status)
						rows = append(rows, []string{s.Name, or(string(s.Tenant), "-"), string(s.Operation), s.TemplateName, or(string(st.Status), "-"),
							or(string(st.StartTime), "-"), or(string(st.EndTime), "-"), string(st.Error)})
					}
					return rows
				})
			})
		},
	}
	sf.bind(c)
	return c
}

func (e *env) showSession(s bos.Session) error {
	return e.print(s, func() [][]string { return flatten(s) })
}

func newSessionDescribe(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Aliases: []string{"get"}, Short: "Show a session", Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				s, err := api.GetSession(ctx, e.key(args[0]))
				if err != nil {
					return err
				}
				return e.showSession(s)
			})
		},
	}
}

func newSessionCreate(e *env) *cobra.Command {
	var create bos.SessionCreate
	var operation string
	var watch bool
	c := &cobra.Command{
		Use: "create --template NAME --operation boot|reboot|shutdown", Short: "Start a session",
		Example: `  bos sessions create --template compute --operation reboot --limit x3000c0s1b0n0,x3000c0s2b0n0
  bos sessions create --template compute --operation boot --watch`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case create.TemplateName == "":
				return app.UsageErrorf("--template is missing (see bos templates list)")
			case operation == "":
				return app.UsageErrorf("--operation is missing: boot, reboot or shutdown")
			case strings.ContainsAny(create.Limit, " \t"):
				return app.UsageErrorf("--limit %q has a space, which would be part of a name: write x1,x2", create.Limit)
			}
			create.Operation = bos.Operation(operation)
			if err := oneOf("operation", create.Operation, bos.OperationBoot, bos.OperationReboot, bos.OperationShutdown); err != nil {
				return err
			}
			var s bos.Session
			err := e.call(c, func(ctx context.Context, api bos.API) (err error) {
				s, err = api.CreateSession(ctx, e.tenant, create)
				if errors.Is(err, bos.ErrInvalid) {
					if _, why := api.GetTemplate(ctx, e.key(create.TemplateName)); errors.Is(why, bos.ErrNotFound) {
						return fmt.Errorf("%w (see bos templates list)", why)
					}
				}
				return err
			})
			if err != nil {
				return err
			}
			if watch {
				return e.watch(c.Context(), s.Name)
			}
			if err := e.showSession(s); err != nil || e.output != "table" {
				return err
			}
			fmt.Fprintf(e.stderr, "see how it goes with: bos sessions status %s --watch\n", s.Name)
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVar(&create.TemplateName, "template", "", "the session template")
	fl.StringVar(&operation, "operation", "", "boot, reboot or shutdown")
	fl.StringVar(&create.Name, "name", "", "name of the session; a random one if left out")
	fl.StringVar(&create.Limit, "limit", "", "only some nodes: xnames, groups, roles, joined by commas; & intersects, ! removes")
	fl.BoolVar(&create.Stage, "stage", false, "only stage the change; bos components apply-staged applies it")
	fl.BoolVar(&create.IncludeDisabled, "include-disabled", false, "also nodes that are disabled in HSM")
	fl.BoolVarP(&watch, "watch", "w", false, "show the progress until the session is complete")
	return c
}

func newSessionUpdate(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "update NAME --file FILE", Short: "Change the status or components of a session record",
		Long: "Change the status or components of a session record. This corrects the record; it neither stops nor starts nodes.",
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var p bos.SessionPatch
			if err := readDocument(c.InOrStdin(), file, &p); err != nil {
				return err
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				s, err := api.PatchSession(ctx, e.key(args[0]), p)
				if err != nil {
					return err
				}
				return e.showSession(s)
			})
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the change, JSON or YAML; - reads standard input")
	return c
}

func newSessionCancel(e *env) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "cancel NAME [--reason TEXT]", Short: "End a session, and what BOS is doing to its nodes",
		Long: `End a session that is pending or running. It becomes complete with the error "canceled: TEXT". BOS stops working on
the nodes that have not arrived: they stay as they are, on, off or half booted, and their components are disabled with the
same error. A power command that PCS has accepted already is not taken back.

Of a staged session the stages are cleared; nodes whose stage was applied go on. This is how to finish
a rolling upgrade that leaves some nodes out.

Canceling again is harmless: it completes what an interrupted call has begun. To keep new sessions from starting, see
bos settings update paused=true.`,
		Example: `  bos sessions cancel 9fea7f3f --reason "wrong image"`,
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.call(c, func(ctx context.Context, api bos.API) error {
				done, err := api.CancelSession(ctx, e.key(args[0]), reason)
				if errors.Is(err, bos.ErrUnsupported) {
					return fmt.Errorf("the API server at %s cannot cancel sessions: disable the components of the session and delete it instead: %w", e.api, err)
				}
				if err != nil {
					return err
				}
				return e.print(done, func() [][]string {
					text := fmt.Sprintf("session %s is canceled: %s disabled", done.Name, count(done.Components, "component"))
					if done.Unstaged > 0 {
						text = fmt.Sprintf("session %s is canceled: %s cleared", done.Name, count(done.Unstaged, "stage"))
					}
					return [][]string{{text}}
				})
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who look at the session or its nodes")
	return c
}

func newSessionDelete(e *env) *cobra.Command {
	var sf sessionFilter
	var all bool
	c := &cobra.Command{
		Use: "delete NAME | delete --status … [--min-age …] | delete --all", Short: "Delete sessions",
		Long: `Delete one session, or all that match. Deleting a session does not stop its nodes: they go on to their desired state.
To stop them, cancel the session first (bos sessions cancel).`,
		Args: func(c *cobra.Command, args []string) error {
			filtered := sf != sessionFilter{} || all
			switch {
			case len(args) == 0 && !filtered:
				return app.UsageErrorf("name a session, or select some with --status, --min-age, --max-age or --all")
			case len(args) == 1 && filtered:
				return app.UsageErrorf("a name and a selection exclude each other")
			case len(args) > 1:
				return app.UsageErrorf("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f, err := sf.filter(e.tenant)
			if err != nil {
				return err
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				if len(args) == 1 {
					return api.DeleteSession(ctx, e.key(args[0]))
				}
				return api.DeleteSessions(ctx, f)
			})
		},
	}
	sf.bind(c)
	c.Flags().BoolVar(&all, "all", false, "every session, in any state")
	return c
}

func newSessionStatus(e *env) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "status NAME", Short: "Show how far a session is",
		Long: `Show how far a session is. With --watch the progress is shown until the session is complete; the exit code is
then 0 if every node reached its desired state and 1 otherwise.`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if watch {
				return e.watch(c.Context(), args[0])
			}
			return e.call(c, func(ctx context.Context, api bos.API) error {
				st, err := api.SessionStatus(ctx, e.key(args[0]))
				if err != nil {
					return err
				}
				s, err := api.GetSession(ctx, e.key(args[0]))
				if err != nil {
					return err
				}
				return e.showStatus(st, string(bos.Value(s.Status).Error))
			})
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show the progress until the session is complete")
	return c
}

// showStatus shows how far a session is, and to people the error of the session itself, if it has one.
func (e *env) showStatus(st bos.ExtendedStatus, cause string) error {
	return e.print(st, func() [][]string {
		rows := [][]string{
			{"status", string(st.Status)},
			{"components", fmt.Sprint(st.ManagedComponentsCount)},
			{"successful", percent(st.PercentSuccessful)},
			{"failed", percent(st.PercentFailed)},
			{"staged", percent(st.PercentStaged)},
			{"powering off", percent(st.Phases.PoweringOff)},
			{"powering on", percent(st.Phases.PoweringOn)},
			{"configuring", percent(st.Phases.Configuring)},
			{"started", string(st.Timing.StartTime)},
			{"ended", or(string(st.Timing.EndTime), "-")},
			{"duration", st.Timing.Duration},
		}
		if cause != "" {
			rows = append(rows, []string{"session error", cause})
		}
		for _, text := range slices.Sorted(maps.Keys(st.ErrorSummary)) {
			rows = append(rows, []string{"error", fmt.Sprintf("%s: %s", count(st.ErrorSummary[text].Count, "component"), text), st.ErrorSummary[text].List})
		}
		return rows
	})
}

// watch shows a session until it is complete; its error says that not all nodes made it.
func (e *env) watch(ctx context.Context, name string) error {
	api, err := e.client()
	if err != nil {
		return err
	}
	if settings, err := api.Settings(ctx); err == nil && settings.Paused {
		fmt.Fprintln(e.stderr, "BOS is paused: what has not begun waits for: bos settings update paused=false")
	}
	p := e.printer()
	s, err := progress.Watch(ctx, api, e.key(name), func(snap progress.Snapshot) {
		if e.output == "table" {
			p.Show(snap)
		}
	})
	p.End()
	if err != nil {
		return e.explain(err)
	}
	if s.Canceled() {
		return fmt.Errorf("session %s was %s", s.Name, s.Status.Error)
	}
	if text := bos.Value(s.Status).Error; text != "" {
		return fmt.Errorf("session %s could not be set up: %s", s.Name, text)
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	st, err := api.SessionStatus(ctx, e.key(name))
	if err != nil {
		return e.explain(err)
	}
	if err := e.showStatus(st, ""); err != nil {
		return err
	}
	if st.PercentSuccessful+st.PercentStaged < 100 && st.ManagedComponentsCount > 0 {
		return fmt.Errorf("session %s: %s of the nodes did not reach the desired state", s.Name, percent(100-st.PercentSuccessful-st.PercentStaged))
	}
	return nil
}

func newEvents(e *env) *cobra.Command {
	var kinds []string
	var session string
	c := &cobra.Command{
		Use: "events", Short: "Show changes as they happen, until Ctrl-C", Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := e.client()
			if err != nil {
				return err
			}
			f := bos.ChangeFilter{Tenant: e.tenant, Session: session}
			for _, k := range kinds {
				if err := oneOf("kind", bos.ChangeKind(k), bos.ChangeComponent, bos.ChangeSession, bos.ChangeTemplate, bos.ChangeOptions, bos.ChangeSettings); err != nil {
					return err
				}
				f.Kinds = append(f.Kinds, bos.ChangeKind(k))
			}
			for ch, err := range api.Changes(c.Context(), f) {
				if err != nil {
					return e.explain(err)
				}
				if e.output != "table" {
					if err := json.NewEncoder(e.stdout).Encode(ch); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(e.stdout, "%s  %s\n", time.Now().Format("15:04:05.000"), changeLine(ch))
			}
			return nil
		},
	}
	c.Flags().StringSliceVar(&kinds, "kind", nil, "only these kinds: component, session, template, options, settings")
	c.Flags().StringVar(&session, "session", "", "only this session and its components")
	return c
}

// changeLine is a change in one line of the table.
func changeLine(ch bos.Change) string {
	what := "changed " + strings.Join(ch.Fields, ",")
	switch {
	case ch.Kind == bos.ChangeResync:
		what = "some changes may be missing here"
	case ch.Deleted:
		what = "deleted"
	case len(ch.Fields) == 0:
		what = "written again" // such as a report that says what the last one said
	}
	return fmt.Sprintf("%-9s %-24s %-28s %s", ch.Kind, ch.ID, ch.Status, what)
}
