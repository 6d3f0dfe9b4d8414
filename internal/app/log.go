package app

import (
	"io"
	"log/slog"
	"strings"
)

// NewLog returns a logger that writes lines of key=value to w, and the level that the option logging_level moves.
// An unknown level name counts as INFO.
func NewLog(w io.Writer, level string) (*slog.Logger, *slog.LevelVar) {
	v := new(slog.LevelVar)
	if l, ok := ParseLevel(level); ok {
		v.Set(l)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: v})), v
}

// ParseLevel reads the name of a level as the option logging_level has it, in any letter case.
func ParseLevel(name string) (slog.Level, bool) {
	switch strings.ToUpper(name) {
	case "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARNING", "WARN":
		return slog.LevelWarn, true
	case "ERROR", "CRITICAL":
		return slog.LevelError, true
	}
	return slog.LevelInfo, false
}

// logLevelHelp describes the flag.
const logLevelHelp = "log level until the options are read: DEBUG, INFO, WARNING or ERROR"

// checkLevel refuses a --log-level that is none.
func checkLevel(name string) error {
	if _, ok := ParseLevel(name); !ok {
		return UsageErrorf("--log-level %q is not DEBUG, INFO, WARNING or ERROR", name)
	}
	return nil
}

// discard returns a logger that writes nothing.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
