// Command bos is the administrator's tool for the Boot Orchestration Service, and the service itself on one machine:
// bos demo shows it at work, bos serve runs it, and the other verbs ask a server.
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
	root := newRoot(&env{getenv: getenv, stdout: stdout, stderr: stderr})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause // what broke because we were told to stop is no failure
	}
	return app.ExitCode("bos", err, stderr)
}
