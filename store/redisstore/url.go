package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

// target is what a URL says.
type target struct {
	addrs            []string // one server, or the sentinels
	master           string   // name of the master, with sentinels
	user, password   string
	sentinelPassword string
	tls              bool
}

// parseURL reads the URL of a Redis. Its errors match bos.ErrInvalid and never show the URL, which may hold a password.
func parseURL(text string) (*target, error) {
	invalid := func(reason string) error {
		return fmt.Errorf("redis URL: %s; write redis://[user:password@]host[:port], rediss://… for TLS or redis+sentinel://[user:password@]host[:port],…/master: %w", reason, bos.ErrInvalid)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, invalid("there is no scheme")
	}
	t := &target{}
	sentinel := false
	switch strings.ToLower(scheme) {
	case "redis":
	case "rediss":
		t.tls = true
	case "redis+sentinel":
		sentinel = true
	case "rediss+sentinel":
		t.tls, sentinel = true, true
	default:
		return nil, invalid("the scheme is unknown")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	hosts := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		hosts = authority[i+1:]
		user, password, _ := strings.Cut(authority[:i], ":")
		var errUser, errPassword error
		t.user, errUser = url.PathUnescape(user)
		t.password, errPassword = url.PathUnescape(password)
		if errUser != nil || errPassword != nil {
			return nil, invalid("user or password is not percent-encoded")
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := address(host, sentinel)
		if err != nil {
			return nil, invalid(err.Error())
		}
		t.addrs = append(t.addrs, addr)
	}
	switch {
	case sentinel && path == "":
		return nil, invalid("the name of the master is missing")
	case sentinel:
		t.master = path
	case len(t.addrs) > 1:
		return nil, invalid("several hosts need redis+sentinel://")
	case path != "" && path != "0":
		return nil, invalid("a database number is given, but BOS uses the databases 0 to 6")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, invalid("the part behind the question mark cannot be read")
	}
	for name := range values {
		if name != "sentinel_password" || !sentinel {
			return nil, invalid(fmt.Sprintf("the parameter %q is unknown", name))
		}
		t.sentinelPassword = values.Get(name)
	}
	return t, nil
}

// address completes host[:port].
func address(text string, sentinel bool) (string, error) {
	port := "6379"
	if sentinel {
		port = "26379"
	}
	host := text
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if host == "" {
		return "", errors.New("the host is missing")
	}
	if strings.Contains(host, ":") && !strings.Contains(text, "[") {
		return "", errors.New("the host is not readable")
	}
	return net.JoinHostPort(host, port), nil
}

// tlsConfig returns how to talk TLS, nil for not at all.
func (t *target) tlsConfig(caFile string) (*tls.Config, error) {
	if !t.tls {
		if caFile != "" {
			return nil, fmt.Errorf("a CA file is given, but the redis URL has no rediss://: %w", bos.ErrInvalid)
		}
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w: %w", bos.ErrInvalid, err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no PEM certificate: %w", caFile, bos.ErrInvalid)
	}
	return cfg, nil
}
