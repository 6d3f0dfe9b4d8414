// Package s3manifest reads boot images from an S3 object store. It is apart from package manifest so that only who wants
// it depends on an S3 library.
package s3manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/internal/rest"
)

// Config says where the images are. Without an Endpoint every call fails with a clear error, so that a process which
// needs no images starts without one.
type Config struct {
	// Endpoint is the URL of the object store, such as "https://rgw-vip"; it may have a path.
	Endpoint string
	// AccessKey and SecretKey sign the requests; with neither they are anonymous.
	AccessKey, SecretKey string
	// Region is part of the signature. Empty means "us-east-1"; Ceph accepts any.
	Region string

	// CAFile holds PEM certificates to trust besides those of the system; it is read again when it changes.
	CAFile string
	// InsecureSkipVerify accepts any certificate, as the reference does.
	InsecureSkipVerify bool

	// ConnectTimeout bounds the making of a connection. Zero means 60 s.
	ConnectTimeout time.Duration
	// Timeout is the longest silence of the store. Zero means 60 s.
	Timeout time.Duration
	// RetryBudget ends the retries of a call: none begins later than this after the call began. Zero means 10 s,
	// negative no retries.
	RetryBudget time.Duration
	// RetryWait is the wait before the second retry; the first follows at once, later ones wait twice as long as the
	// one before. Zero means 1 s.
	RetryWait time.Duration
	// BreakAfter is how many calls in a row must meet an outage before further calls fail at once, without asking the
	// store. Zero means 5, negative never.
	BreakAfter int
	// BreakFor is how long they do so before one call is let through to see whether the store is back. Zero means 2 s.
	BreakFor time.Duration
	// Transport sends the requests instead of the network.
	Transport http.RoundTripper

	// Log is told when the store goes away, when it is back, and of certificates that have changed. Nil discards.
	Log *slog.Logger

	unset []string // variables that FromEnv missed
}

// The variables of the environment, all of which the reference demands. Source: CSM, S3 credentials.
const (
	envProtocol  = "S3_PROTOCOL"
	envGateway   = "S3_GATEWAY"
	envAccessKey = "S3_ACCESS_KEY"
	envSecretKey = "S3_SECRET_KEY" //nolint:gosec // the name of a variable, not a secret
)

// FromEnv returns the configuration that the environment describes. A variable that is missing is an error of each call,
// not of New.
func FromEnv(getenv func(string) string) Config {
	c := Config{AccessKey: getenv(envAccessKey), SecretKey: getenv(envSecretKey)}
	for _, name := range []string{envProtocol, envGateway, envAccessKey, envSecretKey} {
		if getenv(name) == "" {
			c.unset = append(c.unset, name)
		}
	}
	if len(c.unset) == 0 {
		c.Endpoint = getenv(envProtocol) + "://" + getenv(envGateway)
	}
	return c
}

// maxParameters is the greatest size of a boot-parameters object in bytes; a kernel command line has a few KiB.
const maxParameters = 1 << 20

// Client is a manifest.Reader of an S3 object store. It is safe for concurrent use.
type Client struct {
	cfg     Config
	s3      *s3.Client
	breaker *rest.Breaker
	unfit   error // why no call can succeed
}

var _ manifest.Reader = (*Client)(nil)

