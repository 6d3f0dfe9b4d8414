package bostest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// titleNotFound is the title of every missing record.
const titleNotFound = "The resource was not found"

// bootSet stands for $BS in request bodies: the part of a boot set that names the image of S0.
const bootSet = `"path":"s3://boot-images/img1/manifest.json","type":"s3"`

// wire speaks HTTP to the server of one case. Its methods fail the test, so that a case reads as what is asked and what
// must be answered.
type wire struct {
	t      testing.TB
	f      *Fixture
	header http.Header
}

func newWire(t testing.TB, f *Fixture) *wire {
	return &wire{t: t, f: f, header: http.Header{}}
}

// with returns a copy that sends one more header.
func (w *wire) with(name, value string) *wire {
	next := *w
	next.header = w.header.Clone()
	next.header.Set(name, value)
	return &next
}

// as returns a copy that speaks for a tenant.
func (w *wire) as(tenant string) *wire { return w.with("Cray-Tenant-Name", tenant) }

func (w *wire) get(path string) *answer    { return w.send(http.MethodGet, path, "") }
func (w *wire) delete(path string) *answer { return w.send(http.MethodDelete, path, "") }
func (w *wire) post(path, body string) *answer {
	return w.send(http.MethodPost, path, body)
}
func (w *wire) put(path, body string) *answer {
	return w.send(http.MethodPut, path, body)
}
func (w *wire) patch(path, body string) *answer {
	return w.send(http.MethodPatch, path, body)
}

