package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
)

// The classes of errors besides bos.ErrUnavailable, which all but some answers with a status match.
var (
	// ErrTimeout: the service did not take the connection or did not answer in time.
	ErrTimeout = errors.New("timed out")
	// ErrMalformed: the service's answer is a success, but not what it should be.
	ErrMalformed = errors.New("malformed answer")
	// ErrOutcomeUnknown: a request that changes something was sent and its answer was lost; it may have been executed.
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

const (
	maxErrorBody = 256 << 10 // bytes read of an error answer
	maxExcerpt   = 1 << 10   // bytes kept of it
)

// Error is a call of a service that did not succeed. Besides the classes above it matches the sentinel of package bos
// that says what to do: by status ErrUnauthenticated (401), ErrForbidden (403), ErrNotFound (404), ErrConflict (409),
// ErrTooLarge (413), ErrUnavailable (429, 5xx) or ErrInvalid (others); without a status, and for a malformed answer,
// ErrUnavailable, since trying later may help.
type Error struct {
	Service    string // "pcs"
	Method     string
	URL        string        // without query
	Status     int           // 0 = no answer, or a malformed one with 2xx
	Reason     string        // the service's word for the status
	Body       string        // the service's own words, one line of at most 1 KiB
	Title      string        // of a problem document, if Body was one
	Detail     string        // likewise
	RetryAfter time.Duration // what the answer asks for, or until an *OpenError may pass; 0 = nothing
	Err        error         // the cause, where there is no status

	class   error // ErrTimeout, ErrMalformed, or nil
	unknown bool  // ErrOutcomeUnknown
}

// Error returns "Non-2XX response (<code>) to <METHOD> <url>; <reason> <body>" for an answer with a status, the form
// that administrators know from the reference.
func (e *Error) Error() string {
	if e.Status != 0 {
		return strings.TrimSpace(fmt.Sprintf("Non-2XX response (%d) to %s %s; %s %s", e.Status, e.Method, e.URL, e.Reason, e.Body))
	}
	text := fmt.Sprintf("%s: %s %s: ", e.Service, e.Method, e.URL)
	switch {
	case e.class != nil && e.Err != nil:
		text += fmt.Sprintf("%v: %v", e.class, e.Err)
	case e.class != nil:
		text += e.class.Error()
	default:
		text += e.Err.Error()
	}
	if e.Body != "" {
		text += ": " + e.Body
	}
	return text
}

// Timeout reports whether the service did not take the connection or did not answer in time, see ErrTimeout.
func (e *Error) Timeout() bool { return errors.Is(e.class, ErrTimeout) }

// Malformed reports whether the service's answer was a success, but not what it should be, see ErrMalformed.
func (e *Error) Malformed() bool { return errors.Is(e.class, ErrMalformed) }

// Unwrap returns the class, the sentinel of package bos and the cause.
func (e *Error) Unwrap() []error {
	all := []error{e.sentinel()}
	if e.class != nil {
		all = append(all, e.class)
	}
	if e.unknown {
		all = append(all, ErrOutcomeUnknown)
	}
	if e.Err != nil {
		all = append(all, e.Err)
	}
	return all
}

// errCanceled stands for no sentinel at all: the caller gave up, the service is not to blame.
var errCanceled = errors.New("canceled by the caller")

func (e *Error) sentinel() error {
	switch {
	case e.Status == 0 && errors.Is(e.Err, context.Canceled):
		return errCanceled
	case e.Status == 0 || e.Status >= 500 || e.Status == http.StatusTooManyRequests:
		return bos.ErrUnavailable
	case e.Status == http.StatusUnauthorized:
		return bos.ErrUnauthenticated
	case e.Status == http.StatusForbidden:
		return bos.ErrForbidden
	case e.Status == http.StatusNotFound:
		return bos.ErrNotFound
	case e.Status == http.StatusConflict:
		return bos.ErrConflict
	case e.Status == http.StatusRequestEntityTooLarge:
		return bos.ErrTooLarge
	}
	return bos.ErrInvalid
}

// CheckRoute returns err, unless that is a 404 in HTML: then one that matches bos.ErrUnavailable instead of
// bos.ErrNotFound. No service answers in HTML; a gateway does whose routes are wrong or not there yet, and what it does not
// find says nothing of what the service has.
func CheckRoute(err error) error {
	e, ok := errors.AsType[*Error](err)
	if ok && e.Status == http.StatusNotFound && strings.HasPrefix(e.Body, "<") {
		return fmt.Errorf("the URL of %s leads elsewhere: %w: %s", e.Service, bos.ErrUnavailable, e.Error())
	}
	return err
}

// statusError makes the error of an answer that is no success, reading a bounded part of its body.
func (c *call) statusError(resp *http.Response) *Error {
	e := c.error(nil)
	e.Status = resp.StatusCode
	_, e.Reason, _ = strings.Cut(resp.Status, " ")
	if e.Reason == "" {
		e.Reason = http.StatusText(resp.StatusCode)
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what cannot be read is left out
	body = c.withoutToken(body)
	e.Body = Excerpt(body)
	e.Title, e.Detail = problem(body)
	e.RetryAfter = retryAfter(resp.Header)
	if resp.StatusCode == http.StatusGatewayTimeout {
		e.class = ErrTimeout
		e.unknown = !c.repeatable
	}
	return e
}

// transportError makes the error of a try without an answer, or with one that broke off.
func (c *call) transportError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	err = withoutURL(err)
	e := c.error(err)
	timeout, ok := errors.AsType[net.Error](err)
	if errors.Is(err, errSilence) || errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		e.class = ErrTimeout
	}
	e.unknown = !c.repeatable && c.sent
	return e
}

