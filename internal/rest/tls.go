package rest

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// tlsConfig returns the TLS settings, with the files as they are now. The error matches bos.ErrInvalid.
func (c Config) tlsConfig() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify} //nolint:gosec // the administrator's explicit choice
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, badConfig("CA file: %v", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, badConfig("CA file %s holds no certificate", c.CAFile)
		}
		t.RootCAs = pool
	}
	if c.CertFile != "" || c.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, badConfig("client certificate: %v", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// reloading is a network transport that reads its certificates again when their files have changed: requests begun after
// that go over new connections. Files that cannot be used, perhaps because they are half written, leave it as it is.
type reloading struct {
	config Config
	log    *slog.Logger

	mu    sync.Mutex
	now   *http.Transport
	files []stamp // as they were when now was made, or could not be
}

// stamp tells two versions of a file apart; that of a missing file is zero.
type stamp struct {
	size    int64
	changed time.Time
}

func (c Config) stamps() []stamp {
	var all []stamp
	for _, path := range []string{c.CAFile, c.CertFile, c.KeyFile} {
		var s stamp
		if path != "" {
			if info, err := os.Stat(path); err == nil {
				s = stamp{info.Size(), info.ModTime().UTC()}
			}
		}
		all = append(all, s)
	}
	return all
}

func (r *reloading) current() *http.Transport {
	files := r.config.stamps()
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(files, r.files) {
		return r.now
	}
	r.files = files
	settings, err := r.config.tlsConfig()
	if err != nil {
		r.log.Warn("certificates have changed and cannot be used", "err", err)
		return r.now
	}
	r.log.Info("certificates have changed", "ca", r.config.CAFile, "certificate", r.config.CertFile)
	old := r.now
	r.now = old.Clone()
	r.now.TLSClientConfig = settings
	old.CloseIdleConnections()
	return r.now
}

// RoundTrip implements http.RoundTripper.
func (r *reloading) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.current().RoundTrip(req)
}

// CloseIdleConnections closes the connections that are idle.
func (r *reloading) CloseIdleConnections() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.CloseIdleConnections()
}
