// Command custom-operator is a vendor's operator, complete: it tells somebody of every component that has failed, here
// the log. Run it against bos serve:
//
//	go run ./cmd/bos serve --simulate 8 --speed 60 &
//	go run ./examples/custom-operator
//
// Its tests show the ways to test an operator: with BOS in memory, with a mock, in its loop, on Redis, as a program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/operator"
)

//go:generate go tool mockgen -write_package_comment=false -destination mock_test.go -package main -source main.go

// Pager tells somebody of a node.
type Pager interface {
	Page(ctx context.Context, node bos.ComponentID, text string) error
}

// callOut pages for failed nodes. Polling passes see them again and again, so it remembers whom it paged for. That is a
// convenience and no more: after a restart somebody is paged once again.
type callOut struct {
	pager Pager
	paged map[bos.ComponentID]string // the failure, in words
}

func newCallOut(p Pager) *callOut { return &callOut{p, map[bos.ComponentID]string{}} }

func (*callOut) Name() string { return "call-out" }

func (*callOut) Filter(operator.Tick) bos.ComponentFilter {
	return bos.ComponentFilter{Status: []bos.Status{bos.StatusFailed}}
}

// Act pages for each node of the batch. With an error all of the batch are tried again after a back-off.
func (o *callOut) Act(ctx context.Context, _ operator.Tick, batch []bos.Component) ([]bos.ComponentPatch, error) {
	var errs []error
	for _, c := range batch {
		text := fmt.Sprintf("failed in session %q: %s", c.SessionName(), c.ErrorText())
		if o.paged[c.ID] == text {
			continue
		}
		if err := o.pager.Page(ctx, c.ID, text); err != nil {
			errs = append(errs, fmt.Errorf("page for %s: %w", c.ID, err))
			continue
		}
		o.paged[c.ID] = text
	}
	return nil, errors.Join(errs...) // no patches: there is nothing to write back
}

// logPager is a Pager for people who watch a log.
type logPager struct{ log *slog.Logger }

func (p logPager) Page(ctx context.Context, node bos.ComponentID, text string) error {
	p.log.WarnContext(ctx, text, "xname", node)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], slog.Default())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "custom-operator:", err)
		os.Exit(1)
	}
}

// run runs the operator until ctx ends.
func run(ctx context.Context, args []string, log *slog.Logger) error {
	flags := flag.NewFlagSet("custom-operator", flag.ExitOnError)
	api := flags.String("api", "http://127.0.0.1:9000", "URL of the BOS API")
	tokenFile := flags.String("token-file", "", "file with a bearer token for the API")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, err := bosclient.New(*api, bosclient.Config{TokenFile: *tokenFile, Log: log})
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	loop := operator.Loop{
		Operator: operator.ForComponents(client, newCallOut(logPager{log})),
		API:      client,
		Holder:   fmt.Sprintf("%s-%d", host, os.Getpid()), // so that of several processes one acts
		Log:      log,
	}
	if err := loop.Run(ctx); ctx.Err() == nil {
		return err
	}
	return nil // it was told to stop
}