// withoutURL returns the cause of an error of net/http, whose text holds the whole URL: it has been said where, and the
// path may hold a secret.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// malformed makes the error of a 2xx answer that is not what it should be. body is what the excerpt is cut from.
func (c *call) malformed(err error, body []byte) *Error {
	e := c.error(err)
	e.class, e.Body, e.unknown = ErrMalformed, Excerpt(c.withoutToken(body)), !c.repeatable
	return e
}

// withoutToken returns text without the token of the call, which some gateways repeat when they refuse it.
func (c *call) withoutToken(text []byte) []byte {
	if c.token == "" {
		return text
	}
	return bytes.ReplaceAll(text, []byte(c.token), []byte("[token]"))
}

func (c *call) error(cause error) *Error {
	return &Error{Service: c.client.service, Method: c.method, URL: c.where, Err: cause}
}

// problem returns title and detail of a problem document, or of the other shapes that services put errors in. What
// cannot be read is empty.
func problem(body []byte) (title, detail string) {
	var doc struct {
		Title   any `json:"title"`
		Detail  any `json:"detail"`
		Message any `json:"message"`
		ErrMsg  any `json:"err_msg"`
	}
	if json.Unmarshal(body, &doc) != nil {
		var text string
		if json.Unmarshal(body, &text) == nil { // TAPMS answers with a bare string
			return "", text
		}
		return "", ""
	}
	for _, v := range []any{doc.Detail, doc.Message, doc.ErrMsg} {
		if s, ok := v.(string); ok && detail == "" {
			detail = s
		}
	}
	if s, ok := doc.Title.(string); ok {
		title = s
	}
	return title, detail
}

// Excerpt returns text as one line of at most 1 KiB that is fit for a log: lines are stripped and joined with a blank,
// control characters and broken UTF-8 replaced.
func Excerpt(text []byte) string {
	if len(text) > maxErrorBody {
		text = text[:maxErrorBody]
	}
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(strings.ToValidUTF8(string(text), "\uFFFD"), "\r", "\n")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		for _, r := range line {
			if unicode.IsControl(r) {
				r = ' '
			}
			if b.Len()+utf8.RuneLen(r) > maxExcerpt-len("…") {
				b.WriteString("…")
				return b.String()
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}
