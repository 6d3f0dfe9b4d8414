package apitest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// maxMemory is what the server may take up whatever is sent to it, in MiB.
const maxMemory = 300

// healthy checks that the server has survived: it answers, has not panicked and has not swallowed the machine.
func (s *server) healthy(t *testing.T) {
	t.Helper()
	send(t, s, "GET /v2/healthz HTTP/1.1\r\nHost: bos\r\nConnection: close\r\n\r\n").want(t, 200)
	if log := s.log(); strings.Contains(log, "panic") {
		t.Errorf("the server has panicked:\n%s", log)
	}
	if mib, ok := s.memory(); ok {
		t.Logf("at most %d MiB", mib)
		if mib >= maxMemory {
			t.Errorf("the server took up %d MiB, more than %d", mib, maxMemory)
		}
	}
}

// want reads an answer, which has to be one of codes and clean.
func (c *conversation) want(t *testing.T, codes ...int) {
	t.Helper()
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	checkAnswer(t, answer, codes...)
}

// checkAnswer checks the status and drops the body.
func checkAnswer(t *testing.T, answer *http.Response, codes ...int) {
	t.Helper()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
	drain(answer.Body)
	if !slices.Contains(codes, answer.StatusCode) {
		t.Errorf("%s, want one of %v: %s", answer.Status, codes, text)
	}
	if answer.StatusCode == 503 && answer.Header.Get("Retry-After") == "" {
		t.Errorf("503 without Retry-After: %s", text)
	}
}

// post sends a body with a proper head.
func (s *server) post(t *testing.T, method, path string, body io.Reader, length int64, codes ...int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = length
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Errorf("no answer: %v", err) // not fatal: this runs on goroutines of the test's as well
		return
	}
	checkAnswer(t, answer, codes...)
}

const mib = 1 << 20

