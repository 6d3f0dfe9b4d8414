package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/bootorch/bosgo/bos"
)

// Exit codes of all programs but the reporter.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// UsageError is a mistake in flags, environment or configuration: exit code 2.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

// UsageErrorf makes a UsageError.
func UsageErrorf(format string, args ...any) error {
	return &UsageError{text: fmt.Sprintf(format, args...)}
}

// ExitCode prints err as one line under the program's name and returns the code to exit with. A program that was told
// to stop has not failed.
func ExitCode(name string, err error, stderr io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp), errors.Is(err, context.Canceled), errors.Is(err, ErrStopped):
		return ExitOK
	}
	text := strings.TrimPrefix(err.Error(), name+": ") // the API client of bos says "bos: " as well
	for _, kind := range []error{bos.ErrInvalid, bos.ErrUnavailable} {
		if cause, ok := strings.CutSuffix(text, ": "+kind.Error()); ok {
			text = cause // it says more
		}
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, strings.ReplaceAll(text, "\n", " "))
	if _, ok := errors.AsType[*UsageError](err); ok {
		return ExitUsage
	}
	return ExitFailed
}

// ErrStopped is the cause of a context that a signal ended.
var ErrStopped = errors.New("stopped by a signal")

// SignalContext returns a context that ends with ErrStopped at the first SIGINT or SIGTERM. A second signal ends the
// process at once.
func SignalContext(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		select {
		case <-signals:
			cancel(ErrStopped)
		case <-ctx.Done():
			return
		}
		<-signals
		os.Exit(130)
	}()
	return ctx, func() { cancel(nil) }
}

// Flags is a flag set whose defaults come from the environment and whose errors are one line.
type Flags struct {
	*flag.FlagSet
	getenv func(string) string
	help   func()
	err    error
}

// NewFlags starts the flags of a program. intro is what --help says first, to w; nothing else is written there.
func NewFlags(name, intro string, getenv func(string) string, w io.Writer) *Flags {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // it would come with each mistake, too
	help := func() {
		var flags strings.Builder
		fs.SetOutput(&flags)
		fs.PrintDefaults()
		fs.SetOutput(io.Discard)
		fmt.Fprintf(w, "%s\n\nFlags:\n%s", strings.TrimSpace(intro), strings.ReplaceAll("\n"+flags.String(), "\n  -", "\n  --")[1:])
	}
	return &Flags{FlagSet: fs, getenv: getenv, help: help}
}

// StringEnv defines a string flag whose default is the environment variable env, or else def.
func (f *Flags) StringEnv(p *string, name, env, def, usage string) {
	f.StringVar(p, name, def, fmt.Sprintf("%s [$%s]", usage, env))
	if v := f.getenv(env); v != "" {
		*p = v // not the default that --help prints: it may be secret
	}
}

// parse is Parse for the programs with a main of their own: --version prints the release, and a store URL with a
// password is refused among the arguments, where every user of the machine could read it.
func (f *Flags) parse(args []string, stdout io.Writer, storeURL *string) error {
	showVersion := f.Bool("version", false, "print the version and exit")
	inEnvironment := *storeURL
	if err := f.Parse(args); err != nil {
		return err
	}
	if *showVersion {
		fmt.Fprintf(stdout, "%s %s\n", f.Name(), Version())
		return flag.ErrHelp
	}
	if *storeURL != inEnvironment && hasPassword(*storeURL) {
		return UsageErrorf("--store with a password can be read by every user of this machine: put it in $BOS_STORE")
	}
	return nil
}

// Parse reads the arguments. A mistake is a *UsageError that names the flag and points to --help.
func (f *Flags) Parse(args []string) error {
	err := f.FlagSet.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.help()
		return err
	case err != nil:
		return UsageErrorf("%v (see %s --help)", err, f.Name())
	case f.NArg() > 0:
		return UsageErrorf("unexpected argument %q (see %s --help)", f.Arg(0), f.Name())
	}
	return f.err
}
