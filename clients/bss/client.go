package bss

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// Config says how to speak to the service; the zero value works.
//
// It says how long to wait (Timeout, ConnectTimeout), how often to try (Retries, RetryBudget, RetryWait, Jitter), how much
// at a time (MaxInFlight, MaxNodes), when to leave a service alone (BreakAfter, BreakFor), who asks (Token, TokenFile,
// CertFile, KeyFile), whom to trust (CAFile, InsecureSkipVerify), and Transport and Log. Each field is explained by
//
//	go doc github.com/bootorch/bosgo/internal/rest.Config
type Config = rest.Config

// Error is what a call of the service fails with; it carries the service's own words, and tells a time-out and a malformed
// answer from other failures.
type Error = rest.Error

// Client is a BootClient over HTTP. It is safe for concurrent use.
type Client struct{ rest *rest.Client }

var _ BootClient = (*Client)(nil)

// New returns a client of BSS at baseURL, such as "http://cray-bss/boot/v1". No request is made. Errors match
// bos.ErrInvalid.
func New(baseURL string, cfg Config) (*Client, error) {
	c, err := rest.New("bss", baseURL, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// SetBootParameters implements BootClient. It is one request, so that all ids share the token; a retry makes BSS hand
// out another one, and the last answer counts.
func (c *Client) SetBootParameters(ctx context.Context, ids []bos.ComponentID, a bos.BootArtifacts) (bos.BSSToken, error) {
	if len(ids) == 0 || slices.Contains(ids, "") {
		return "", &bos.FieldError{Field: "ids", Reason: "boot parameters need at least one node, and each needs a name"}
	}
	if strings.Contains(" "+a.KernelParameters, " bss_referral_token=") { // BSS appends its own only where there is none
		c.rest.Config().Log.Warn("the kernel parameters hold a bss_referral_token: nodes will report that one, and BOS will not know what they booted", "nodes", len(ids), "kernel", a.Kernel)
	}
	body := struct {
		Hosts  []bos.ComponentID `json:"hosts"`
		Params string            `json:"params"`
		Kernel string            `json:"kernel"`
		Initrd string            `json:"initrd"`
	}{rest.Distinct(ids), a.KernelParameters, a.Kernel, a.Initrd}
	var token bos.BSSToken
	err := c.rest.Do(ctx, rest.Request{Method: http.MethodPut, Path: "bootparameters", Body: body}, func(a *rest.Answer) error {
		if token = bos.BSSToken(strings.TrimSpace(a.Header.Get("BSS-Referral-Token"))); token == "" {
			return a.Malformed(errors.New("no header BSS-Referral-Token"), nil)
		}
		return nil
	})
	return token, err
}
