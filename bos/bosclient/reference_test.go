package bosclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
)

// reference imitates what the reference server does with components, with the quirks that a client meets.
// Source: BOS v2 API, quirks.
type reference struct {
	mu         sync.Mutex
	components map[bos.ComponentID]bos.Component
	asked      []string  // "METHOD path?query"
	away       bool      // connections are refused
	ours       bool      // it is a server of ours after all: additions are answered with {}
	older      bool      // it is our first server: guards have no later members
	guard      bos.Guard // of the last patch of a0 that it took
}

func newReference(ids ...string) *reference {
	r := &reference{components: map[bos.ComponentID]bos.Component{}}
	for _, id := range ids {
		r.components[bos.ComponentID(id)] = bos.Component{ID: bos.ComponentID(id), Enabled: new(strings.HasSuffix(id, "0"))}
	}
	return r
}

// RoundTrip lets the reference be the transport of a client.
func (f *reference) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
	if f.away {
		return refused(r)
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	status, answer := f.answer(r.Method, r.URL.Path, r.URL.Query(), body)
	data, _ := json.Marshal(answer)
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(string(data))), Request: r,
	}, nil
}

func problem(status int, title string) (int, any) {
	return status, bos.Problem{Type: "about:blank", Title: title, Status: status, Detail: "it says why"}
}

func (f *reference) answer(method, path string, query url.Values, body []byte) (int, any) {
	switch {
	case f.older && path == "/v2/componentpatches":
		return f.patchGuarded(body)
	case f.older && strings.HasPrefix(path, "/v2/bootartifacts/"):
		return 200, map[string]any{}
	case f.ours && path != "/v2/components":
		return 200, map[string]any{}
	case path != "/v2/components":
		return problem(404, "Not Found")
	case method == http.MethodGet:
		return f.list(query)
	case method == http.MethodPut:
		var cs []bos.Component
		if json.Unmarshal(body, &cs) != nil || len(cs) == 0 {
			return problem(500, "Internal Server Error")
		}
		for _, c := range cs {
			f.components[c.ID] = c
		}
		return 200, cs
	case method == http.MethodPatch && query.Get("skip_bad_ids") == "True":
		var ps []bos.ComponentPatch
		if json.Unmarshal(body, &ps) != nil {
			return problem(400, "Bad Request")
		}
		patched := []bos.Component{}
		for _, p := range ps {
			if c, ok := f.components[p.ID]; ok {
				c.Error = p.Error
				f.components[p.ID] = c
				patched = append(patched, c)
			}
		}
		return 200, patched
	}
	return problem(405, "Method Not Allowed")
}

// patchGuarded writes everything, unless there is something in a guard that it does not know.
func (f *reference) patchGuarded(body []byte) (int, any) {
	var p bos.GuardedPatches
	if json.Unmarshal(body, &p) != nil || p.Lease != 3 {
		return problem(400, "Bad Request")
	}
	result := bos.GuardedResult{Written: []bos.ComponentID{}}
	for _, g := range p.Patches {
		if g.If != nil && (g.If.Reported != nil || g.If.StatusOverride != nil || g.If.Action != nil) || bos.Value(g.Patch.Session) == "-bad" {
			return problem(400, "Bad Request")
		}
		if g.ID == "a0" && g.If != nil {
			f.guard = *g.If
		}
		c := f.components[g.ID]
		c.Error = g.Patch.Error
		f.components[g.ID] = c
		result.Written = append(result.Written, g.ID)
	}
	return 200, result
}

func (f *reference) list(query url.Values) (int, any) {
	ids := query.Get("ids")
	if len(ids) > 127 {
		return problem(400, "Bad Request")
	}
	found := []bos.Component{}
	for id, c := range f.components {
		if ids != "" && !slices.Contains(strings.Split(ids, ","), string(id)) || id <= bos.ComponentID(query.Get("start_after_id")) {
			continue
		}
		if query.Get("enabled") == "False" && ids != "" && *c.Enabled { // ignored when it is alone
			continue
		}
		found = append(found, c)
	}
	slices.SortFunc(found, func(a, b bos.Component) int { return strings.Compare(string(a.ID), string(b.ID)) })
	var size int
	if _, err := fmt.Sscan(query.Get("page_size"), &size); err == nil && size > 0 && len(found) > size {
		found = found[:size]
	}
	return 200, found
}

func nodeNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("x1000c0s%04db0n0", i))
	}
	return names
}

func componentIDs(names []string) (ids []bos.ComponentID) {
	for _, n := range names {
		ids = append(ids, bos.ComponentID(n))
	}
	return ids
}

