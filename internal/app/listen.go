package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// ListenConfig is where and how a server listens.
type ListenConfig struct {
	Addr     string // host:port; port 0 picks one
	CertFile string // TLS certificate and key; both or none
	KeyFile  string
	ClientCA string // PEM bundle: clients must present a certificate signed by it
	Insecure bool   // allow plain HTTP on an address other machines can reach
}

// Bind defines the flags of the configuration.
func (c *ListenConfig) Bind(f *Flags, def string) {
	f.StringEnv(&c.Addr, "listen", "BOS_LISTEN", def, "address to listen on; port 0 picks a free one")
	f.StringEnv(&c.CertFile, "tls-cert", "BOS_TLS_CERT", "", "TLS certificate, PEM")
	f.StringEnv(&c.KeyFile, "tls-key", "BOS_TLS_KEY", "", "TLS key, PEM")
	f.StringEnv(&c.ClientCA, "tls-client-ca", "BOS_TLS_CLIENT_CA", "", "accept only clients with a certificate of this authority, PEM")
	f.BoolVar(&c.Insecure, "insecure", false, "allow plain HTTP without client authentication on a public address, as inside a service mesh")
}

// Listen opens the address. Its errors say what to do.
func (c *ListenConfig) Listen(ctx context.Context) (net.Listener, error) {
	host, _, err := net.SplitHostPort(c.Addr)
	switch {
	case err != nil:
		return nil, UsageErrorf("--listen %q is not host:port, such as 127.0.0.1:9000 or :9000", c.Addr)
	case (c.CertFile == "") != (c.KeyFile == ""):
		return nil, UsageErrorf("--tls-cert and --tls-key go together")
	case c.ClientCA != "" && c.CertFile == "":
		return nil, UsageErrorf("--tls-client-ca needs --tls-cert and --tls-key")
	case !isLoopback(host) && c.ClientCA == "" && !c.Insecure:
		return nil, UsageErrorf("%s can be reached from other machines and would serve everybody: add --tls-cert, --tls-key and --tls-client-ca, or --insecure if a service mesh or gateway guards it", c.Addr)
	}
	var tlsConfig *tls.Config
	if c.CertFile != "" {
		if tlsConfig, err = c.tls(); err != nil {
			return nil, err
		}
	}
	ln, err := listenTCP(ctx, "--listen", c.Addr)
	if err != nil {
		return nil, err
	}
	if tlsConfig != nil {
		ln = tls.NewListener(ln, tlsConfig)
	}
	return ln, nil
}

// listenTCP opens the address that a flag names.
func listenTCP(ctx context.Context, flag, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program: stop it or choose another %s address", addr, flag)
	case err != nil:
		if _, ok := errors.AsType[*net.AddrError](err); ok {
			return nil, UsageErrorf("%s %s: %v", flag, addr, err)
		}
		if _, ok := errors.AsType[*net.DNSError](err); ok {
			return nil, UsageErrorf("%s %s: there is no such address or port", flag, addr)
		}
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return ln, nil
}

func (c *ListenConfig) tls() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, UsageErrorf("--tls-cert %s, --tls-key %s: %v", c.CertFile, c.KeyFile, err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.ClientCA != "" {
		if conf.ClientCAs, err = readAuthorities("--tls-client-ca", c.ClientCA); err != nil {
			return nil, err
		}
		conf.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return conf, nil
}

// readAuthorities reads the PEM file that a flag names.
func readAuthorities(flag, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, UsageErrorf("%s: %v", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, UsageErrorf("%s %s holds no PEM certificate", flag, path)
	}
	return pool, nil
}

// URL returns the address a listener can be reached at.
func (c *ListenConfig) URL(ln net.Listener) string {
	scheme := "http"
	if c.CertFile != "" {
		scheme = "https"
	}
	host, port, _ := net.SplitHostPort(ln.Addr().String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if name, _, _ := net.SplitHostPort(c.Addr); name != "" && net.ParseIP(name) == nil {
			host = name
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// How a stopping server ends, each counted from the moment it is told to.
const (
	cancelTime = 1200 * time.Millisecond // requests that still wait for something are told that there is no more time
	drainTime  = 1500 * time.Millisecond // connections that are still open are cut
)

// errStopping is why the context of a request ends while the server stops.
var errStopping = fmt.Errorf("the server stops: %w", bos.ErrUnavailable)

// ServeHTTP serves until ctx ends, then refuses new work, finishes the requests in hand for a bounded time and returns.
// A handler with streams that never end has to watch ctx itself: nothing can be finished before they are.
func ServeHTTP(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	requests, cancelRequests := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelRequests(nil)
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	impatient := time.AfterFunc(cancelTime, func() { cancelRequests(errStopping) })
	defer impatient.Stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		srv.Close()
	}
	return nil
}
