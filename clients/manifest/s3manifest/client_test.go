package s3manifest_test

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
)

func TestClient(t *testing.T) {
	for name, prefix := range map[string]string{"endpoint": "", "endpoint with a path": "/s3"} {
		t.Run(name, func(t *testing.T) {
			f := new(manifesttest.Fake)
			server := httptest.NewServer(http.StripPrefix(prefix, manifesttest.Handler(f)))
			defer server.Close()
			c, err := s3manifest.New(s3manifest.Config{Endpoint: server.URL + prefix, AccessKey: "key", SecretKey: "secret"})
			if err != nil {
				t.Fatal(err)
			}
			manifesttest.Run(t, manifesttest.Subject{Reader: c, Put: f.Put})
		})
	}
}

func TestTLS(t *testing.T) {
	f := new(manifesttest.Fake)
	f.PutImage("6f1a", "quiet")
	server := httptest.NewUnstartedServer(manifesttest.Handler(f))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cfg  s3manifest.Config
		want string // in the error
	}{
		"unknown authority": {s3manifest.Config{}, "certificate"}, "its authority": {s3manifest.Config{CAFile: ca}, ""}, "no verification": {s3manifest.Config{InsecureSkipVerify: true}, ""},
	} {
		tt.cfg.Endpoint, tt.cfg.AccessKey, tt.cfg.SecretKey, tt.cfg.RetryBudget = server.URL, "key", "secret", -1
		c, err := s3manifest.New(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Manifest(t.Context(), "s3", "s3://boot-images/6f1a/manifest.json")
		if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, bos.ErrUnavailable) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}
