package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/redisstore"
)

// StoreHelp describes the store URLs, for --help and for errors.
const StoreHelp = "memory:, bolt:PATH, redis://HOST:PORT, rediss://HOST:PORT or redis+sentinel://HOST:PORT,…/NAME"

// OpenStore opens the database that a store URL names. Passwords are never part of an error.
func OpenStore(ctx context.Context, rawURL string, log *slog.Logger) (store.Store, error) {
	scheme, rest, ok := strings.Cut(rawURL, ":")
	switch {
	case ok && scheme == "memory" && rest == "":
		return memstore.Open(store.Config{Log: log}), nil
	case ok && scheme == "bolt" && rest != "":
		path := strings.TrimPrefix(rest, "//")
		if err := checkBoltPath(path); err != nil {
			return nil, err
		}
		return boltstore.Open(path, store.Config{Log: log})
	case ok && (scheme == "redis" || scheme == "rediss" || scheme == "redis+sentinel" || scheme == "rediss+sentinel"):
		st, err := redisstore.Open(ctx, rawURL, redisstore.Config{Log: log})
		if errors.Is(err, bos.ErrInvalid) {
			return nil, UsageErrorf("%s", strings.TrimSuffix(err.Error(), ": "+bos.ErrInvalid.Error()))
		}
		if err != nil {
			return nil, err // not st: a nil pointer in an interface is not nil
		}
		return st, nil
	}
	return nil, UsageErrorf("store URL %q is not one of %s", redactURL(rawURL), StoreHelp)
}

// checkBoltPath refuses a file whose directory is missing: its name is more likely mistyped than new.
func checkBoltPath(path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return UsageErrorf("store bolt:%s: there is no directory %s: make it, or correct the name", path, dir)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return UsageErrorf("store bolt:%s is a directory: name a file in it, such as bolt:%s", path, filepath.Join(path, "bos.db"))
	}
	return nil
}

// redactURL hides the password of a URL.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		scheme, _, _ := strings.Cut(raw, ":")
		return scheme + ":…"
	}
	if u.RawQuery != "" {
		u.RawQuery = "…" // it may hold the password of the sentinels
	}
	return u.Redacted()
}

// hasPassword reports whether a URL carries one: such a URL must not come from a flag, where every user of the machine
// can read it.
func hasPassword(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return strings.Contains(raw, "@")
	}
	_, ok := u.User.Password()
	return ok || u.Query().Has("sentinel_password")
}

// makeDefaultStore returns the URL of the embedded store in the user's state directory, which it makes. Simulated nodes
// have a file of their own: in that of a real machine they would be nodes that do not answer.
func makeDefaultStore(getenv func(string) string, simulated bool) (string, error) {
	dir := getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no place for the store: %w; name one with --store bolt:PATH", err)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	dir = filepath.Join(dir, "bosgo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("no place for the store: %w; name one with --store bolt:PATH", err)
	}
	file := "bos.db"
	if simulated {
		file = "simulated.db"
	}
	return "bolt:" + filepath.Join(dir, file), nil
}
