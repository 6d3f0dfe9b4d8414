package imstest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/ims"
)

// Handler serves f in the shapes of IMS; the URL of the server is the base URL. Errors of f.OnCall are answered with the
// status of their sentinel.
func Handler(f *Fake) http.Handler {
	record := func(w http.ResponseWriter, i ims.Image, err error) {
		if err != nil {
			problem(w, bos.AsStatus(err).Status, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{ // the client notices
			"id": i.ID, "created": "2025-01-01T10:00:00.000000", "name": i.Name, "arch": i.Arch, "metadata": i.Metadata,
			"link": map[string]string{"path": "s3://boot-images/" + i.ID + "/manifest.json", "etag": "f04af5", "type": "s3"},
		})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /images/{id}", func(w http.ResponseWriter, r *http.Request) {
		i, err := f.Image(r.Context(), r.PathValue("id"))
		record(w, i, err)
	})
	mux.HandleFunc("PATCH /images/{id}", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Metadata struct{ Operation, Key, Value string }
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Metadata.Operation != "set" {
			problem(w, http.StatusUnprocessableEntity, "unprocessable patch")
			return
		}
		err := f.Tag(r.Context(), r.PathValue("id"), q.Metadata.Key, q.Metadata.Value)
		var i ims.Image
		if err == nil {
			f.mu.Lock()
			i = clone(f.images[r.PathValue("id")])
			f.mu.Unlock()
		}
		record(w, i, err)
	})
	return mux
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(bos.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}

// Subject is an image service under test.
type Subject struct {
	Client ims.ImageClient
	Images []ims.Image // some of its images, at least one, whose tags only the suite changes
}

// Run checks that an implementation of ims.ImageClient keeps the promises of the interface.
func Run(t *testing.T, s Subject) {
	t.Helper()
	image := s.Images[0].ID
	for _, want := range s.Images {
		t.Run("image "+want.Name, func(t *testing.T) {
			got, err := s.Client.Image(t.Context(), want.ID)
			if err != nil {
				t.Fatal(err)
			}
			if want.Arch == "" {
				want.Arch = "x86_64"
			}
			got.Metadata, want.Metadata = nil, nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("image (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("tag", func(t *testing.T) {
		for range 2 {
			for _, value := range []string{"true", "false"} {
				if err := s.Client.Tag(t.Context(), image, "sbps-project", value); err != nil {
					t.Fatal(err)
				}
				got, err := s.Client.Image(t.Context(), image)
				if err != nil {
					t.Fatal(err)
				}
				if got.Metadata["sbps-project"] != value {
					t.Errorf("tags %v, want sbps-project=%s", got.Metadata, value)
				}
			}
		}
	})
	for _, id := range []string{"no-such-image", "", "..", "a/b", image + "/../" + image} {
		t.Run("unknown image "+id, func(t *testing.T) {
			if _, err := s.Client.Image(t.Context(), id); !errors.Is(err, bos.ErrNotFound) {
				t.Errorf("image: %v, want ErrNotFound", err)
			}
			if err := s.Client.Tag(t.Context(), id, "k", "v"); !errors.Is(err, bos.ErrNotFound) {
				t.Errorf("tag: %v, want ErrNotFound", err)
			}
		})
	}
	t.Run("a caller that gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Client.Image(ctx, image); !errors.Is(err, context.Canceled) || errors.Is(err, bos.ErrUnavailable) {
			t.Errorf("error %v, want context.Canceled and no outage", err)
		}
	})
}
