package operator

import (
	"log/slog"
	"strings"
)

// levels are the values of the option logging_level; slog knows nothing above error.
var levels = map[string]slog.Level{
	"NOTSET": slog.LevelDebug, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "WARNING": slog.LevelWarn,
	"ERROR": slog.LevelError, "CRITICAL": slog.LevelError + 4, "FATAL": slog.LevelError + 4,
}

// SetLevel makes v follow the option, in any letter case. Empty means no change; an unknown name is logged and ignored.
// The change is logged before at the old level and after at the new one. Source: BOS v2 operators, logging level.
func SetLevel(log *slog.Logger, v *slog.LevelVar, option string) {
	if option == "" {
		return
	}
	to, ok := levels[strings.ToUpper(option)]
	if !ok {
		log.Error("unknown logging level", "level", option)
		return
	}
	from := v.Level()
	if from == to {
		return
	}
	log.Info("changing logging level", "from", from, "to", to)
	v.Set(to)
	log.Info("logging level changed", "from", from, "to", to)
}
