package bostest

import (
	"slices"
	"testing"
)

// apiCase is one row of the conformance table of the BOS v2 API.
type apiCase struct {
	id   string // API-001 …
	what string // what is asked, in a few words
	run  func(w *wire)
}

// apiCases returns the table in order.
func apiCases() []apiCase {
	return slices.Concat(versionCases, optionsCases, templateCases, sessionCases, statusCases, componentCases, stagedCases, dataCases)
}

// RunAPI drives the conformance cases API-001 to API-152 over HTTP, each against a fixture of its own, and logs how many
// passed. The fixture must be as NewServer makes it: an empty store, and the tenants and images of S0.
func RunAPI(t *testing.T, fixture func(t testing.TB) *Fixture) {
	var passed, skipped, failed int
	for _, c := range apiCases() {
		count := &failed
		t.Run(c.id, func(t *testing.T) {
			defer func() {
				switch {
				case t.Skipped():
					count = &skipped
				case !t.Failed():
					count = &passed
				}
			}()
			w := newWire(t, fixture(t))
			c.run(w)
			if t.Failed() {
				t.Logf("%s is about: %s", c.id, c.what)
			}
		})
		*count++
	}
	t.Logf("API cases: %d passed, %d failed, %d skipped of %d", passed, failed, skipped, len(apiCases()))
}
