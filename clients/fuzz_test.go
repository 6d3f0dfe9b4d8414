package clients_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
	"github.com/bootorch/bosgo/internal/rest"
)

// FuzzAnswers: whatever a service answers, each call ends, without a panic, in success or in an error with a class that
// tells the caller what to do.
func FuzzAnswers(f *testing.F) {
	for i, c := range calls {
		f.Add(uint(i), 200, c.answer, "")
		for _, body := range odd[c.name] {
			f.Add(uint(i), 200, body, "")
		}
	}
	for i, body := range []string{
		`{"Components":[{"ID":"x3000c0s1b0n0","Type":"Node","NID":1e999,"Enabled":null}]}`,
		`{"status":[{"xname":"x3000c0s1b0n0","powerState":"ON","lastUpdated":"soon"},null]}`,
		`{"transitionStatus":"completed","taskCounts":{"un-supported":-1},"tasks":[{"xname":"a","taskStatus":""}]}`,
		`{"e":-1,"err_msg":"","xnames":[{"e":9223372036854775808}],"on":["x3000c0s1b0n0"],"off":["x3000c0s1b0n0"]}`,
		`{"next":{"after_id":{"a":[1]},"limit":1e30},"components":[]}`,
		`{"status":{"tenantresources":[null,{"xnames":[""]}]}}`,
	} {
		f.Add(uint(i), 200, body, "")
	}
	f.Add(uint(6), 400, `{"detail":"invalid xnames detected: x3000c0s1b0n0"}`, "")
	f.Add(uint(5), 400, `"Component not found"`, "")
	f.Add(uint(12), 400, `The response size is too large`, "")
	f.Add(uint(len(calls)), 200, "", "3f2a")
	f.Add(uint(16), 404, `"Tenant with name/uuid 'x' not found."`, "")
	classes := []error{
		bos.ErrUnavailable, bos.ErrInvalid, bos.ErrNotFound, bos.ErrConflict, bos.ErrForbidden, bos.ErrUnauthenticated, bos.ErrTooLarge,
	}
	f.Fuzz(func(t *testing.T, n uint, status int, body, token string) {
		c := append(calls, bssCall)[n%uint(len(calls)+1)]
		status = 200 + (status%400+400)%400
		s := serve(reply(status, body, "BSS-Referral-Token", token))
		s.once = true
		err := c.do(t.Context(), s)
		partial, ok := errors.AsType[*bos.BatchError](err)
		switch {
		case err == nil, ok && len(partial.Failed) > 0:
			return
		case status < 300 && !errors.Is(err, rest.ErrMalformed) && !strings.HasPrefix(c.name, "capmc"):
			t.Errorf("%s: error %v of an answer with %d, want ErrMalformed", c, err, status)
		}
		for _, class := range classes {
			if errors.Is(err, class) {
				return
			}
		}
		t.Errorf("%s: error %v has no class", c, err)
	})
}

// FuzzObjects is FuzzAnswers for the object store, whose answers another library reads.
func FuzzObjects(f *testing.F) {
	f.Add(200, `{"artifacts":[]}`, `"dcaa-131"`)
	f.Add(404, `<Error><Code>NoSuchKey</Code><Message>none</Message></Error>`, "")
	f.Add(503, `<Error><Code>SlowDown`, "")
	f.Add(403, "", `"`)
	f.Add(301, "<html>", "")
	f.Fuzz(func(t *testing.T, status int, body, etag string) {
		status = 200 + (status%400+400)%400
		c := must(s3manifest.New(s3manifest.Config{
			Endpoint: "http://rgw-vip", RetryBudget: -1,
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) { return reply(status, body, "Etag", etag)(r) }),
		}))
		_, err := c.Manifest(t.Context(), "s3", "s3://boot-images/1/manifest.json")
		if err != nil && !errors.Is(err, bos.ErrUnavailable) && !errors.Is(err, bos.ErrInvalid) && !errors.Is(err, bos.ErrNotFound) && !errors.Is(err, bos.ErrForbidden) {
			t.Errorf("error %v has no class", err)
		}
		if _, err := c.BootParameters(t.Context(), manifest.Artifact{Path: "s3://boot-images/1/boot_parameters"}); err == nil && status >= 300 {
			t.Errorf("status %d is a success", status)
		}
		if tag, err := c.Head(t.Context(), "s3://boot-images/1/kernel"); err == nil && strings.HasPrefix(tag, `"`) {
			t.Errorf("etag %s", tag)
		}
	})
}
