package app

import (
	"runtime/debug"
	"strings"
)

// version is the release, set when a package is built: -ldflags "-X …/internal/app.version=1.2.3".
var version string

// Version returns the release of the program: what it was built as, else its module version, else "devel" with the
// revision it was built from.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return strings.TrimPrefix(v, "v")
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
