package rest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// Config says how to speak to a service. The zero value works. Functions are called at each use, so that what they
// return may change while the client is in use; they must be safe for concurrent use.
type Config struct {
	// Timeout is the longest silence of the service, before its answer begins and between two pieces of it. It does not
	// limit the answer as a whole. Nil means 20 s, and so does a result that is not positive.
	Timeout func() time.Duration
	// ConnectTimeout bounds the making of a connection, and the TLS handshake on it. Zero means 3 s.
	ConnectTimeout time.Duration
	// Retries is how often a failed try is repeated at most. Nil means 10.
	Retries func() int
	// RetryBudget ends a call's retries: none begins later than this after the call began. Zero means 10 s, since the
	// callers' own loops are the long retry; negative means no such limit.
	RetryBudget time.Duration
	// RetryWait is the wait before the second retry; the first follows at once, later ones wait twice as long as the
	// one before, up to 120 times RetryWait. Zero means 1 s.
	RetryWait time.Duration
	// Jitter varies a wait, lest many clients come back at once. Nil adds up to a tenth.
	Jitter func(time.Duration) time.Duration

	// MaxInFlight bounds the requests under way at the same time; others wait their turn. Zero means 8.
	MaxInFlight int
	// BreakAfter is how many calls in a row must meet an outage before further calls fail at once, without asking the
	// service. Zero means 5, negative never.
	BreakAfter int
	// BreakFor is how long they do so before one call is let through to see whether the service is back. Zero means 2 s.
	BreakFor time.Duration

	// Token returns the bearer token to send; an empty one is not sent. Nil means TokenFile.
	Token func(ctx context.Context) (string, error)
	// TokenFile holds the bearer token; it is read again when it changes. Empty means no token.
	TokenFile string
	// CAFile holds PEM certificates to trust besides those of the system; it is read again when it changes.
	CAFile string
	// CertFile and KeyFile hold the client's own certificate and its key, in PEM; they are read again when they change.
	CertFile, KeyFile string
	// InsecureSkipVerify accepts any certificate of the service.
	InsecureSkipVerify bool
	// Transport sends the requests instead of the network; then nothing above about connections and TLS applies.
	Transport http.RoundTripper

	// MaxNodes bounds the nodes of one request to PCS; other services ignore it. Nil means 1000.
	MaxNodes func() int

	// Log takes a debug record per retry and warnings about odd answers. Nil discards.
	Log *slog.Logger
}

// Defaults of Config.
const (
	defaultTimeout        = 20 * time.Second
	defaultConnectTimeout = 3 * time.Second
	defaultRetries        = 10
	defaultRetryBudget    = 10 * time.Second
	defaultRetryWait      = time.Second
	defaultMaxInFlight    = 8
	defaultBreakAfter     = 5
	defaultBreakFor       = 2 * time.Second
	defaultMaxNodes       = 1000
)

// withDefaults fills in what is not set, so that the rest of the package can rely on it.
func (c Config) withDefaults() (Config, error) {
	timeout := c.Timeout
	c.Timeout = func() time.Duration {
		if timeout != nil {
			if d := timeout(); d > 0 {
				return d
			}
		}
		return defaultTimeout
	}
	if c.Retries == nil {
		c.Retries = func() int { return defaultRetries }
	}
	if c.Jitter == nil {
		c.Jitter = func(d time.Duration) time.Duration { return d + time.Duration(rand.Int64N(int64(d)/10+1)) }
	}
	if c.MaxNodes == nil {
		c.MaxNodes = func() int { return defaultMaxNodes }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.ConnectTimeout, defaultConnectTimeout)
	setDefault(&c.RetryBudget, defaultRetryBudget)
	setDefault(&c.RetryWait, defaultRetryWait)
	setDefault(&c.MaxInFlight, defaultMaxInFlight)
	setDefault(&c.BreakAfter, defaultBreakAfter)
	setDefault(&c.BreakFor, defaultBreakFor)
	if c.Token == nil && c.TokenFile != "" {
		c.Token = (&tokenFile{path: c.TokenFile}).read
	}
	if c.Transport == nil {
		network, err := c.NetworkTransport()
		if err != nil {
			return Config{}, err
		}
		c.Transport = network
	}
	return c, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// NetworkTransport returns a transport over the network with the configured connect time-out and TLS; changed certificate
// files take effect on the next request. It speaks HTTP/1.1 alone, so that a connection which stalls holds up one request.
// It uses the proxy that the environment names. The error, which matches bos.ErrInvalid, names a file that cannot be used.
func (c Config) NetworkTransport() (http.RoundTripper, error) {
	setDefault(&c.ConnectTimeout, defaultConnectTimeout)
	setDefault(&c.MaxInFlight, defaultMaxInFlight)
	files := c.stamps() // before reading them: a change in between is found later
	settings, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        settings,
		TLSHandshakeTimeout:    c.ConnectTimeout,
		MaxIdleConnsPerHost:    c.MaxInFlight,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if c.CAFile == "" && c.CertFile == "" && c.KeyFile == "" {
		return t, nil
	}
	return &reloading{config: c, log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)), now: t, files: files}, nil
}

func badConfig(format string, args ...any) error {
	return &bos.FieldError{Reason: fmt.Sprintf(format, args...)}
}
