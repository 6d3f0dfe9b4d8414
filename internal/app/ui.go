package app

import (
	"net/http"
	"strings"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// apiPages is where the browsable pages of the API are. They work offline, and under any prefix a gateway adds: all
// their links are relative.
const apiPages = "/ui/api/"

// withPages adds the browsable pages to the API.
func withPages(api http.Handler) http.Handler {
	pages := v5emb.NewWithConfig(swgui.Config{InternalBasePath: apiPages})("BOS API", "../../openapi.json", ".")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, apiPages):
			w.Header().Set("Cache-Control", "no-cache")
			pages.ServeHTTP(w, r)
		case r.URL.Path+"/" == apiPages:
			w.Header().Set("Location", "api/")
			w.WriteHeader(http.StatusFound)
		default:
			api.ServeHTTP(w, r)
		}
	})
}