func listed(t *testing.T, c *bosclient.Client, f bos.ComponentFilter) (ids []bos.ComponentID) {
	t.Helper()
	for component, err := range c.ListComponents(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, component.ID)
	}
	return ids
}

func TestPages(t *testing.T) {
	names := nodeNames(10)
	tests := []struct {
		name     string
		pageSize int // of the client
		filter   bos.ComponentFilter
		want     []string
		requests int
	}{
		{"all in one page", 2800, bos.ComponentFilter{}, names, 1},
		{"a short last page", 4, bos.ComponentFilter{}, names, 3},
		{"a full last page", 5, bos.ComponentFilter{}, names, 3},
		{"from the middle", 4, bos.ComponentFilter{StartAfter: bos.ComponentID(names[4])}, names[5:], 2},
		{"at most five", 2, bos.ComponentFilter{PageSize: 5}, names[:5], 3},
		{"at most three", 2800, bos.ComponentFilter{PageSize: 3}, names[:3], 1},
		{"enabled alone is checked here too", 2800, bos.ComponentFilter{Enabled: new(false)}, nil, 1},
		{"none", 2800, bos.ComponentFilter{IDs: []bos.ComponentID{}}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ref := newReference(names...)
			c := client(t, "http://bos", bosclient.Config{Transport: ref, PageSize: tt.pageSize})
			if diff := cmp.Diff(componentIDs(tt.want), listed(t, c, tt.filter)); diff != "" {
				t.Errorf("components (-want +got):\n%s", diff)
			}
			if len(ref.asked) != tt.requests {
				t.Errorf("%d requests, want %d: %q", len(ref.asked), tt.requests, ref.asked)
			}
		})
	}
}

func TestPagesThatDoNotMoveEnd(t *testing.T) {
	c := serve(t, &recorder{answer: `[{"id":"a"},{"id":"a"}]`}, bosclient.Config{PageSize: 2})
	all, err := collect(c.ListComponents(t.Context(), bos.ComponentFilter{}))
	if err == nil || len(all) > 4 {
		t.Errorf("%d components and error %v from a server that repeats its page", len(all), err)
	}
}

func TestManyIDs(t *testing.T) {
	ids := componentIDs(nodeNames(3000))
	shuffled := append(slices.Clone(ids[1000:]), ids[:1000]...)

	rec := &recorder{answer: `[]`}
	c := serve(t, rec, bosclient.Config{})
	listed(t, c, bos.ComponentFilter{IDs: shuffled})
	var asked []bos.ComponentID
	for _, line := range rec.asked {
		if len(line) > 8<<10 {
			t.Errorf("a URL of %d bytes", len(line))
		}
		query, err := url.ParseQuery(strings.TrimPrefix(line, "GET /v2/components?"))
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, componentIDs(strings.Split(query.Get("ids"), ","))...)
	}
	if diff := cmp.Diff(ids, asked); diff != "" {
		t.Errorf("ids asked for (-want +got):\n%s", diff)
	}
}

func TestManyIDsAgainstReference(t *testing.T) {
	names := nodeNames(40)
	ref := newReference(names...)
	c := client(t, "http://bos", bosclient.Config{Transport: ref})
	for range 2 {
		if diff := cmp.Diff(componentIDs(names[5:]), listed(t, c, bos.ComponentFilter{IDs: componentIDs(names[5:])})); diff != "" {
			t.Errorf("components (-want +got):\n%s", diff)
		}
	}
	refused := 0
	for _, line := range ref.asked {
		u, err := url.Parse(strings.TrimPrefix(line, "GET "))
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Query().Get("ids")) > 127 {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d requests with more ids than the reference takes, want the first only: %q", refused, ref.asked)
	}
}

func TestAdditionsAgainstReference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ref := newReference()
		c := client(t, "http://bos", bosclient.Config{Transport: ref, RetryBudget: -1})
		calls := map[string]func() error{
			"settings":  func() error { _, err := c.Settings(t.Context()); return err },
			"change":    func() error { _, err := c.UpdateSettings(t.Context(), bos.SettingsPatch{}); return err },
			"acquire":   func() error { _, err := c.AcquireLease(t.Context(), "status", "h", time.Minute); return err },
			"release":   func() error { return c.ReleaseLease(t.Context(), "status", "h") },
			"artifacts": func() error { return c.PutBootArtifacts(t.Context(), "t", bos.BootArtifacts{}) },
			"list":      func() error { _, err := c.PowerTransitions(t.Context(), nil); return err },
			"remember":  func() error { return c.PutPowerTransition(t.Context(), bos.PowerTransition{ID: "t"}) },
			"forget":    func() error { return c.DeletePowerTransition(t.Context(), "t") },
			"changes":   func() error { _, err := collect(c.Changes(t.Context(), bos.ChangeFilter{})); return err },
		}
		for range 2 {
			for name, call := range calls {
				if err := call(); !errors.Is(err, bos.ErrUnsupported) || errors.Is(err, bos.ErrNotFound) {
					t.Errorf("%s: %v, want bos.ErrUnsupported", name, err)
				}
			}
		}
		if len(ref.asked) != 5 {
			t.Errorf("asked %q, want once per noun", ref.asked)
		}
	})
}

