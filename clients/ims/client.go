package ims

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// Config says how to speak to the service. The zero value works; Retries then is 4.
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

// Client is an ImageClient over HTTP. It is safe for concurrent use.
type Client struct{ rest *rest.Client }

var _ ImageClient = (*Client)(nil)

// defaultArch is the architecture of a record that names none. Source: IMS API, ImageRecord.arch.
const defaultArch = "x86_64"

// New returns a client of IMS at baseURL, such as "http://cray-ims/v3". No request is made. Errors match
// bos.ErrInvalid.
func New(baseURL string, cfg Config) (*Client, error) {
	if cfg.Retries == nil {
		cfg.Retries = func() int { return 4 }
	}
	c, err := rest.New("ims", baseURL, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Image implements ImageClient.
func (c *Client) Image(ctx context.Context, id string) (Image, error) {
	path, err := imagePath(id)
	if err != nil {
		return Image{}, err
	}
	var record struct {
		ID       string            `json:"id"`
		Name     string            `json:"name"`
		Arch     string            `json:"arch"`
		Metadata map[string]string `json:"metadata"`
	}
	err = c.rest.Do(ctx, rest.Request{Method: http.MethodGet, Path: path}, func(a *rest.Answer) error {
		if err := rest.JSON(&record)(a); err != nil {
			return err
		}
		if record.ID == "" {
			return a.Malformed(errors.New("no member 'id'"), nil)
		}
		return nil
	})
	if err != nil {
		return Image{}, explain(id, err)
	}
	if record.Arch == "" {
		c.rest.Config().Log.Warn("image record without an architecture", "image", id, "assumed", defaultArch)
		record.Arch = defaultArch
	}
	if record.Metadata == nil {
		record.Metadata = map[string]string{}
	}
	return Image(record), nil
}

// Tag implements ImageClient.
func (c *Client) Tag(ctx context.Context, id, key, value string) error {
	path, err := imagePath(id)
	if err != nil {
		return err
	}
	body := map[string]any{"metadata": map[string]string{"operation": "set", "key": key, "value": value}}
	var ignored map[string]any // the changed record
	return explain(id, c.rest.Do(ctx, rest.Request{Method: http.MethodPatch, Path: path, Body: body}, rest.OptionalJSON(&ignored)))
}

// imagePath returns the path of an image; an id that would lead elsewhere is unknown.
func imagePath(id string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", fmt.Errorf("IMS image id '%s' does not exist in IMS: %w", id, bos.ErrNotFound)
	}
	return "images/" + url.PathEscape(id), nil
}

// explain puts a missing image into the words of the reference.
func explain(id string, err error) error {
	err = rest.CheckRoute(err)
	if errors.Is(err, bos.ErrNotFound) {
		return fmt.Errorf("IMS image id '%s' does not exist in IMS: %w", id, err)
	}
	return err
}
