// Command bos-operator runs the operators of BOS against its API.
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
	cfg, err := app.ParseOperatorFlags(args, getenv, stdout)
	if err == nil {
		err = app.RunOperators(ctx, cfg, stderr)
	}
	return app.ExitCode("bos-operator", err, stderr)
}
