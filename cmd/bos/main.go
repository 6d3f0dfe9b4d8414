// Command bos is the administrator's tool for the Boot Orchestration Service, and the service itself on one machine:
// bos demo shows it at work, bos serve runs it, and the other verbs ask a server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bootorch/bosgo/internal/app"
)

func main() { os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) }

// exitStopped is the exit code of a command that was stopped before it was done, as shells have it for Ctrl-C. A
// server that was told to stop is done: it exits 0.
const exitStopped = 130

func run(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	ctx, stop := app.SignalContext(context.Background())
	defer stop()
	root := newRoot(&env{getenv: getenv, stdout: stdout, stderr: stderr})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && errors.Is(context.Cause(ctx), app.ErrStopped) {
		fmt.Fprintln(stderr, "bos: stopped")
		return exitStopped
	}
	return app.ExitCode("bos", err, stderr)
}