// patches is a bulk patch of so many components, each unknown to the server.
func patches(n, size int) string {
	var b strings.Builder
	filler := strings.Repeat("x", size)
	for i := range n {
		fmt.Fprintf(&b, `%c{"id":"nobody%d","error":"%s"}`, "[,"[min(i, 1)], i, filler)
	}
	return b.String() + "]"
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	s := start(t, "bolt:"+t.TempDir()+"/bos.db")
	if _, err := s.client().PutComponent(t.Context(), "x1", bos.Component{ID: "x1"}); err != nil {
		t.Fatal(err)
	}
	deep := func(open, shut string) string { return strings.Repeat(open, 100_000) + strings.Repeat(shut, 100_000) }
	for i, row := range []struct {
		name, method, path string
		body               string
		codes              []int
	}{
		{"20 MiB of one text", "PATCH", "/v2/components/x1", `{"error":"` + strings.Repeat("x", 20*mib) + `"}`, []int{413}},
		{"20 MiB of options", "PATCH", "/v2/options", `{"x":"` + strings.Repeat("x", 20*mib) + `"}`, []int{413}},
		{"20 MiB of blanks", "PUT", "/v2/components", strings.Repeat(" ", 20*mib), []int{400}},
		{"20 MiB of components", "PATCH", "/v2/components", patches(100_000, 180), []int{404}},
		{"20 MiB of components, the bad ones skipped", "PATCH", "/v2/components?skip_bad_ids=true", patches(100_000, 180), []int{200}},
		{"60 MiB of components", "PATCH", "/v2/components", patches(100_000, 600), []int{404}},
		{"65 MiB of components", "PATCH", "/v2/components", patches(100_000, 650), []int{413}},
		{"a million components", "PATCH", "/v2/components", patches(1_000_000, 0), []int{413}},
		{"100,000 ids in one filter", "PATCH", "/v2/components", `{"filters":{"ids":"` + strings.Repeat("x1,", 99_999) + `x1"},"patch":{"error":""}}`, []int{200, 400}},
		{"100,000 nodes to apply", "POST", "/v2/applystaged", `{"xnames":["` + strings.Repeat(`x1","`, 99_999) + `x1"]}`, []int{400}},
		{"arrays, 100,000 deep", "PUT", "/v2/components", deep("[", "]"), []int{400}},
		{"objects, 100,000 deep", "PATCH", "/v2/components/x1", deep(`{"a":`, "}"), []int{400}},
		{"deep where anything goes", "PATCH", "/v2/options", `{"x":` + deep("[", "]") + `}`, []int{400}},
		{"opened and never closed", "PUT", "/v2/components", strings.Repeat(`[{"a":`, 100_000), []int{400}},
		{"bad UTF-8", "PATCH", "/v2/components/x1", "{\"error\":\"\xff\xfe\"}", []int{400}},
		{"half of a surrogate", "PATCH", "/v2/components/x1", `{"error":"\ud800"}`, []int{200, 400}},
		{"NUL bytes", "PATCH", "/v2/components/x1", "{\"error\":\"\x00\"}", []int{400}},
		{"a byte order mark", "PATCH", "/v2/components/x1", "\ufeff{}", []int{400}},
		{"a member twice", "PATCH", "/v2/components/x1", `{"error":"a","error":"b"}`, []int{200, 400}},
		{"a member twice, of two kinds", "PATCH", "/v2/components/x1", `{"error":7,"error":"b"}`, []int{200, 400}},
		{"an absurd number", "PATCH", "/v2/options", `{"max_boot_wait_time":1e999999999}`, []int{400}},
		{"a number of a million digits", "PATCH", "/v2/options", `{"max_boot_wait_time":` + strings.Repeat("9", mib) + `}`, []int{400}},
		{"nothing", "PATCH", "/v2/components/x1", "", []int{400}},
		{"two values", "PATCH", "/v2/components/x1", "{}{}", []int{400}},
	} {
		t.Run(row.name, func(t *testing.T) {
			large := len(row.body) > mib // one way is enough
			if !large || i%2 == 0 {
				s.post(t, row.method, row.path, strings.NewReader(row.body), int64(len(row.body)), row.codes...)
			}
			if !large || i%2 == 1 { // in chunks
				s.post(t, row.method, row.path, io.MultiReader(strings.NewReader(row.body)), -1, row.codes...)
			}
		})
	}
	t.Run("many at a time", func(t *testing.T) {
		body := patches(100_000, 180)
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				s.post(t, "PATCH", "/v2/components", strings.NewReader(body), int64(len(body)), 404, 503)
			})
		}
		all.Wait()
	})
	s.healthy(t)
}

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	s := start(t, "memory:")
	const host = "Host: bos\r\n"
	const patch = "PATCH /v2/options HTTP/1.1\r\n" + host + "Content-Type: application/json\r\n"
	ids := strings.TrimSuffix(strings.Repeat("x1000c0s0b0n0,", 100_000), ",")
	for _, row := range []struct {
		name, text string
		codes      []int
	}{
		{"100,000 ids in a query", "GET /v2/components?ids=" + ids + " HTTP/1.1\r\n" + host + "\r\n", []int{414, 431}},
		{"4,000 ids in a query", "GET /v2/components?ids=" + ids[:4000*14-1] + " HTTP/1.1\r\n" + host + "\r\n", []int{200}},
		{"a header of a MiB", "GET /v2/options HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", mib) + "\r\n\r\n", []int{431}},
		{"100,000 headers", "GET /v2/options HTTP/1.1\r\n" + host + strings.Repeat("X: x\r\n", 100_000) + "\r\n", []int{431}},
		{"an endless header", "GET /v2/options HTTP/1.1\r\n" + strings.Repeat("X", mib), []int{431}},
		{"no host", "GET /v2/options HTTP/1.1\r\n\r\n", []int{400}},
		{"two hosts", "GET /v2/options HTTP/1.1\r\n" + host + host + "\r\n", []int{400}},
		{"no HTTP", "Good day!\r\n\r\n", []int{400}},
		{"the beginning of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100) + "\r\n\r\n", []int{400}},
		{"HTTP/0.9", "GET /v2/options\r\n\r\n", []int{400}},
		{"HTTP/1.0", "GET /v2/options HTTP/1.0\r\n\r\n", []int{200}},
		{"HTTP/9.9", "GET /v2/options HTTP/9.9\r\n" + host + "\r\n", []int{400, 505}},
		{"NUL in the path", "GET /v2/components/\x00 HTTP/1.1\r\n" + host + "\r\n", []int{400}},
		{"bad UTF-8 in the path", "GET /v2/components/%ff HTTP/1.1\r\n" + host + "\r\n", []int{400, 404}},
		{"bad escapes in the path", "GET /v2/components/%zz HTTP/1.1\r\n" + host + "\r\n", []int{400}},
		{"out of the tree", "GET /v2/../../etc/passwd HTTP/1.1\r\n" + host + "\r\n", []int{404}},
		{"bad UTF-8 in the query", "GET /v2/components?ids=%ff HTTP/1.1\r\n" + host + "\r\n", []int{400}},
		{"bad UTF-8 in a header", "GET /v2/components HTTP/1.1\r\n" + host + "Cray-Tenant-Name: \xff\r\n\r\n", []int{400}},
		{"a strange method", "BREW /v2/options HTTP/1.1\r\n" + host + "\r\n", []int{405}},
		{"CONNECT", "CONNECT bos:443 HTTP/1.1\r\n" + host + "\r\n", []int{400, 404, 405}},
		{"a body longer than anything", patch + "Content-Length: 9223372036854775807\r\n\r\n{}", []int{413}},
		{"a body longer than a number", patch + "Content-Length: 99999999999999999999\r\n\r\n{}", []int{400}},
		{"a body shorter than nothing", patch + "Content-Length: -1\r\n\r\n{}", []int{400}},
		{"two lengths", patch + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", []int{400}},
		{"chunks of no size", patch + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", []int{400}},
		{"chunks of absurd size", patch + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n", []int{400}},
		{"chunks of negative size", patch + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", []int{400}},
		{"chunks without an end of line", patch + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n", []int{400}},
		{"chunks that say too much", patch + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", mib) + "\r\n{}\r\n0\r\n\r\n", []int{400}},
		{"trailers of a MiB", patch + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: " + strings.Repeat("x", mib) + "\r\n\r\n", []int{400}},
		{"an unknown transfer", patch + "Transfer-Encoding: gzip\r\n\r\n{}", []int{400, 501}},
		{"a packed body", patch + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", []int{400, 415}},
		{"no content type", "PATCH /v2/options HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\n{}", []int{415}},
		{"an absurd content type", "PATCH /v2/options HTTP/1.1\r\n" + host + "Content-Type: " + strings.Repeat(";", 60_000) + "\r\nContent-Length: 2\r\n\r\n{}", []int{415}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := dial(t, s)
			go func() { _, _ = io.WriteString(c.Conn, row.text) }() // it may be cut off in the middle
			c.want(t, row.codes...)
		})
	}
	t.Run("a thousand requests at once", func(t *testing.T) {
		c := dial(t, s)
		go func() {
			_, _ = io.WriteString(c.Conn, strings.Repeat("GET /v2/version HTTP/1.1\r\n"+host+"\r\n", 1000))
		}()
		for range 1000 {
			c.want(t, 200)
		}
	})
	t.Run("gone in the middle", func(t *testing.T) {
		for range 100 {
			send(t, s, patch+"Content-Length: 1000\r\n\r\n{").Close()
		}
	})
	s.healthy(t)
}

// TestSlowCallers opens hundreds of connections that send next to nothing. Others are served meanwhile, and the slow ones
// are cut off in the end.
func TestSlowCallers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes the 30 seconds of a request")
	}
	s := start(t, "memory:")
	const callers = 200
	var heads, bodies []*conversation
	for range callers {
		heads = append(heads, send(t, s, "GET /v2/options HTTP/1.1\r\nX: x"))
		bodies = append(bodies, send(t, s, fmt.Sprintf("PUT /v2/components HTTP/1.1\r\nHost: bos\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n[", 60*mib)))
	}
	stream := send(t, s, "GET /v2/events HTTP/1.1\r\nHost: bos\r\n\r\n")
	events := stream.answer(t)

	// The others are served, with large bodies too.
	body := patches(20_000, 180)
	for range 5 {
		s.post(t, "PATCH", "/v2/components", strings.NewReader(body), int64(len(body)), 404)
		s.post(t, "PATCH", "/v2/options", strings.NewReader(`{}`), 2, 200, 400)
	}
	drip := time.NewTicker(time.Second)
	defer drip.Stop()
	var all sync.WaitGroup
	for _, c := range heads {
		all.Go(func() {
			if _, err := io.Copy(io.Discard, c.r); os.IsTimeout(err) {
				t.Error("a slow head: the server does not hang up")
			}
		})
	}
	for _, c := range bodies {
		all.Go(func() { c.want(t, 408) })
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		all.Wait()
	}()
	for waiting := true; waiting; {
		select {
		case <-drip.C: // a byte now and then does not help them
			for _, c := range slices.Concat(heads, bodies) {
				_, _ = io.WriteString(c.Conn, " ")
			}
		case <-gone:
			waiting = false
		}
	}

	// The stream has outlived them all.
	if _, err := s.client().PutComponent(t.Context(), "x1", bos.Component{ID: "x1"}); err != nil {
		t.Fatal(err)
	}
	if !readsOf(events.Body, `"x1"`) {
		t.Error("the stream of changes ended or does not tell of a change")
	}
	s.healthy(t)
}

// readsOf reports whether text occurs in a stream.
func readsOf(stream io.Reader, text string) bool {
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := stream.Read(buf)
		seen = append(seen, buf[:n]...)
		if strings.Contains(string(seen), text) {
			return true
		}
		if err != nil {
			return false
		}
	}
}
