// Command bos-api serves the BOS v2 API from a database.
package main

import (
	"context"
	"io"
	"os"

	"github.com/bootorch/bosgo/internal/app"
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

func run(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	ctx, stop := app.SignalContext(context.Background())
	defer stop()
	cfg, err := app.ParseAPIFlags(args, getenv, stdout)
	if err == nil {
		err = app.RunAPI(ctx, cfg, stderr)
	}
	return app.ExitCode("bos-api", err, stderr)
}
