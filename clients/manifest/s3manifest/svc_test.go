package s3manifest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
)

const path = "s3://boot-images/6f1a/manifest.json"

// roundTripper is an object store in memory.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(r *http.Request, status int, body io.Reader, length int64) *http.Response {
	h := http.Header{"Etag": {`"dcaa-131"`}}
	if length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	return &http.Response{
		StatusCode: status, Header: h, Body: io.NopCloser(body), ContentLength: length, Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}
}

func client(t *testing.T, cfg s3manifest.Config) *s3manifest.Client {
	t.Helper()
	if cfg.Endpoint == "" {
		cfg.Endpoint, cfg.AccessKey, cfg.SecretKey = "https://rgw-vip", "key", "secret"
	}
	c, err := s3manifest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// untouched is a body that nobody may read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestSVC(t *testing.T) {
	t.Run("SVC-098 ETags have no quotes", func(t *testing.T) {
		c := client(t, s3manifest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) { return reply(r, 200, http.NoBody, 0), nil })})
		if etag, err := c.Head(t.Context(), path); err != nil || etag != "dcaa-131" {
			t.Errorf("etag %q, error %v, want dcaa-131", etag, err)
		}
	})
	t.Run("SVC-099 a manifest that is too big is not read", func(t *testing.T) {
		c := client(t, s3manifest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return reply(r, 200, untouched{t}, manifest.MaxSize+1), nil
		})})
		_, err := c.Manifest(t.Context(), "s3", path)
		if want := path + " is supposed to be an image manifest, but 1048577 bytes is too big for a manifest"; err == nil || err.Error() != want || !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("error %v, want %s", err, want)
		}
	})
	t.Run("SVC-099 a manifest without end is not read to it", func(t *testing.T) {
		read := 0
		c := client(t, s3manifest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return reply(r, 200, endless{&read}, -1), nil
		})})
		if _, err := c.Manifest(t.Context(), "s3", path); !errors.Is(err, bos.ErrInvalid) || read > 2*manifest.MaxSize {
			t.Errorf("error %v after %d bytes, want ErrInvalid after little more than %d", err, read, manifest.MaxSize)
		}
	})
	t.Run("SVC-100 no configuration", func(t *testing.T) {
		env := map[string]string{"S3_PROTOCOL": "https", "S3_GATEWAY": "rgw-vip", "S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret"}
		for missing := range env {
			c, err := s3manifest.New(s3manifest.FromEnv(func(name string) string {
				if name == missing {
					return ""
				}
				return env[name]
			}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Manifest(t.Context(), "s3", path)
			if !errors.Is(err, bos.ErrInvalid) || !strings.Contains(err.Error(), "S3 is not configured") || !strings.Contains(err.Error(), missing) {
				t.Errorf("without %s: error %v, want one that names it", missing, err)
			}
			if _, err := c.Head(t.Context(), path); !errors.Is(err, bos.ErrInvalid) {
				t.Errorf("without %s: error %v, want ErrInvalid", missing, err)
			}
		}
		for _, cfg := range []s3manifest.Config{{}, {AccessKey: "a", SecretKey: "b"}, {Endpoint: "http://x", AccessKey: "a"}, {Endpoint: "http://x", SecretKey: "geheim"}} {
			c, err := s3manifest.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Head(t.Context(), path); !errors.Is(err, bos.ErrInvalid) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%+v: error %v, want ErrInvalid", cfg, err)
			}
		}
		for _, cfg := range []s3manifest.Config{{Endpoint: "rgw-vip"}, {Endpoint: "http://x", CAFile: "/none"}} {
			if _, err := s3manifest.New(cfg); !errors.Is(err, bos.ErrInvalid) {
				t.Errorf("%+v: error %v, want ErrInvalid", cfg, err)
			}
		}
	})
	t.Run("SVC-101 an outage is not a missing object", func(t *testing.T) {
		words := map[string]string{
			"refused": "connection refused", "silent": "no answer within the read time-out", "503": "503 SlowDown Please reduce your request rate.",
			"500 in HTML": "500 ", "broken body": "unexpected EOF",
		}
		for name, rt := range map[string]roundTripper{
			"refused": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED },
			"silent": func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			},
			"503": func(r *http.Request) (*http.Response, error) {
				return reply(r, 503, strings.NewReader(`<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`), -1), nil
			},
			"500 in HTML": func(r *http.Request) (*http.Response, error) {
				return reply(r, 500, strings.NewReader(`<html>`+strings.Repeat("sorry\n", 1000)), -1), nil
			},
			"broken body": func(r *http.Request) (*http.Response, error) {
				return reply(r, 200, io.MultiReader(strings.NewReader(`{"art`), broken{}), 100), nil
			},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					_, err := client(t, s3manifest.Config{Transport: rt}).Manifest(t.Context(), "s3", path)
					if !errors.Is(err, bos.ErrUnavailable) || errors.Is(err, bos.ErrNotFound) || errors.Is(err, bos.ErrInvalid) {
						t.Fatalf("error %v, want ErrUnavailable", err)
					}
					text := err.Error()
					if !strings.HasPrefix(text, "Unable to read manifest file '"+path+"'. s3: GET "+path) || !strings.Contains(text, words[name]) || len(text) > 1500 || strings.Contains(text, "\n") {
						t.Errorf("error %q, want one line with %q", text, words[name])
					}
					if d := time.Since(began); d > 70*time.Second {
						t.Errorf("it took %v", d)
					}
				})
			})
		}
	})
	t.Run("SVC-101 a short outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := new(manifesttest.Fake)
			f.PutImage("6f1a", "quiet")
			tries := 0
			began := time.Now()
			c := client(t, s3manifest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if tries++; tries < 4 {
					return nil, syscall.ECONNREFUSED
				}
				w := httptest.NewRecorder()
				manifesttest.Handler(f).ServeHTTP(w, r)
				resp := w.Result()
				resp.Request = r
				return resp, nil
			})})
			m, err := c.Manifest(t.Context(), "s3", path)
			if err != nil || m.Kernel == nil || time.Since(began) != 3*time.Second {
				t.Errorf("manifest %+v, error %v after %v, want it after 3s", m, err, time.Since(began))
			}
		})
	})
	t.Run("SVC-101 a store that stays away is not asked each time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			requests, away := 0, true
			c := client(t, s3manifest.Config{RetryBudget: -1, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if requests++; away {
					return nil, syscall.ECONNREFUSED
				}
				return reply(r, 404, strings.NewReader(`<Error><Code>NoSuchKey</Code></Error>`), -1), nil
			})})
			for n := range 20 {
				_, err := c.Head(t.Context(), path)
				if !errors.Is(err, bos.ErrUnavailable) || errors.Is(err, bos.ErrNotFound) {
					t.Fatalf("error %v, want ErrUnavailable", err)
				}
				if text := err.Error(); n >= 5 && (!strings.HasPrefix(text, "s3: HEAD "+path) || !strings.Contains(text, "not asked: away since 2000-01-01T00:00:00Z") || !strings.Contains(text, "connection refused")) {
					t.Errorf("error %q, want since when, and the last cause", text)
				}
			}
			if requests != 5 {
				t.Errorf("%d requests, want 5", requests)
			}
			away = false
			time.Sleep(2*time.Second + 1)
			for range 20 { // an answer, if not the one hoped for
				if _, err := c.Head(t.Context(), path); !errors.Is(err, bos.ErrNotFound) {
					t.Errorf("error %v, want ErrNotFound", err)
				}
			}
		})
	})
	t.Run("a caller that gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := client(t, s3manifest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			})}).Head(ctx, path)
			if !errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrUnavailable) {
				t.Errorf("error %v, want context.Canceled and no outage", err)
			}
		})
	})
	t.Run("access denied", func(t *testing.T) {
		c := client(t, s3manifest.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return reply(r, 403, strings.NewReader(`<Error><Code>SignatureDoesNotMatch</Code></Error>`), -1), nil
		})})
		_, err := c.Manifest(t.Context(), "s3", path)
		if !errors.Is(err, bos.ErrForbidden) || errors.Is(err, bos.ErrUnavailable) || !strings.Contains(err.Error(), "403 SignatureDoesNotMatch") {
			t.Errorf("error %v, want ErrForbidden", err)
		}
	})
	t.Run("credentials", func(t *testing.T) {
		var signed atomic.Bool
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			signed.Store(strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=key/"))
			if r.Header.Get("Authorization") != "" && strings.Contains(r.Header.Get("Authorization"), "secret") {
				t.Error("the secret was sent")
			}
		}))
		defer server.Close()
		for _, cfg := range []s3manifest.Config{{Endpoint: server.URL}, {Endpoint: server.URL, AccessKey: "key", SecretKey: "secret"}} {
			if _, err := client(t, cfg).Head(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			if signed.Load() != (cfg.AccessKey != "") {
				t.Errorf("with key %q: signed %v", cfg.AccessKey, signed.Load())
			}
		}
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type endless struct{ n *int }

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	*e.n += len(p)
	return len(p), nil
}
