package reporter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Time limits of one try.
const (
	DefaultConnectTimeout = 3 * time.Second  // name resolution and connection
	DefaultReadTimeout    = 10 * time.Second // TLS handshake; answer
)

// caFiles are the places where distributions keep the certificates they trust.
var caFiles = []string{
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
}

// CAError says that the file with the trusted certificates cannot be used. The file may yet appear.
type CAError struct {
	File string
	Err  error
}

// Error names the file.
func (e *CAError) Error() string { return fmt.Sprintf("CA file %s: %v", e.File, e.Err) }

// Unwrap returns what is wrong with it.
func (e *CAError) Unwrap() error { return e.Err }

// Transport is the way to the gateway. Each request has a connection of its own, redirects and retries are
// left to the caller, and a proxy comes from the environment. It is safe for concurrent use.
//
// The CA file is looked at before each request, and read again when it has changed.
type Transport struct {
	CAFile             string        // PEM, trusted beside the system's; "" means the first that exists of the usual ones
	ConnectTimeout     time.Duration // 0 means DefaultConnectTimeout
	ReadTimeout        time.Duration // 0 means DefaultReadTimeout
	InsecureSkipVerify bool

	dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil means the network

	mu   sync.Mutex
	ca   caStamp
	pool *x509.CertPool // as of ca
}

// caStamp tells one state of a CA file from another.
type caStamp struct {
	file string
	time time.Time
	size int64
}

// RoundTrip sends one request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	read := orDefault(t.ReadTimeout, DefaultReadTimeout)
	tr := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           t.dialContext,
		TLSHandshakeTimeout:   read,
		ResponseHeaderTimeout: read,
		DisableKeepAlives:     true,
		DisableCompression:    true,
	}
	if req.URL.Scheme == "https" {
		roots, err := t.roots()
		if err != nil {
			return nil, err
		}
		tr.TLSClientConfig = &tls.Config{
			RootCAs:            roots,
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // a setting that warns at every start
		}
	}
	return tr.RoundTrip(req)
}

func (t *Transport) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(t.ConnectTimeout, DefaultConnectTimeout))
	defer cancel()
	if t.dial != nil {
		return t.dial(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// roots returns the certificates to trust now.
func (t *Transport) roots() (*x509.CertPool, error) {
	if t.InsecureSkipVerify {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	stamp, err := t.findCA()
	if err != nil {
		return nil, err
	}
	if t.pool != nil && stamp == t.ca {
		return t.pool, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // no directory of the system's can be read
		pool = x509.NewCertPool()
	}
	if stamp.file != "" {
		pem, err := os.ReadFile(stamp.file)
		if err != nil {
			return nil, &CAError{stamp.file, cause(err)}
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &CAError{stamp.file, errors.New("no certificate in it")}
		}
	}
	t.pool, t.ca = pool, stamp
	return pool, nil
}

// findCA returns the state of the CA file, or none if there is no file and none was asked for.
func (t *Transport) findCA() (caStamp, error) {
	files := caFiles
	if t.CAFile != "" {
		files = []string{t.CAFile}
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err == nil {
			return caStamp{file, info.ModTime(), info.Size()}, nil
		}
		if t.CAFile != "" {
			return caStamp{}, &CAError{file, cause(err)}
		}
	}
	return caStamp{}, nil
}

// cause strips the operation and path from a file system error.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
