package reporter

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Outcome is how one try to report ended. All but [Accepted] are tried again, for ever.
type Outcome int

const (
	// Accepted is 2xx: BOS has the report.
	Accepted Outcome = iota
	// Conflict is 409: BOS is about to act on the node and takes no actual state now. Not a fault.
	Conflict
	// Unknown is 404: BOS has no such component yet, or there is no BOS behind the gateway.
	Unknown
	// Refused is 401 or 403: the credentials did not suffice.
	Refused
	// Rejected is any other 4xx but 429.
	Rejected
	// Busy is 429, 5xx and anything else that is not HTTP as we know it.
	Busy
	// Redirected is 3xx. The token must not leave the gateway, so redirects are not followed.
	Redirected
	// Unreachable means that there was no answer: name resolution, connection, time-out.
	Unreachable
	// Untrusted means that the gateway's certificate does not verify, or the CA file cannot be read.
	Untrusted
	// NoCredentials means that no token provider gave a token. Nothing was sent.
	NoCredentials
	// Unreadable means that the kernel command line cannot be read. Nothing was sent.
	Unreadable
)

// OutcomeOf classifies an HTTP status.
func OutcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status < 300:
		return Accepted
	case status >= 300 && status < 400:
		return Redirected
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Refused
	case status == http.StatusNotFound:
		return Unknown
	case status == http.StatusConflict:
		return Conflict
	case status == http.StatusTooManyRequests:
		return Busy
	case status >= 400 && status < 500:
		return Rejected
	}
	return Busy
}

// Answer is the result of one try.
type Answer struct {
	Outcome    Outcome
	Status     int           // of the HTTP answer; 0 if there was none
	RetryAfter time.Duration // asked for by a 429 or 503; 0 if not
	Text       string        // for people: what happened, at most some 600 bytes
	cause      string        // Text without what differs between equal failures, such as port numbers
}

// equal tells whether a and b are the same failure for log and back-off.
func (a Answer) equal(b Answer) bool {
	return a.Outcome == b.Outcome && a.Status == b.Status && a.cause == b.cause
}

// maxExcerpt is how many bytes of an answer's body reach a log.
const maxExcerpt = 512

// ReadAnswer classifies what an HTTP round trip returned, and closes the body. The secrets, should the body repeat
// them, are kept out of Text.
func ReadAnswer(resp *http.Response, err error, secrets ...string) Answer {
	if err != nil {
		return failedTrip(err)
	}
	defer resp.Body.Close()
	a := Answer{Outcome: OutcomeOf(resp.StatusCode), Status: resp.StatusCode}
	if a.Outcome == Accepted {
		return a
	}
	if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
		a.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	a.Text = strings.TrimSpace(strconv.Itoa(a.Status) + " " + http.StatusText(a.Status))
	if e := excerpt(resp.Body, secrets); e != "" {
		a.Text += ": " + e
	}
	return a
}

// excerpt returns the beginning of an answer's body, with the secrets hidden.
func excerpt(r io.Reader, secrets []string) string {
	const enough = 64 << 10
	b, _ := io.ReadAll(io.LimitReader(r, enough)) // what came before an error is as good
	body, whole := string(b), len(b) < enough
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted, _ := json.Marshal(s)
		body = strings.ReplaceAll(body, string(quoted[1:len(quoted)-1]), "[hidden]")
		body = strings.ReplaceAll(body, s, "[hidden]")
		if !whole { // what is left at the end may be the beginning of a secret
			body = body[:max(0, len(body)-len(quoted))]
		}
	}
	return strings.ToValidUTF8(strings.TrimSpace(body[:min(len(body), maxExcerpt)]), "")
}

func failedTrip(err error) Answer {
	a := Answer{Outcome: Unreachable, Text: err.Error(), cause: err.Error()}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		a.Outcome = Untrusted
		return a
	}
	if _, ok := errors.AsType[*CAError](err); ok {
		a.Outcome = Untrusted
		return a
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		a.cause = "timeout"
	case errors.Is(err, io.EOF):
		a.Text = "the connection was closed before an answer came: " + err.Error()
	default:
		if op, ok := errors.AsType[*net.OpError](err); ok {
			a.cause = fmt.Sprint(op.Op, op.Err)
		}
	}
	return a
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
