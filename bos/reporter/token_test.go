package reporter

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if _, err := TokenFile(path).Token(t.Context(), false); err == nil {
		t.Error("no error for a file that does not exist")
	}
	for content, want := range map[string]string{
		"abc.def\n": "abc.def",
		" abc\r\n":  "abc",
		"\n":        "",
		"a b":       "",
		"a\nb\n":    "",
		"ä":         "",
	} {
		write(t, path, content)
		got, err := TokenFile(path).Token(t.Context(), false)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: token %q, %v; want %q", content, got, err, want)
		}
	}
}

func TestTokenCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "helper")
	t.Setenv("HELPER_MUST_NOT_SEE", "secret")
	program(t, path, `echo "$#:$SPIRE_AGENT_PATH:$HELPER_MUST_NOT_SEE:${PATH:+path}"; echo noise >&2`)
	got, err := TokenCommand{Args: []string{path, "a", "b c"}, SpireAgent: "/link"}.Token(t.Context(), false)
	if want := "2:/link::path"; got != want || err != nil {
		t.Errorf("token %q, %v; want %q", got, err, want)
	}

	program(t, path, `echo not a token`)
	if _, err := (TokenCommand{Args: []string{path}}).Token(t.Context(), false); err == nil || strings.Contains(err.Error(), "not a token") {
		t.Errorf("err = %v, want one that does not repeat the output", err)
	}
	program(t, path, `exit 4`)
	if _, err := (TokenCommand{Args: []string{path}}).Token(t.Context(), false); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("err = %v", err)
	}
	// A child that holds the output must not hold the report.
	program(t, path, `sleep 3600 & echo token; echo $! > `+path+`.pid`)
	got, err = TokenCommand{Args: []string{path}}.Token(t.Context(), false)
	if got != "token" || err != nil {
		t.Errorf("token %q, %v", got, err)
	}
}

// Stopping the reporter stops the program.
func TestTokenCommandCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "helper")
	program(t, path, `exec sleep 3600`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := (TokenCommand{Args: []string{path}}).Token(ctx, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

func TestUsable(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name                  string
		life, wall, monotonic time.Duration
		want                  bool
	}{
		{"new", time.Hour, 0, 0, true},
		{"last moment", time.Hour, 48*time.Minute - 1, 48*time.Minute - 1, true},
		{"too old", time.Hour, 48 * time.Minute, 48 * time.Minute, false},
		{"machine was suspended", time.Hour, 2 * time.Hour, time.Minute, false},
		{"clock set back a day", time.Hour, time.Minute - day, time.Minute, false},
		{"clock set back and time passed", time.Hour, 10 * time.Minute, 50 * time.Minute, false},
		{"clock set forward a day", time.Hour, day, time.Minute, false},
		{"already expired", -time.Hour, 0, 0, false},
	} {
		if got := usable(tt.life, tt.wall, tt.monotonic); got != tt.want {
			t.Errorf("%s: usable(%v, %v, %v) = %v", tt.name, tt.life, tt.wall, tt.monotonic, got)
		}
	}
}

func TestClaims(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		name, token string
		ok          bool
		life        time.Duration
	}{
		{"expiry", jwt(`{"exp":1003600}`), true, time.Hour},
		{"fraction", jwt(`{"exp":1003600.75}`), true, time.Hour},
		{"our clock is a day behind", jwt(`{"iat":1086400,"exp":1090000}`), true, time.Hour},
		{"half of it over", jwt(`{"iat":998200,"exp":1001800}`), true, 30 * time.Minute},
		{"expired", jwt(`{"exp":999999}`), true, -time.Second},
		{"no expiry", jwt(`{"sub":"x"}`), false, 0},
		{"absurd expiry", jwt(`{"exp":1e300}`), false, 0},
		{"text as expiry", jwt(`{"exp":"soon"}`), false, 0},
		{"not JSON", jwt(`hello`), false, 0},
		{"not base64", "a.!.c", false, 0},
		{"not a JWT", "opaque", false, 0},
	} {
		c, ok := readClaims(tt.token)
		if ok != tt.ok || ok && c.life(now) != tt.life {
			t.Errorf("%s: ok %v, life %v; want %v, %v", tt.name, ok, c.life(now), tt.ok, tt.life)
		}
	}
}

func TestCacheDoesNotKeepOpaqueTokens(t *testing.T) {
	n := 0
	c := Cache{Source: TokenFunc(func(context.Context, bool) (string, error) { n++; return "opaque", nil })}
	for range 3 {
		if got, err := c.Token(t.Context(), false); got != "opaque" || err != nil {
			t.Fatal(got, err)
		}
	}
	if n != 3 {
		t.Errorf("%d fetches, want 3", n)
	}
}

func TestChain(t *testing.T) {
	give := func(token string, err error) TokenSource {
		return TokenFunc(func(context.Context, bool) (string, error) { return token, err })
	}
	var log strings.Builder
	file := filepath.Join(t.TempDir(), "needed")
	c := Chain{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Providers: []Provider{
		{"first", file, give("one", nil)},
		{"second", "", give("", errors.New("broken"))},
		{"third", "", give("three", nil)},
	}}
	for range 2 {
		if got, err := c.Token(t.Context(), false); got != "three" || err != nil {
			t.Errorf("token %q, %v; want the third", got, err)
		}
	}
	write(t, file, "")
	if got, err := c.Token(t.Context(), false); got != "one" || err != nil {
		t.Errorf("token %q, %v; want the first once its file exists", got, err)
	}
	if text := log.String(); strings.Count(text, "level=DEBUG") != 1 || strings.Count(text, "level=INFO") != 1 {
		t.Errorf("log %s, want the first provider at debug and the change at info", text)
	}
	c.Providers = []Provider{{"a", file + "x", give("", nil)}, {"b", "", give("", errors.New("broken"))}}
	_, err := c.Token(t.Context(), false)
	if want := "a: " + file + "x does not exist; b: broken"; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}
