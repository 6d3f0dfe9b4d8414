package reporter

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// TokenSource finds the bearer token for one try.
type TokenSource interface {
	// Token returns the token without white space; "" means that the request goes out without one. fresh is set after
	// a 401 or 403: a token that was given out before must not be given again. The caller tries again after any error.
	Token(ctx context.Context, fresh bool) (string, error)
}

// TokenFunc is a function as a [TokenSource].
type TokenFunc func(ctx context.Context, fresh bool) (string, error)

// Token calls f.
func (f TokenFunc) Token(ctx context.Context, fresh bool) (string, error) { return f(ctx, fresh) }

// NoToken is the source for rigs without authentication: it sends none.
var NoToken TokenSource = TokenFunc(func(context.Context, bool) (string, error) { return "", nil })

// TokenFile reads the token from a file, each time anew.
type TokenFile string

// Token returns the content of the file.
func (f TokenFile) Token(context.Context, bool) (string, error) {
	b, err := os.ReadFile(string(f))
	if err != nil {
		return "", err
	}
	token, err := cleanToken(b)
	if err != nil {
		return "", fmt.Errorf("%s: %w", string(f), err)
	}
	return token, nil
}

// cleanToken trims what a file or program delivered and makes sure that it fits into a header. The error does
// not repeat it.
func cleanToken(b []byte) (string, error) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "", errors.New("the token is empty")
	}
	if bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("more than a token: it contains white space or other characters that no token has")
	}
	return string(b), nil
}

// Provider is a [TokenSource] in a [Chain].
type Provider struct {
	Name   string
	Needs  string // a file without which the provider is passed over; "" if it needs none
	Source TokenSource
}

// Chain asks its providers in turn and returns the first token. It is safe for concurrent use as far as they are.
type Chain struct {
	Providers []Provider
	Log       *slog.Logger // told when another provider than before gave the token, at level debug the first; nil means nobody

	mu   sync.Mutex
	last string
}

// Token returns the first token that a provider gives. If none does the error says what each had to say.
func (c *Chain) Token(ctx context.Context, fresh bool) (string, error) {
	var errs []error
	for _, p := range c.Providers {
		if p.Needs != "" {
			if _, err := os.Stat(p.Needs); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("%s: %s does not exist", p.Name, p.Needs))
				continue
			}
		}
		token, err := p.Source.Token(ctx, fresh)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		c.mu.Lock()
		last := c.last
		c.last = p.Name
		c.mu.Unlock()
		if last != p.Name && c.Log != nil {
			level := slog.LevelInfo
			if last == "" {
				level = slog.LevelDebug
			}
			c.Log.Log(ctx, level, "token provider", "provider", p.Name, "before", last)
		}
		return token, nil
	}
	return "", oneLine(errs)
}

// oneLine joins errors with semicolons, for a log of one line each.
func oneLine(errs []error) error {
	var b strings.Builder
	for i, err := range errs {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	return errors.New(b.String())
}

// Cache keeps a token until four fifths of its life are over. A token that is no JWT with an expiry is not kept.
// It is safe for concurrent use.
type Cache struct {
	Source TokenSource
	Log    *slog.Logger // told subject and expiry of each new token at level debug; nil means nobody

	mu    sync.Mutex
	token string
	got   time.Time
	life  time.Duration
}

// Token returns the kept token or a new one.
func (c *Cache) Token(ctx context.Context, fresh bool) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !fresh && c.token != "" && usable(c.life, now.Round(0).Sub(c.got.Round(0)), now.Sub(c.got)) {
		return c.token, nil
	}
	c.token = ""
	token, err := c.Source.Token(ctx, fresh)
	if err != nil {
		return "", err
	}
	if claims, ok := readClaims(token); ok {
		c.token, c.got = token, time.Now()
		c.life = claims.life(c.got)
		if c.Log != nil {
			c.Log.Debug("new token", "sub", claims.Subject, "exp", claims.expiry().UTC().Format(time.RFC3339))
		}
	}
	return token, nil
}

// usable tells whether a token may be used again that was valid for life when it came. The time since then is measured
// twice: the wall clock may have been set, and the monotonic clock stands still while the machine is suspended.
func usable(life, wall, monotonic time.Duration) bool {
	most := life / 5 * 4
	return wall >= 0 && wall < most && monotonic < most
}

// claims is what we read of a JWT. The signature is the gateway's business.
type claims struct {
	Subject  string  `json:"sub"`
	Expires  float64 `json:"exp"` // seconds since 1970
	IssuedAt float64 `json:"iat"`
}

func readClaims(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(b, &c) != nil {
		return c, false
	}
	return c, c.Expires > 0 && c.Expires < 1<<40
}

func (c claims) expiry() time.Time { return time.Unix(int64(c.Expires), 0) }

// life returns how much longer the token is valid, and no longer than it ever was: our clock may be behind.
func (c claims) life(now time.Time) time.Duration {
	life := c.expiry().Sub(now)
	if c.IssuedAt > 0 && c.IssuedAt < c.Expires {
		life = min(life, time.Duration((c.Expires-c.IssuedAt)*float64(time.Second)))
	}
	return life
}
