package reporter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// Report is what one node says to BOS: "this token is what I booted".
type Report struct {
	ID       string // the component's id, its xname
	BSSToken string // the value of bss_referral_token
}

// Method is the HTTP method of a report.
const Method = http.MethodPatch

// Path returns the path of the report below the API's base, "/v2/components/<id>".
func (r Report) Path() string { return "/v2/components/" + url.PathEscape(r.ID) }

// Body returns the JSON document that is sent. The id in it repeats the one in the path.
func (r Report) Body() []byte {
	var body struct {
		ID          string `json:"id"`
		ActualState struct {
			BSSToken string `json:"bss_token"`
		} `json:"actual_state"`
	}
	body.ID, body.ActualState.BSSToken = r.ID, r.BSSToken
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // two strings always have a JSON form
	}
	return b
}

// Request returns the HTTP request of the report. base is the API's address without "/v2", such as
// "https://gw/apis/bos". With an empty bearer there is no Authorization header.
func (r Report) Request(ctx context.Context, base, bearer string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, Method, base+r.Path(), bytes.NewReader(r.Body()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "bos-reporter")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return req, nil
}

var validID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,127}$`)

// CheckID returns an error unless id may be a component's id: 1 to 127 letters, digits, dots, underscores and
// hyphens. The names "." and ".." are refused, since they would change the path.
func CheckID(id string) error {
	if !validID.MatchString(id) || id == "." || id == ".." {
		return fmt.Errorf("%.140q is not an xname", id)
	}
	return nil
}

// BaseURL joins the gateway and the path of the API below it, such as "gw:8443" and "/apis/bos". The gateway is a host,
// host:port, or a URL; plain http is allowed only if insecure is set.
func BaseURL(gateway, basePath string, insecure bool) (string, error) {
	if !strings.Contains(gateway, "://") {
		gateway = "https://" + gateway
	}
	u, err := url.Parse(gateway)
	switch {
	case err != nil:
		return "", errors.New("not a host or URL") // the parser's own text may repeat a password
	case u.Host == "" || u.Hostname() == "":
		return "", errors.New("no host in it")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("only scheme, host, port and path are allowed")
	case u.Scheme == "http" && !insecure:
		return "", errors.New("plain http needs insecure_http")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("unknown scheme %q", u.Scheme)
	}
	u = u.JoinPath(basePath)
	return strings.TrimRight(u.String(), "/"), nil
}

// loopbackHTTP tells whether api is plain http to this machine itself.
func loopbackHTTP(api string) bool {
	u, err := url.Parse(api)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}
