package operator

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Protect calls fn and returns its error, or, when it panics, one that says so; the panic is logged with its stack. A
// loop calls each pass in this way. An operator with goroutines of its own has to call what they do so, too: a panic in a
// goroutine would end the process, and with it all other operators. log may be nil.
func Protect(log *slog.Logger, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if log != nil {
				log.Error("panic", "panic", p, "stack", string(debug.Stack()))
			}
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}
