package rest_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// FuzzErrorBody: whatever a service says with an error makes one line of bounded length.
func FuzzErrorBody(f *testing.F) {
	for _, seed := range []string{
		"", "no healthy upstream", `{"type":"about:blank","title":"Bad Request","detail":"invalid xnames detected: x1","status":400}`,
		`{"e":37,"err_msg":"locked"}`, `"Tenant with name/uuid 'x' not found."`, `{"message":"Page not found"}`, "<html>\r\n<b>\x00\xff", `{"detail":7,"title":[]}`, "[[[[", strings.Repeat("é ", 2000),
	} {
		f.Add(400, seed)
	}
	f.Fuzz(func(t *testing.T, code int, body string) {
		code = 400 + (code%200+200)%200
		c, err := rest.New("svc", "http://svc", rest.Config{Transport: status(code, body), Retries: func() int { return 0 }})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, nil)
		e, ok := errors.AsType[*rest.Error](err)
		if !ok || e.Status != code {
			t.Fatalf("error %v, want status %d", err, code)
		}
		text := err.Error()
		if len(e.Body) > 1024 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("error of %d bytes: %q", len(text), text)
		}
		if code >= 500 != errors.Is(err, bos.ErrUnavailable) && code != 429 {
			t.Errorf("%d is an outage: %v", code, errors.Is(err, bos.ErrUnavailable))
		}
	})
}

// FuzzList: whatever a service answers, reading it ends with all items or ErrMalformed.
func FuzzList(f *testing.F) {
	for _, seed := range []string{`{"Components":[{"ID":"a"},{"ID":"b"}]}`, `{"a":{"b":[1]},"Components":[]}`, `{"Components":[{"ID":"a"}`, `[]`, `{}`, ``, `null`, `{"Components":[]}x`, `{"Components":[],"Components":[{}]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, err := rest.New("svc", "http://svc", rest.Config{Transport: status(200, body)})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Do(t.Context(), rest.Request{Method: "GET", Path: "x"}, func(a *rest.Answer) error {
			return rest.ReadList(a, "Components", func(struct{ ID string }) error { return nil })
		})
		if err != nil && !errors.Is(err, rest.ErrMalformed) {
			t.Errorf("error %v, want ErrMalformed", err)
		}
	})
}
