package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/internal/app"
)

// env is what a command knows of the world it runs in.
type env struct {
	getenv         func(string) string
	stdout, stderr io.Writer

	api       string
	tenant    string
	tokenFile string
	caFile    string
	output    string
	timeout   time.Duration
}

// newRoot builds the command tree.
func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "bos",
		Short: "Boot Orchestration Service for HPC machines",
		Long: `bos boots, reboots and shuts down the nodes of an HPC machine.

  bos demo       see a simulated machine boot, in this process, in seconds
  bos serve      run the whole service on this machine
  bos sessions … ask a running service; so do the other nouns

The service that is asked is found at --api or $BOS_API_URL (default http://127.0.0.1:9000).`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       app.Version(),
		Args:          cobra.ArbitraryArgs,
		RunE:          helpOrUnknown,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		text := err.Error()
		if e, ok := errors.AsType[*strconv.NumError](err); ok {
			what, _, _ := strings.Cut(text, ": strconv.")
			text = what + ": want " + numbers[e.Func]
		}
		return app.UsageErrorf("%s (see %s --help)", text, c.CommandPath())
	})
	for _, g := range []struct {
		id, title string
		asking    bool // a running service, which the flags say how to reach
		commands  []*cobra.Command
	}{
		{"run", "Run a service:", false, []*cobra.Command{newDemo(e), newServe(e), newBench(e)}},
		{"database", "Look after a database:", false, []*cobra.Command{newBackup(e), newRestore(e), newMigrate(e), newSanitize(e)}},
		{"ask", "Ask a running service (--help of each tells how to reach it):", true, []*cobra.Command{
			newSessions(e), newTemplates(e), newComponents(e), newOptions(e), newSettings(e), newEvents(e), newHealth(e), newVersion(e),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			if g.asking {
				e.clientFlags(c)
			}
			root.AddCommand(c)
		}
	}
	root.AddCommand(newRole(e))
	return root
}

// clientFlags defines what the commands that ask a running service have in common.
func (e *env) clientFlags(c *cobra.Command) {
	pf := c.PersistentFlags()
	pf.StringVar(&e.api, "api", or(e.getenv("BOS_API_URL"), "http://127.0.0.1:9000"), "URL of the service, to which /v2/… is appended [$BOS_API_URL]")
	pf.StringVar(&e.tenant, "tenant", e.getenv("BOS_TENANT"), "act as this tenant [$BOS_TENANT]")
	pf.StringVar(&e.tokenFile, "token-file", e.getenv("BOS_TOKEN_FILE"), "file with a bearer token [$BOS_TOKEN_FILE]")
	pf.StringVar(&e.caFile, "ca-file", e.getenv("BOS_CA_FILE"), "PEM bundle of the authorities to trust [$BOS_CA_FILE]")
	pf.StringVarP(&e.output, "output", "o", "table", "output: table, json or yaml")
	pf.DurationVar(&e.timeout, "timeout", 30*time.Second, "give up on a request after this long")
}

// numbers says in words what a flag wants, by the function of package strconv that refused its value.
var numbers = map[string]string{"Atoi": "whole numbers", "ParseInt": "a whole number", "ParseUint": "a whole number, 0 or more", "ParseFloat": "a number", "ParseBool": "true or false"}

// helpOrUnknown shows the help of a command that only groups others, and refuses words it does not know.
func helpOrUnknown(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		text := fmt.Sprintf("unknown command %q", args[0])
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			text += fmt.Sprintf("; did you mean %q?", near[0])
		}
		return app.UsageErrorf("%s (see %s --help)", text, c.CommandPath())
	}
	return c.Help()
}

// group makes a command that only groups others.
func group(use, short string, aliases []string, cmds ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Aliases: aliases, Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	c.AddCommand(cmds...)
	return c
}

// exactly wants n arguments, named for the error.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return app.UsageErrorf("%s is missing: %s", names[len(args)], c.UseLine())
		case len(args) > len(names):
			return app.UsageErrorf("unexpected argument %q: %s", args[len(names)], c.UseLine())
		}
		return nil
	}
}

// oneOf refuses the value of a flag that is none of those it may have; an empty value is one not given.
func oneOf[T ~string](flag string, value T, allowed ...T) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	return app.UsageErrorf("--%s %q is not one of %s", flag, value, strings.Join(words, ", "))
}

// client connects to the service.
func (e *env) client() (bos.API, error) {
	if err := oneOf("output", e.output, "table", "json", "yaml"); err != nil {
		return nil, err
	}
	if e.timeout <= 0 {
		return nil, app.UsageErrorf("--timeout %s leaves no time for an answer", e.timeout)
	}
	for _, f := range []struct{ flag, file string }{{"token-file", e.tokenFile}, {"ca-file", e.caFile}} {
		if f.file == "" {
			continue
		}
		info, err := os.Stat(f.file)
		if err == nil && info.Mode()&os.ModeNamedPipe == 0 { // what was read from a pipe is gone
			_, err = os.ReadFile(f.file)
		}
		if err != nil {
			return nil, app.UsageErrorf("--%s: %v", f.flag, err)
		}
	}
	c, err := bosclient.New(e.api, bosclient.Config{TokenFile: e.tokenFile, CAFile: e.caFile})
	if err != nil {
		return nil, app.UsageErrorf("--api: %v", err)
	}
	return c, nil
}

// call runs fn against the service within --timeout and explains a failure to reach it.
func (e *env) call(c *cobra.Command, fn func(ctx context.Context, api bos.API) error) error {
	api, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), e.timeout)
	defer cancel()
	return e.explain(fn(ctx, api))
}

// explain adds to an outage where the service was looked for.
func (e *env) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within %s: %w", e.api, e.timeout, err)
	case errors.Is(err, bos.ErrUnavailable) && !strings.Contains(err.Error(), bos.TitleStoreDown):
		if _, ok := errors.AsType[*bos.StatusError](err); !ok {
			return fmt.Errorf("%w (is the service running at %s? see --api)", err, e.api)
		}
	}
	return err
}

func (e *env) key(name string) bos.TenantKey { return bos.TenantKey{Tenant: e.tenant, Name: name} }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
