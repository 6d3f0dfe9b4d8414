package bsstest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/bss"
)

// Handler serves f in the shapes of BSS; the URL of the server is the base URL. Errors of f.OnCall and f.OnAnswer are
// answered with the status of their sentinel.
func Handler(f *Fake) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /bootparameters", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Hosts                  []bos.ComponentID
			Params, Kernel, Initrd string
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			problem(w, http.StatusBadRequest, "Bad Request: "+err.Error())
			return
		}
		token, err := f.SetBootParameters(r.Context(), q.Hosts, bos.BootArtifacts{Kernel: q.Kernel, KernelParameters: q.Params, Initrd: q.Initrd})
		if err != nil {
			problem(w, bos.AsStatus(err).Status, err.Error())
			return
		}
		w.Header()["BSS-Referral-Token"] = []string{string(token)} // as BSS spells it
	})
	return mux
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(bos.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}

// Subject is a boot script service under test.
type Subject struct {
	Client bss.BootClient
	Nodes  []bos.ComponentID // at least two
	// Parameters reads what the service has for a node and under which token; nil = the service cannot tell.
	Parameters func(id bos.ComponentID) (a bos.BootArtifacts, token bos.BSSToken, ok bool)
}

// Run checks that an implementation of bss.BootClient keeps the promises of the interface.
func Run(t *testing.T, s Subject) {
	t.Helper()
	artifacts := bos.BootArtifacts{Kernel: "s3://boot-images/1/kernel", KernelParameters: "quiet a=b \"c d\"", Initrd: "s3://boot-images/1/initrd"}
	other := bos.BootArtifacts{Kernel: "s3://boot-images/2/kernel", Initrd: "s3://boot-images/2/initrd"}
	set := func(t *testing.T, a bos.BootArtifacts, ids ...bos.ComponentID) bos.BSSToken {
		t.Helper()
		token, err := s.Client.SetBootParameters(t.Context(), ids, a)
		if err != nil {
			t.Fatal(err)
		}
		if token == "" {
			t.Fatal("empty token")
		}
		return token
	}
	has := func(t *testing.T, want bos.BootArtifacts, token bos.BSSToken, id bos.ComponentID) {
		t.Helper()
		if s.Parameters == nil {
			return
		}
		if a, got, ok := s.Parameters(id); !ok || !a.Same(want) || got != token {
			t.Errorf("%s boots %+v under another token than the one returned, or other artifacts than %+v", id, a, want)
		}
	}

	t.Run("nodes of one call share a token", func(t *testing.T) {
		token := set(t, artifacts, s.Nodes[0], s.Nodes[1], s.Nodes[0])
		has(t, artifacts, token, s.Nodes[0])
		has(t, artifacts, token, s.Nodes[1])
	})
	t.Run("each call gives another token", func(t *testing.T) {
		first, second := set(t, artifacts, s.Nodes[0]), set(t, artifacts, s.Nodes[0])
		if first == second {
			t.Error("the same token twice")
		}
		has(t, artifacts, second, s.Nodes[0])
	})
	t.Run("a call replaces what was there", func(t *testing.T) {
		first := set(t, artifacts, s.Nodes[0], s.Nodes[1])
		second := set(t, other, s.Nodes[0])
		has(t, other, second, s.Nodes[0])
		has(t, artifacts, first, s.Nodes[1])
	})
	t.Run("no nodes", func(t *testing.T) {
		if _, err := s.Client.SetBootParameters(t.Context(), nil, artifacts); !errors.Is(err, bos.ErrInvalid) {
			t.Errorf("error %v, want ErrInvalid", err)
		}
	})
	t.Run("a caller that gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Client.SetBootParameters(ctx, s.Nodes, artifacts); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}