// TestCancelAgainstReference tells a server without the path from one without the session.
func TestCancelAgainstReference(t *testing.T) {
	key := bos.TenantKey{Tenant: "ten1", Name: "s1"}
	ref := newReference()
	c := client(t, "http://bos", bosclient.Config{Transport: ref, RetryBudget: -1})
	if _, err := c.CancelSession(t.Context(), key, "no"); !errors.Is(err, bos.ErrUnsupported) || errors.Is(err, bos.ErrNotFound) {
		t.Errorf("reference: %v, want bos.ErrUnsupported", err)
	}
	if want := []string{"POST /v2/sessions/s1/cancel"}; !slices.Equal(ref.asked, want) {
		t.Errorf("asked %q, want %q", ref.asked, want)
	}
	_, answer := problem(404, bos.TitleNotFound)
	data, _ := json.Marshal(answer)
	c = serve(t, &recorder{status: 404, answer: string(data)}, bosclient.Config{RetryBudget: -1})
	if _, err := c.CancelSession(t.Context(), key, "no"); !errors.Is(err, bos.ErrNotFound) || errors.Is(err, bos.ErrUnsupported) {
		t.Errorf("unknown session: %v, want bos.ErrNotFound", err)
	}
}

func TestAdditionsAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ref := newReference()
		c := client(t, "http://bos", bosclient.Config{Transport: ref, RetryBudget: -1})
		settings := func(want error) {
			t.Helper()
			if _, err := c.Settings(t.Context()); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
		}
		settings(bos.ErrUnsupported)
		ref.ours = true
		settings(bos.ErrUnsupported) // remembered

		ref.away = true
		if _, err := c.Options(t.Context()); !errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want bos.ErrUnavailable", err)
		}
		ref.away = false
		settings(nil) // the connection was another one

		ref.ours = false
		settings(bos.ErrUnsupported)
		ref.ours = true
		time.Sleep(time.Minute)
		settings(nil) // a minute has passed
	})
}

