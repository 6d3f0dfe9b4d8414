package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/bootorch/bosgo/internal/progress"
)

// printer shows progress on standard error, so that standard output holds results alone.
func (e *env) printer() *progress.Printer {
	width, isTerminal := terminal(e.stderr)
	return progress.NewPrinter(e.stderr, isTerminal, width)
}

// terminal reports whether w is a terminal, and how wide.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}