// send makes one request; an empty body is none.
func (w *wire) send(method, path, body string) *answer {
	w.t.Helper()
	a, err := w.try(method, path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// try is send for goroutines, which must not end the test.
func (w *wire) try(method, path, body string) (*answer, error) {
	body = strings.ReplaceAll(body, "$BS", bootSet)
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.f.URL+path, r)
	if err != nil {
		return nil, err
	}
	req.Header = w.header.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := w.f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if w.f.contract != nil {
		if err := w.f.contract.check(req, res, data); err != nil {
			w.t.Errorf("%s %s: answer %d breaks the OpenAPI document: %v", method, path, res.StatusCode, err)
		}
	}
	asked := method + " " + path
	if body != "" {
		asked += " " + clip(body)
	}
	return &answer{w: w, asked: asked, code: res.StatusCode, header: res.Header, body: data}, nil
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// answer is what came back. Its methods return the answer, for more questions.
type answer struct {
	w      *wire
	asked  string
	code   int
	header http.Header
	body   []byte
}

func (a *answer) errorf(format string, args ...any) {
	a.w.t.Helper()
	a.w.t.Errorf("%s: %s", a.asked, fmt.Sprintf(format, args...))
}

// is asserts the status of a good answer, and its form.
func (a *answer) is(code int) *answer {
	a.w.t.Helper()
	if a.code != code {
		a.w.t.Fatalf("%s: status %d, want %d: %s", a.asked, a.code, code, clip(string(a.body)))
	}
	if code == http.StatusNoContent {
		if len(a.body) > 0 {
			a.errorf("204 with a body: %s", clip(string(a.body)))
		}
	} else if ct := a.header.Get("Content-Type"); ct != "application/json" && !strings.HasPrefix(ct, "application/json;") {
		a.errorf("content type %q, want application/json", ct)
	}
	return a
}

func (a *answer) ok() *answer {
	a.w.t.Helper()
	return a.is(http.StatusOK)
}

// problem asserts an error answer: status, and the document with exactly its four members. An empty title means the
// standard text of the status.
func (a *answer) problem(code int, titles ...string) *answer {
	a.w.t.Helper()
	if a.code != code {
		a.w.t.Fatalf("%s: status %d, want %d: %s", a.asked, a.code, code, clip(string(a.body)))
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		a.errorf("content type %q, want application/problem+json", ct)
	}
	doc, ok := a.decode().(map[string]any)
	if !ok {
		a.w.t.Fatalf("%s: problem is not an object: %s", a.asked, clip(string(a.body)))
	}
	if len(titles) == 0 {
		titles = []string{http.StatusText(code)}
	}
	if title, _ := doc["title"].(string); !slices.Contains(titles, title) {
		a.errorf("title %q, want one of %q", doc["title"], titles)
	}
	if doc["type"] != "about:blank" {
		a.errorf("type %v, want about:blank", doc["type"])
	}
	if doc["status"] != float64(code) {
		a.errorf("status member %v, want %d", doc["status"], code)
	}
	if detail, _ := doc["detail"].(string); detail == "" {
		a.errorf("no detail")
	}
	if len(doc) != 4 {
		a.errorf("problem has %d members, want 4: %s", len(doc), clip(string(a.body)))
	}
	return a
}

func (a *answer) detailText() string {
	doc, _ := a.decode().(map[string]any)
	detail, _ := doc["detail"].(string)
	return detail
}

// detail asserts the whole detail of a problem.
func (a *answer) detail(want string) *answer {
	a.w.t.Helper()
	if got := a.detailText(); got != want {
		a.errorf("detail %q, want %q", got, want)
	}
	return a
}

// detailHas asserts a part of the detail; a leading ^ asks for the beginning.
func (a *answer) detailHas(part string) *answer {
	a.w.t.Helper()
	got := a.detailText()
	if start, anchored := strings.CutPrefix(part, "^"); anchored && !strings.HasPrefix(got, start) ||
		!anchored && !strings.Contains(got, part) {
		a.errorf("detail %q, want %q in it", got, part)
	}
	return a
}

func (a *answer) decode() any {
	a.w.t.Helper()
	var v any
	if err := json.NewDecoder(bytes.NewReader(a.body)).Decode(&v); err != nil {
		a.w.t.Fatalf("%s: body is not JSON: %v: %s", a.asked, err, clip(string(a.body)))
	}
	return v
}

// parse reads what a case wants.
func (a *answer) parse(want string) (v any) {
	a.w.t.Helper()
	if err := json.Unmarshal([]byte(strings.ReplaceAll(want, "$BS", bootSet)), &v); err != nil {
		a.w.t.Fatalf("%s: the case wants something that is not JSON: %v: %s", a.asked, err, want)
	}
	return v
}

// json asserts the whole body.
func (a *answer) json(want string) *answer {
	a.w.t.Helper()
	if diff := cmp.Diff(a.parse(want), a.decode()); diff != "" {
		a.errorf("body (-want +got):\n%s", diff)
	}
	return a
}

// same asserts that the body is that of another answer.
func (a *answer) same(b *answer) *answer {
	a.w.t.Helper()
	if diff := cmp.Diff(b.decode(), a.decode()); diff != "" {
		a.errorf("body differs from that of %s (-want +got):\n%s", b.asked, diff)
	}
	return a
}

// at returns the value at a dotted path; a number selects from a list. ok is false where there is none.
func (a *answer) at(path string) (v any, ok bool) {
	a.w.t.Helper()
	v = a.decode()
	for name := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			if v, ok = x[name]; !ok {
				return nil, false
			}
		case []any:
			var i int
			if _, err := fmt.Sscanf(name, "%d", &i); err != nil || i >= len(x) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// text returns the string at path, which must be one.
func (a *answer) text(path string) string {
	a.w.t.Helper()
	v, _ := a.at(path)
	s, ok := v.(string)
	if !ok {
		a.w.t.Fatalf("%s: %s is not a string: %s", a.asked, path, clip(string(a.body)))
	}
	return s
}

// has asserts the value at a path; want is JSON.
func (a *answer) has(path, want string) *answer {
	a.w.t.Helper()
	w := a.parse(want)
	got, ok := a.at(path)
	if !ok {
		a.errorf("no %s, want %s in %s", path, want, clip(string(a.body)))
	} else if diff := cmp.Diff(w, got); diff != "" {
		a.errorf("%s (-want +got):\n%s", path, diff)
	}
	return a
}

// lacks asserts that nothing is at the paths.
func (a *answer) lacks(paths ...string) *answer {
	a.w.t.Helper()
	for _, path := range paths {
		if v, ok := a.at(path); ok {
			a.errorf("%s is there: %v", path, v)
		}
	}
	return a
}

// set asserts that a string which is not empty is at the paths.
func (a *answer) set(paths ...string) *answer {
	a.w.t.Helper()
	for _, path := range paths {
		if a.text(path) == "" {
			a.errorf("%s is empty", path)
		}
	}
	return a
}

// list asserts one member of each item of a list, such as the ids, in order.
func (a *answer) list(member string, want ...string) *answer {
	a.w.t.Helper()
	if diff := cmp.Diff(want, a.members(member), cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		a.errorf("%s of the list (-want +got):\n%s", member, diff)
	}
	return a
}

// members returns one member of each item of a list.
func (a *answer) members(member string) []string {
	a.w.t.Helper()
	items, ok := a.decode().([]any)
	if !ok {
		a.w.t.Fatalf("%s: not a list: %s", a.asked, clip(string(a.body)))
	}
	var out []string
	for _, item := range items {
		object, _ := item.(map[string]any)
		s, _ := object[member].(string)
		out = append(out, s)
	}
	return out
}

// keys asserts the names of the members of an object, in any order.
func (a *answer) keys(want ...string) *answer {
	a.w.t.Helper()
	object, _ := a.decode().(map[string]any)
	got := make([]string, 0, len(object))
	for name := range object {
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		a.errorf("members (-want +got):\n%s", diff)
	}
	return a
}