func TestGuardedPatchesAgainstReference(t *testing.T) {
	ref := newReference("a0", "b1", "c0", "d0")
	c := client(t, "http://bos", bosclient.Config{Transport: ref})
	guard := &bos.Guard{Enabled: new(true)}
	patch := bos.ComponentPatch{Error: new("E")}
	for range 2 {
		result, err := c.PatchGuarded(t.Context(), bos.GuardedPatches{Lease: 3, Patches: []bos.GuardedPatch{
			{ID: "a0", If: guard, Patch: patch}, {ID: "b1", If: guard, Patch: patch}, {ID: "zz", If: guard, Patch: patch}, {ID: "c0", Patch: patch},
		}})
		want := bos.GuardedResult{Written: []bos.ComponentID{"a0", "c0"}, Stale: []bos.ComponentID{"b1"}, Missing: []bos.ComponentID{"zz"}}
		if diff := cmp.Diff(want, result); err != nil || diff != "" {
			t.Errorf("%v, result (-want +got):\n%s", err, diff)
		}
	}
	for id, want := range map[bos.ComponentID]string{"a0": "E", "b1": "", "c0": "E", "d0": ""} {
		c := ref.components[id]
		if got := c.ErrorText(); got != want {
			t.Errorf("%s: error %q, want %q", id, got, want)
		}
	}
	want := []string{
		"POST /v2/componentpatches", "GET /v2/components?ids=a0%2Cb1%2Cc0%2Czz", "PATCH /v2/components?skip_bad_ids=True",
		"GET /v2/components?ids=a0%2Cb1%2Cc0%2Czz", "PATCH /v2/components?skip_bad_ids=True",
	}
	if diff := cmp.Diff(want, ref.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// TestGuardedPatchesAgainstOlderServer has a server of ours that refuses the later members of a guard: the client checks
// those itself, tells nothing of them from then on, and asks again after a while.
func TestGuardedPatchesAgainstOlderServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ref := newReference("a0", "b0", "c0")
		ref.older = true
		c := client(t, "http://bos", bosclient.Config{Transport: ref})
		write := func(ps ...bos.GuardedPatch) (bos.GuardedResult, error) {
			ref.asked = nil
			return c.PatchGuarded(t.Context(), bos.GuardedPatches{Lease: 3, Patches: ps})
		}
		const post, get = "POST /v2/componentpatches", "GET /v2/components?ids=a0%2Cb0%2Czz"
		patch := bos.ComponentPatch{Error: new("E")}
		later := []bos.GuardedPatch{
			{ID: "a0", If: &bos.Guard{Session: new(""), StatusOverride: new(bos.Status("")), Action: new(bos.Action("")), Reported: new(bos.Timestamp(""))}, Patch: patch},
			{ID: "b0", If: &bos.Guard{StatusOverride: new(bos.StatusFailed)}, Patch: patch},
			{ID: "c0", If: &bos.Guard{Session: new("")}, Patch: patch},
			{ID: "zz", If: &bos.Guard{Action: new(bos.Action(""))}, Patch: patch},
		}
		for _, asked := range [][]string{{post, get, post}, {get, post}} {
			result, err := write(later...)
			want := bos.GuardedResult{Written: []bos.ComponentID{"c0", "a0"}, Stale: []bos.ComponentID{"b0"}, Missing: []bos.ComponentID{"zz"}}
			if diff := cmp.Diff(want, result); err != nil || diff != "" {
				t.Errorf("%v, result (-want +got):\n%s", err, diff)
			}
			if diff := cmp.Diff(asked, ref.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(bos.Guard{Session: new("")}, ref.guard); diff != "" {
				t.Errorf("guard that the server keeps to (-want +got):\n%s", diff)
			}
		}
		// What has no later members goes straight to the server.
		if _, err := write(later[2]); err != nil || !slices.Equal(ref.asked, []string{post}) {
			t.Errorf("%v, asked %q", err, ref.asked)
		}
		// The server is replaced by one that knows them.
		time.Sleep(time.Minute)
		ref.older, ref.ours = false, true
		if _, err := write(later[:2]...); err != nil || !slices.Equal(ref.asked, []string{post}) {
			t.Errorf("%v, asked %q", err, ref.asked)
		}
		// And by a reference server.
		ref.ours = false
		for range 2 {
			if r, err := write(later[0]); err != nil || len(r.Written) != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		}
		// What is refused for another reason does not make the server an older one.
		ref.older = true
		time.Sleep(time.Minute)
		plain := bos.GuardedPatch{ID: "a0", Patch: bos.ComponentPatch{Session: new("-bad")}}
		if _, err := write(plain); !errors.Is(err, bos.ErrInvalid) || !slices.Equal(ref.asked, []string{post}) {
			t.Errorf("error %v, asked %q", err, ref.asked)
		}
		bad := bos.GuardedPatch{ID: "a0", If: &bos.Guard{Reported: new(bos.Timestamp(""))}, Patch: plain.Patch}
		for range 2 {
			if _, err := write(bad); !errors.Is(err, bos.ErrInvalid) || len(ref.asked) != 3 {
				t.Errorf("error %v, asked %q", err, ref.asked)
			}
		}
	})
}

// TestPruneAgainstOlderServer has a server that keeps tokens but cannot prune them: the one does not keep the client from
// the other.
func TestPruneAgainstOlderServer(t *testing.T) {
	ref := newReference()
	ref.older = true
	c := client(t, "http://bos", bosclient.Config{Transport: ref})
	for range 2 {
		if _, err := c.PruneBootArtifacts(t.Context(), 24*time.Hour); !errors.Is(err, bos.ErrUnsupported) {
			t.Errorf("pruning: %v, want bos.ErrUnsupported", err)
		}
		if err := c.PutBootArtifacts(t.Context(), "t", bos.BootArtifacts{}); err != nil {
			t.Errorf("recording: %v", err)
		}
	}
	want := []string{"DELETE /v2/bootartifacts?unused_for=86400", "PUT /v2/bootartifacts/t", "PUT /v2/bootartifacts/t"}
	if diff := cmp.Diff(want, ref.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestEmptyListsAreNotSent(t *testing.T) {
	ref := newReference()
	c := client(t, "http://bos", bosclient.Config{Transport: ref})
	if stored, err := c.PutComponents(t.Context(), nil); err != nil || len(stored) > 0 {
		t.Errorf("PutComponents(nil) = %v, %v", stored, err)
	}
	if created, err := c.CreateComponents(t.Context(), nil); err != nil || len(created) > 0 {
		t.Errorf("CreateComponents(nil) = %v, %v", created, err)
	}
	if len(ref.asked) > 0 {
		t.Errorf("asked %q", ref.asked)
	}
}
