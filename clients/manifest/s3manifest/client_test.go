package s3manifest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

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
