package fleet

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

// tokenPath is the token endpoint of the realm in which all users of a machine are.
const tokenPath = "/keycloak/realms/shasta/protocol/openid-connect/token" //nolint:gosec // a path

const (
	tokenLife   = time.Hour // of an access token and of a node's identity token
	refreshLife = 10 * time.Hour
)

// claims is what the machine writes into a token and reads from one. Nobody signs
// tokens here, and nobody checks a signature: any bearer token will do.
type claims struct {
	Issuer   string `json:"iss,omitempty"`
	Subject  string `json:"sub,omitempty"`
	Audience string `json:"aud,omitempty"`
	Kind     string `json:"typ,omitempty"` // Bearer or Refresh
	Client   string `json:"azp,omitempty"`
	ID       string `json:"jti,omitempty"`
	Issued   int64  `json:"iat,omitempty"` // seconds since 1970
	Expires  int64  `json:"exp,omitempty"`
}

// sign makes a token in the form of a JWT.
func (c claims) sign() string {
	payload, _ := json.Marshal(c)
	text := base64.RawURLEncoding.EncodeToString
	return text([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + text(payload) + "." + text([]byte("simulated"))
}

// readClaims reads a token; what is no JWT has no claims.
func readClaims(token string) (c claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	return c
}

// workload is the SPIFFE id of a program on a node, with xname validation.
var workload = regexp.MustCompile(`^spiffe://[^/]+/[^/]+/([^/]+)/workload/`)

// node is the xname of the node that a token is for; empty for everybody else.
func (c claims) node() string {
	if m := workload.FindStringSubmatch(c.Subject); m != nil {
		return canonical(m[1])
	}
	return ""
}

// stamp completes the claims of a token that is issued now, and returns how long it is valid. m.mu is
// held.
func (m *Machine) stamp(c *claims, now time.Time, life time.Duration) time.Duration {
	if f := m.lasting("expire_tokens_after"); f != nil && c.Kind != "Refresh" {
		life = f.duration
	}
	c.ID, c.Issued, c.Expires = m.newID(), now.Unix(), now.Add(life).Unix()
	return life
}

// NodeToken returns a new identity token, as the SPIRE agent on the node gives one to
// the node's reporters. It fails for an unknown node and during spire_unavailable.
func (m *Machine) NodeToken(xname string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.byXname[canonical(xname)]
	switch {
	case n == nil:
		return "", m.noNode(xname)
	case m.has(n, "spire_unavailable") != nil:
		return "", fmt.Errorf("%s: the SPIRE agent gives no token", xname)
	}
	c := claims{
		Issuer: "http://spire.local/shasta/vshastaio", Audience: "system-compute",
		Subject: "spiffe://shasta/compute/" + n.xname + "/workload/bos-reporter",
	}
	m.stamp(&c, m.time(), tokenLife)
	return c.sign(), nil
}

// controlToken is GET /_sim/nodes/{xname}/token: the bare token.
func (m *Machine) controlToken(w http.ResponseWriter, r *http.Request) {
	xname := r.PathValue("xname")
	if _, ok := m.Node(xname); !ok {
		problem(w, http.StatusNotFound, m.noNode(xname).Error())
		return
	}
	token, err := m.NodeToken(xname)
	if err != nil {
		problem(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(token + "\n"))
}

// issueToken is the token endpoint. Any secret and any password will do, but not none.
func (m *Machine) issueToken(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	fail := func(status int, code, description string) {
		writeJSON(w, status, map[string]string{"error": code, "error_description": description})
	}
	if err := r.ParseForm(); err != nil {
		fail(http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	form := r.PostForm
	client, secret := form.Get("client_id"), form.Get("client_secret")
	if id, password, ok := r.BasicAuth(); ok && client == "" {
		client, secret = id, password
	}
	subject := client
	switch grant := form.Get("grant_type"); grant {
	case "":
		fail(http.StatusBadRequest, "invalid_request", "Missing form parameter: grant_type")
		return
	case "client_credentials":
		if client == "" || secret == "" {
			fail(http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials")
			return
		}
	case "password":
		subject = form.Get("username")
		switch {
		case client == "":
			fail(http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials")
			return
		case subject == "" || form.Get("password") == "":
			fail(http.StatusUnauthorized, "invalid_grant", "Invalid user credentials")
			return
		}
	case "refresh_token":
		c := readClaims(form.Get("refresh_token"))
		if c.Kind != "Refresh" || c.Client != client || !m.time().Before(time.Unix(c.Expires, 0)) {
			fail(http.StatusBadRequest, "invalid_grant", "Invalid refresh token")
			return
		}
		subject = c.Subject
	default:
		fail(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant_type")
		return
	}
	issuer := "https://" + r.Host + "/keycloak/realms/shasta"
	access := claims{Issuer: issuer, Subject: subject, Client: client, Kind: "Bearer"}
	refresh := claims{Issuer: issuer, Subject: subject, Client: client, Kind: "Refresh"}
	m.mu.Lock()
	now := m.serviceTime(keycloak)
	life, again := m.stamp(&access, now, tokenLife), m.stamp(&refresh, now, refreshLife)
	m.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": access.sign(), "expires_in": int(life.Seconds()), "refresh_token": refresh.sign(), "refresh_expires_in": int(again.Seconds()),
		"token_type": "Bearer", "scope": "profile email",
	})
}

// authorised checks the bearer token of a request; else it has answered. A request to
// the gateway is also subject to its policy.
func (m *Machine) authorised(service string, a *answer, r *http.Request) bool {
	deny := func(status int, text string) bool {
		a.header.Set("Content-Type", "text/plain")
		a.WriteHeader(status)
		_, _ = a.Write([]byte(text))
		return false
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		a.header.Set("WWW-Authenticate", `Bearer realm="shasta"`)
		return deny(http.StatusUnauthorized, "Jwt is missing")
	}
	c := readClaims(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.expired(token, c):
		a.header.Set("WWW-Authenticate", `Bearer realm="shasta", error="invalid_token"`)
		return deny(http.StatusUnauthorized, "Jwt is expired")
	case service == gateway && c.node() != "" && canonical(path.Base(r.URL.Path)) != c.node() && m.serviceFault(gateway, "deny_xname_mismatch") != nil:
		return deny(http.StatusForbidden, "RBAC: access denied")
	}
	return true
}

// expired reports whether the time of a token is over: the one it names itself, or
// that of expire_tokens_after, which runs from its issue, or from its first use when
// it does not say when that was. m.mu is held.
func (m *Machine) expired(token string, c claims) bool {
	now := m.serviceTime(gateway)
	if c.Expires > 0 && !now.Before(time.Unix(c.Expires, 0)) {
		return true
	}
	f := m.lasting("expire_tokens_after")
	if f == nil {
		return false
	}
	born := time.Unix(c.Issued, 0)
	if c.Issued == 0 {
		if len(f.seen) >= maxSeenTokens {
			clear(f.seen)
		}
		if _, ok := f.seen[token]; !ok {
			f.seen[token] = now
		}
		born = f.seen[token]
	}
	return now.Sub(born) >= f.duration
}

// maxSeenTokens bounds the memory of tokens without a date of issue.
const maxSeenTokens = 100_000