// New returns a client of the object store. No request is made. The error, which matches bos.ErrInvalid, names a setting
// that is wrong; one that is missing is an error of each call.
func New(cfg Config) (*Client, error) {
	switch {
	case len(cfg.unset) > 0:
		return &Client{unfit: unconfigured("%s not set", strings.Join(cfg.unset, ", "))}, nil
	case cfg.Endpoint == "":
		return &Client{unfit: unconfigured("no endpoint given")}, nil
	case (cfg.AccessKey == "") != (cfg.SecretKey == ""):
		return &Client{unfit: unconfigured("an access key and a secret key belong together, one of them is missing")}, nil
	}
	base, err := rest.ParseBase(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	for _, d := range []struct {
		v    *time.Duration
		zero time.Duration
	}{
		{&cfg.ConnectTimeout, time.Minute}, {&cfg.Timeout, time.Minute}, {&cfg.RetryBudget, 10 * time.Second}, {&cfg.RetryWait, time.Second},
		{&cfg.BreakFor, 2 * time.Second},
	} {
		*d.v = cmp.Or(*d.v, d.zero)
	}
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	httpClient, err := rest.HTTPClient(rest.Config{
		Timeout: func() time.Duration { return cfg.Timeout }, ConnectTimeout: cfg.ConnectTimeout,
		CAFile: cfg.CAFile, InsecureSkipVerify: cfg.InsecureSkipVerify, Transport: cfg.Transport,
		Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	var creds aws.CredentialsProvider = aws.AnonymousCredentials{}
	if cfg.AccessKey != "" {
		creds = credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, "")
	}
	outage := func(err error) bool { return errors.Is(err, bos.ErrUnavailable) }
	breaker := rest.NewBreaker("s3", cmp.Or(cfg.BreakAfter, 5), cfg.BreakFor, cfg.Log, outage)
	return &Client{cfg: cfg, breaker: breaker, s3: s3.New(s3.Options{
		BaseEndpoint: new(base.String()), Region: cfg.Region, UsePathStyle: true, Credentials: creds, HTTPClient: httpClient,
		Retryer:                    aws.NopRetryer{}, // retry does that
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})}, nil
}

func unconfigured(format string, args ...any) error {
	return &bos.FieldError{Reason: "S3 is not configured: " + fmt.Sprintf(format, args...)}
}

// Manifest implements manifest.Reader.
func (c *Client) Manifest(ctx context.Context, typ, path string) (*manifest.Manifest, error) {
	if err := manifest.CheckType(typ); err != nil {
		return nil, err
	}
	text, size, err := c.get(ctx, path, manifest.MaxSize)
	if err != nil {
		return nil, manifest.UnreadableManifest(path, err)
	}
	if size > manifest.MaxSize {
		return nil, manifest.TooBig(path, size)
	}
	return manifest.Decode(path, text)
}

// BootParameters implements manifest.Reader.
func (c *Client) BootParameters(ctx context.Context, a manifest.Artifact) (string, error) {
	text, size, err := c.get(ctx, a.Path, maxParameters)
	if err != nil {
		return "", manifest.UnreadableObject(a.Path, err)
	}
	if size > maxParameters {
		return "", manifest.UnreadableObject(a.Path, &bos.FieldError{Reason: fmt.Sprintf("%d bytes are too many for boot parameters.", size)})
	}
	return manifest.DecodeBootParameters(a.Path, text)
}

// Head implements manifest.Reader.
func (c *Client) Head(ctx context.Context, path string) (etag string, err error) {
	err = c.retry(ctx, path, "HEAD", func(bucket, key string) error {
		out, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
		if err == nil {
			etag = strings.Trim(aws.ToString(out.ETag), `"`)
		}
		return err
	})
	return etag, err
}

// get reads an object. One larger than limit is not read; size then says how large it is, as far as known.
func (c *Client) get(ctx context.Context, path string, limit int64) (text []byte, size int64, err error) {
	err = c.retry(ctx, path, "GET", func(bucket, key string) error {
		out, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		if size = aws.ToInt64(out.ContentLength); size > limit {
			return nil
		}
		text, err = io.ReadAll(io.LimitReader(out.Body, limit+1))
		size = int64(len(text))
		return err
	})
	return text, size, err
}

// retry calls do, again after an outage as long as the budget lasts, and puts its error into the terms of package bos. It
// does not if the store has been away for a while.
func (c *Client) retry(ctx context.Context, path, method string, do func(bucket, key string) error) error {
	if c.unfit != nil {
		return c.unfit
	}
	bucket, key, err := manifest.ParsePath(path)
	if err != nil {
		return err
	}
	err = c.breaker.Do(ctx, func() error {
		return c.tries(ctx, path, method, func() error { return do(bucket, key) })
	})
	if open, ok := err.(*rest.OpenError); ok { //nolint:errorlint // the breaker's own
		return fmt.Errorf("s3: %s %s: %w: %s", method, path, bos.ErrUnavailable, open.Error())
	}
	return err
}

// tries calls do until it succeeds, fails for good, or has used up the budget.
func (c *Client) tries(ctx context.Context, path, method string, do func() error) error {
	began, wait := time.Now(), time.Duration(0)
	for {
		err := do()
		if err == nil {
			return nil
		}
		err = explain(err, method, path)
		if !errors.Is(err, bos.ErrUnavailable) || ctx.Err() != nil || time.Since(began)+wait > c.cfg.RetryBudget {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = max(c.cfg.RetryWait, 2*wait)
	}
}

// explain makes the error of a request that failed. The library's own text is long and names nothing that helps.
func explain(err error, method, path string) error {
	sentinel, words := bos.ErrUnavailable, ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		words = strings.TrimSpace(api.ErrorCode() + " " + api.ErrorMessage())
	}
	if resp, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok && resp.HTTPStatusCode() != 0 { // 0 = no answer
		switch status := resp.HTTPStatusCode(); {
		case status == http.StatusNotFound:
			sentinel = bos.ErrNotFound
		case status == http.StatusForbidden, status == http.StatusUnauthorized:
			sentinel = bos.ErrForbidden
		case status >= 400 && status < 500 && status != http.StatusTooManyRequests:
			sentinel = bos.ErrInvalid
		}
		if words == "" {
			words = http.StatusText(resp.HTTPStatusCode())
		}
		return fmt.Errorf("s3: %s %s: %d %s: %w", method, path, resp.HTTPStatusCode(), rest.Excerpt([]byte(words)), sentinel)
	}
	cause := err
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
		cause = next
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("s3: %s %s: %w", method, path, context.Canceled)
	}
	return fmt.Errorf("s3: %s %s: %w: %s", method, path, bos.ErrUnavailable, rest.Excerpt([]byte(cause.Error())))
}
