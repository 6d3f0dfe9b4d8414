package redisstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
)

func TestParseURL(t *testing.T) {
	for _, row := range []struct {
		url  string
		want target
	}{
		{"redis://cray-bos-db:6379", target{addrs: []string{"cray-bos-db:6379"}}},
		{"redis://cray-bos-db", target{addrs: []string{"cray-bos-db:6379"}}},
		{"redis://cray-bos-db/", target{addrs: []string{"cray-bos-db:6379"}}},
		{"redis://cray-bos-db/0", target{addrs: []string{"cray-bos-db:6379"}}},
		{"REDIS://[::1]:7000", target{addrs: []string{"[::1]:7000"}}},
		{"redis://[::1]", target{addrs: []string{"[::1]:6379"}}},
		{"redis://:p%40ss:%2f@h:1", target{addrs: []string{"h:1"}, password: "p@ss:/"}},
		{"redis://user:p@ss@h:1", target{addrs: []string{"h:1"}, user: "user", password: "p@ss"}},
		{"rediss://h", target{addrs: []string{"h:6379"}, tls: true}},
		{"redis+sentinel://h1:26379,h2/master", target{addrs: []string{"h1:26379", "h2:26379"}, master: "master"}},
		{"rediss+sentinel://:pw@h1,h2:7/m?sentinel_password=p%26q", target{addrs: []string{"h1:26379", "h2:7"}, master: "m", password: "pw", sentinelPassword: "p&q", tls: true}},
	} {
		got, err := parseURL(row.url)
		if err != nil {
			t.Errorf("parseURL(%q): %v", row.url, err)
			continue
		}
		if diff := cmp.Diff(row.want, *got, cmp.AllowUnexported(target{})); diff != "" {
			t.Errorf("parseURL(%q) (-want +got):\n%s", row.url, diff)
		}
	}
	for _, url := range []string{
		"", "host:6379", "http://:s3cret@h", "redis://", "redis://:s3cret@", "redis://:s3cret@h:1/3", "redis://:s3%zzcret@h", "redis://:s3cret@::1",
		"redis://:s3cret@h1,h2", "redis://:s3cret@h?db=1", "redis+sentinel://:s3cret@h1", "redis+sentinel://:s3cret@h1/m?sentinel_password=%zz", "redis://h?sentinel_password=s3cret",
	} {
		_, err := parseURL(url)
		if !errors.Is(err, bos.ErrInvalid) || strings.Contains(err.Error(), "s3") && strings.Contains(err.Error(), "cret") {
			t.Errorf("parseURL(%q) = %v, want bos.ErrInvalid without the password", url, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("redis+sentinel://:pw@h1:1,[::1]:2/m?sentinel_password=x")
	f.Fuzz(func(t *testing.T, url string) {
		if got, err := parseURL(url); err == nil && len(got.addrs) == 0 {
			t.Errorf("parseURL(%q) names no server", url)
		}
	})
}

func TestTLSConfig(t *testing.T) {
	dir := t.TempDir()
	noCert := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(noCert, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		tls bool
		ca  string
	}{
		"CA file without TLS":         {false, noCert},
		"CA file that is not there":   {true, filepath.Join(dir, "none.pem")},
		"CA file without certificate": {true, noCert},
	} {
		if _, err := (&target{tls: row.tls}).tlsConfig(row.ca); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("%s: %v, want bos.ErrInvalid", name, err)
		}
	}
	if cfg, err := (&target{}).tlsConfig(""); cfg != nil || err != nil {
		t.Errorf("without TLS: %v, %v", cfg, err)
	}
	if cfg, err := (&target{tls: true}).tlsConfig(""); cfg == nil || cfg.InsecureSkipVerify || err != nil {
		t.Errorf("with TLS: %v, %v", cfg, err)
	}
}
