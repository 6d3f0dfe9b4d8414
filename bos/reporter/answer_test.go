package reporter

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestOutcomeOf(t *testing.T) {
	for status, want := range map[int]Outcome{
		200: Accepted, 204: Accepted, 301: Redirected, 307: Redirected, 400: Rejected, 401: Refused, 403: Refused,
		404: Unknown, 405: Rejected, 409: Conflict, 413: Rejected, 429: Busy, 500: Busy, 502: Busy, 503: Busy, 504: Busy, 999: Busy,
	} {
		if got := OutcomeOf(status); got != want {
			t.Errorf("OutcomeOf(%d) = %q, want %q", status, got, want)
		}
	}
}

func answer(status int, header http.Header, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

func TestReadAnswerHidesSecrets(t *testing.T) {
	secrets := []string{"jwt-" + strings.Repeat("j", 600), `bss"tok<en`, ""}
	body := "you sent " + secrets[0] + ` and {"bss_token":"bss\"tok\u003cen"} and ` + secrets[1] + strings.Repeat(" x", 600)
	a := ReadAnswer(answer(400, nil, body), nil, secrets...)
	if strings.Contains(a.Text, "jjj") || strings.Contains(a.Text, "tok<") || strings.Contains(a.Text, "u003c") {
		t.Errorf("a secret is left in %q", a.Text)
	}
	if !strings.HasPrefix(a.Text, "400 Bad Request: you sent [hidden] and ") {
		t.Errorf("Text = %q", a.Text)
	}
	if n := len(strings.TrimPrefix(a.Text, "400 Bad Request: ")); n > 512 {
		t.Errorf("%d bytes of the body, want at most 512", n)
	}
}

// The end of what is read may be the beginning of a secret.
func TestReadAnswerHidesPartOfSecret(t *testing.T) {
	secret := "start-" + strings.Repeat("s", 2000)
	a := ReadAnswer(answer(500, nil, strings.Repeat(secret, 200)), nil, secret)
	if strings.Contains(a.Text, "start-") {
		t.Errorf("a part of the secret is left in %.100q", a.Text)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                               0,
		"7":                              7 * time.Second,
		"-7":                             0,
		"soon":                           0,
		"Fri, 02 Jan 2026 03:05:05 GMT":  time.Minute,
		"Fri, 02 Jan 2026 03:00:00 GMT":  0,
		"99999999999999999999999999999s": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

func TestFailedTripEqual(t *testing.T) {
	reset := func(port int) error {
		return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: port}, Err: errors.New("connection reset by peer")}
	}
	a, b := failedTrip(reset(1)), failedTrip(reset(2))
	if !a.equal(b) {
		t.Errorf("%q and %q are not equal", a.Text, b.Text)
	}
	if c := failedTrip(os.ErrDeadlineExceeded); c.equal(a) || c.Outcome != Unreachable {
		t.Errorf("time-out: %+v", c)
	}
}

// TestClosedConnection: what a server of HTTPS does to a request in plain HTTP is worth more than the word EOF.
func TestClosedConnection(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	req, err := Report{"x1", testBSS}.Request(t.Context(), srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := new(Transport).RoundTrip(req)
	if a := ReadAnswer(resp, err); a.Outcome != Unreachable || !strings.Contains(a.Text, "closed before an answer came") {
		t.Errorf("%v: %q", a.Outcome, a.Text)
	}
}
