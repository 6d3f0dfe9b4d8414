package manifesttest

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
)

// Handler serves f as an S3 object store in path style; the URL of the server is the endpoint. Errors of f.OnCall are
// answered with the status of their sentinel.
func Handler(f *Fake) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := f.get(r.Context(), Call{r.Method, "s3:/" + r.URL.Path})
		if err != nil {
			status := bos.AsStatus(err).Status
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			if r.Method != http.MethodHead {
				_ = xml.NewEncoder(w).Encode(struct { // the client notices
					XMLName       xml.Name `xml:"Error"`
					Code, Message string
				}{Code: map[int]string{404: "NoSuchKey", 503: "SlowDown"}[status], Message: err.Error()})
			}
			return
		}
		w.Header().Set("ETag", `"`+o.etag+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(o.text))
	})
}

// Subject is an object store under test.
type Subject struct {
	Reader manifest.Reader
	Put    func(path, text, etag string) // stores an object; a store that makes its own ETags may ignore etag
}

// Run checks that an implementation of manifest.Reader keeps the promises of the interface.
func Run(t *testing.T, s Subject) {
	t.Helper()
	const base = "s3://boot-images/6f1a0f3c/"
	artifact := func(typ, name, etag string) string {
		return `{"type":"` + typ + `","md5":"0","link":{"type":"s3","path":"` + base + name + `","etag":"` + etag + `"}}`
	}
	kernel, initrd := artifact(manifest.TypeKernel, "kernel", "k1"), artifact(manifest.TypeInitrd, "initrd", "i1-3")
	put := func(artifacts ...string) string {
		s.Put(base+"manifest.json", `{"version":"1.0","created":"2025-01-01 10:00:00","artifacts":[`+strings.Join(artifacts, ",")+`]}`, "m1")
		return base + "manifest.json"
	}

	t.Run("manifest", func(t *testing.T) {
		path := put(artifact(manifest.TypeRootfs, "rootfs", "r1-131"), kernel, initrd, artifact(manifest.TypeBootParameters, "boot_parameters", "b1"), artifact("text/debug", "debug", "d"))
		got, err := s.Reader.Manifest(t.Context(), "s3", path)
		if err != nil {
			t.Fatal(err)
		}
		want := &manifest.Manifest{
			Path:   path,
			Kernel: &manifest.Artifact{Path: base + "kernel", ETag: "k1"}, Initrd: &manifest.Artifact{Path: base + "initrd", ETag: "i1-3"},
			Rootfs: &manifest.Artifact{Path: base + "rootfs", ETag: "r1-131"}, BootParameters: &manifest.Artifact{Path: base + "boot_parameters", ETag: "b1"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("manifest (-want +got):\n%s", diff)
		}
		t.Run("without a kernel", func(t *testing.T) {
			got, err := s.Reader.Manifest(t.Context(), "s3", put(initrd))
			if err != nil || got.Kernel != nil || got.Initrd == nil {
				t.Errorf("manifest %+v, error %v: which parts must be there is the caller's business", got, err)
			}
		})
	})
	for _, tt := range []struct {
		name, typ, text string
		want            string
		sentinel        error
	}{
		{"two kernels", "s3", `{"artifacts":[` + kernel + `,` + kernel + `]}`, "Multiple application/vnd.cray.image.kernel artifacts found in the manifest.", bos.ErrInvalid},
		{"a list", "s3", `[]`, "Manifest should be dict. Invalid data type: list", bos.ErrInvalid},
		{"not JSON", "s3", `<html>`, "is not JSON", bos.ErrInvalid},
		{"empty", "s3", ``, "is not JSON", bos.ErrInvalid},
		{"not UTF-8", "s3", "{\"a\":\"\xff\"}", "Unable to read manifest file '" + base + "bad'.", bos.ErrInvalid},
		{"too big", "s3", strings.Repeat(" ", manifest.MaxSize) + "x", "is supposed to be an image manifest, but 1048577 bytes is too big for a manifest", bos.ErrInvalid},
		{"a kernel without a link", "s3", `{"artifacts":[{"type":"` + manifest.TypeKernel + `"}]}`, "no link", bos.ErrInvalid},
		{"another type", "http", `{}`, "No BootImageMetadata class for type http", bos.ErrInvalid},
	} {
		t.Run("manifest that is "+tt.name, func(t *testing.T) {
			s.Put(base+"bad", tt.text, "x")
			_, err := s.Reader.Manifest(t.Context(), tt.typ, base+"bad")
			if !errors.Is(err, tt.sentinel) || errors.Is(err, bos.ErrUnavailable) || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q matching %v", err, tt.want, tt.sentinel)
			}
		})
	}
	t.Run("missing objects", func(t *testing.T) {
		const path = base + "missing"
		_, err := s.Reader.Manifest(t.Context(), "s3", path)
		wantMissing(t, err, "Unable to read manifest file '"+path+"'.")
		_, err = s.Reader.BootParameters(t.Context(), manifest.Artifact{Path: path})
		wantMissing(t, err, "Unable to download object "+path+".")
		_, err = s.Reader.Head(t.Context(), path)
		wantMissing(t, err, "")
		_, err = s.Reader.Head(t.Context(), "s3://no-such-bucket/key")
		wantMissing(t, err, "")
	})
	t.Run("boot parameters", func(t *testing.T) {
		const text = "a=1   b=2\nc=3\n" // joining them is the caller's business
		s.Put(base+"boot_parameters", text, "b1")
		if got, err := s.Reader.BootParameters(t.Context(), manifest.Artifact{Path: base + "boot_parameters"}); err != nil || got != text {
			t.Errorf("%q, error %v, want %q", got, err, text)
		}
		s.Put(base+"boot_parameters", "\xff", "b2")
		if _, err := s.Reader.BootParameters(t.Context(), manifest.Artifact{Path: base + "boot_parameters"}); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("error %v, want ErrInvalid: not UTF-8", err)
		}
	})
	t.Run("head", func(t *testing.T) {
		s.Put(base+"rootfs", "rootfs", "r1-131")
		if etag, err := s.Reader.Head(t.Context(), base+"rootfs"); err != nil || etag == "" || strings.Contains(etag, `"`) {
			t.Errorf("etag %q, error %v, want one without quotes", etag, err)
		}
	})
	for _, path := range []string{"", "kernel", "s3://", "s3://bucket", "http://bucket/key", "s3://bucket/\x00"} {
		t.Run("path "+path, func(t *testing.T) {
			if _, err := s.Reader.Head(t.Context(), path); !errors.Is(err, bos.ErrInvalid) {
				t.Errorf("error %v, want ErrInvalid", err)
			}
		})
	}
	t.Run("a caller that gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Reader.Head(ctx, base+"kernel"); !errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want context.Canceled and no outage", err)
		}
	})
}

func wantMissing(t *testing.T, err error, text string) {
	t.Helper()
	if !errors.Is(err, bos.ErrNotFound) || text != "" && err.Error() != text {
		t.Errorf("error %v, want %q matching ErrNotFound", err, text)
	}
}
