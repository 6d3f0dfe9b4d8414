// Command bos-sim serves a simulated HPC machine: HSM, PCS, CAPMC, CFS, BSS, IMS, S3, TAPMS and the nodes themselves,
// under one address.
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
	cfg, err := app.ParseSimFlags(args, getenv, stdout)
	if err == nil {
		err = app.RunSim(ctx, cfg, stderr)
	}
	return app.ExitCode("bos-sim", err, stderr)
}
