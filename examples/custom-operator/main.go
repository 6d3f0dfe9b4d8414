// Command custom-operator is a vendor's operator, complete: it reports every component that has failed to a hook of the
// site, here the log. Run it against bos serve:
//
//	go run ./cmd/bos serve --simulate 8 --speed 60 &
//	go run ./examples/custom-operator
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/operator"
)

// callOut tells somebody about failed nodes.
type callOut struct{ log *slog.Logger }

func (callOut) Name() string { return "call-out" }

func (callOut) Filter(operator.Tick) bos.ComponentFilter {
	return bos.ComponentFilter{Status: []bos.Status{bos.StatusFailed}}
}

func (c callOut) Act(_ context.Context, _ operator.Tick, batch []bos.Component) ([]bos.ComponentPatch, error) {
	for _, comp := range batch {
		c.log.Warn("node failed", "xname", comp.ID, "session", comp.SessionName(), "cause", comp.ErrorText())
	}
	return nil, nil // nothing to write back
}

func main() { os.Exit(run()) }

func run() int {
	api := flag.String("api", "http://127.0.0.1:9000", "URL of the BOS API")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log := slog.Default()
	client, err := bosclient.New(*api, bosclient.Config{Log: log})
	if err != nil {
		log.Error("no client", "err", err)
		return 2
	}
	loop := operator.Loop{Operator: operator.ForComponents(client, callOut{log}), API: client, Log: log}
	if err := loop.Run(ctx); err != nil && ctx.Err() == nil {
		log.Error("stopped", "err", err)
		return 1
	}
	return 0
}
