package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// call is one call of a service: what is known of it across its tries. Its methods are the hooks of retryablehttp, which
// calls them one after the other.
type call struct {
	client     *Client
	method     string
	where      string // URL without query
	repeatable bool   // a repetition does no harm
	token      string // sent along; an answer that repeats it is shown without
	read       func(*Answer) error

	began   time.Time
	sent    bool          // the service may have seen the request
	retries int           // begun so far
	wait    time.Duration // before the next one
	final   error         // what read made of the answer
}

func newCall(c *Client, r Request, read func(*Answer) error) *call {
	idempotent := []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions}
	return &call{
		client: c, method: r.Method, where: c.where(r), read: read, began: time.Now(),
		repeatable: r.ReadOnly || slices.Contains(idempotent, r.Method) && !r.Once,
	}
}

// again decides after each try, and after reading an answer failed, whether to try again. resp is nil if err came from
// the try itself.
func (c *call) again(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if _, notSent := errors.AsType[*connectError](err); !notSent {
		c.sent = true
	}
	if ctx.Err() != nil || !c.worthRepeating(resp, err) {
		return false, nil
	}
	c.wait = c.nextWait(resp)
	cfg := &c.client.cfg
	if cfg.RetryBudget > 0 && time.Since(c.began)+c.wait > cfg.RetryBudget {
		return false, nil
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= c.wait {
		return false, nil // the retry would not begin: what failed says more than the end of the wait
	}
	if c.retries < cfg.Retries() {
		status := 0
		if resp != nil {
			status = resp.StatusCode
		}
		cfg.Log.Debug("retrying", "service", c.client.service, "method", c.method, "url", c.where, "status", status, "err", withoutURL(err), "wait", c.wait)
	}
	return true, nil
}

func (c *call) worthRepeating(resp *http.Response, err error) bool {
	if err == nil {
		if !c.repeatable {
			return false
		}
		switch resp.StatusCode {
		case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
			return resp.Header.Get("Retry-After") != ""
		}
		return false
	}
	if _, notSent := errors.AsType[*connectError](err); notSent {
		_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
		return !badCertificate
	}
	if _, broken := errors.AsType[*readError](err); broken || resp == nil {
		return c.repeatable
	}
	return false
}

// nextWait returns the wait before the next retry: 0, then RetryWait doubling up to 120 of it, or what the answer asks
// for. One that asks for no time at all is an answer like any other, lest every retry follow at once.
func (c *call) nextWait(resp *http.Response) time.Duration {
	cfg := &c.client.cfg
	longest := 120 * cfg.RetryWait
	if resp != nil {
		switch resp.StatusCode {
		case http.StatusServiceUnavailable, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
			if d := retryAfter(resp.Header); d > 0 {
				return cfg.Jitter(d)
			}
		}
	}
	if c.retries == 0 {
		return 0
	}
	wait := longest
	if c.retries <= 7 { // 2^7 > 120
		wait = min(longest, cfg.RetryWait<<(c.retries-1))
	}
	return cfg.Jitter(wait)
}

// retryAfter returns how long an answer asks to wait, in seconds or until a date; 0 = it does not, or not any more. A date
// is one of the service's clock, which the answer shows.
func retryAfter(h http.Header) time.Duration {
	header := h.Get("Retry-After")
	if s, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(0, at.Sub(now)), math.MaxInt32*time.Second) // the longest of the other form: sums with it do not overflow
}

// backoff is asked once per retry.
func (c *call) backoff(_, _ time.Duration, _ int, _ *http.Response) time.Duration {
	c.retries++
	return c.wait
}

// maxDrain is the greatest body in bytes that is read to its end for the sake of the connection.
const maxDrain = 64 << 10

// finish closes the body. One that is known to be short is read to its end, so that the connection can be used again;
// others may never end.
func finish(resp *http.Response) {
	if 0 < resp.ContentLength && resp.ContentLength <= maxDrain {
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	resp.Body.Close()
}

// receive handles the answer of the last try.
func (c *call) receive(resp *http.Response) error {
	defer finish(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return c.statusError(resp)
	}
	if c.read == nil {
		return nil
	}
	err := c.read(&Answer{Header: resp.Header, Status: resp.StatusCode, call: c, body: resp.Body})
	if _, broken := errors.AsType[*readError](err); !broken {
		c.final = err
	}
	return err
}

// fail makes the error of a call whose tries are used up, or whose last try is not worth repeating.
func (c *call) fail(resp *http.Response, err error, _ int) (*http.Response, error) {
	if resp != nil {
		defer resp.Body.Close()
	}
	if err == nil {
		return nil, c.statusError(resp)
	}
	return nil, c.transportError(err)
}
