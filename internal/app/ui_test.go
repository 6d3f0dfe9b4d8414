package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAPIPages(t *testing.T) {
	srv := httptest.NewServer(withPages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "api "+r.URL.Path)
	})))
	defer srv.Close()
	for _, row := range []struct{ path, want string }{
		{"/ui/api", "swagger-ui"},
		{"/ui/api/", `"../../openapi.json"`},
		{"/ui/api/swagger-ui.css", ".swagger-ui"},
		{"/v2/components", "api /v2/components"},
		{"/ui/apis", "api /ui/apis"},
	} {
		t.Run(row.path, func(t *testing.T) {
			resp, err := http.Get(srv.URL + row.path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), row.want) {
				t.Errorf("%d, %.300s; want %q", resp.StatusCode, body, row.want)
			}
			if strings.Contains(string(body), "https://cdn") || strings.Contains(string(body), "unpkg.com") {
				t.Error("the page needs the Internet")
			}
		})
	}
}
