package clients_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/cfs/cfstest"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/bss/bsstest"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/ims/imstest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

// machine serves a simulated machine of three nodes, on which nothing takes time, until the test ends.
func machine(t *testing.T, cfg fleet.Config) (m *fleet.Machine, urls map[string]string) {
	t.Helper()
	cfg.Nodes = 3
	m, err := fleet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(ctx)
	}()
	server := httptest.NewServer(m.Handler())
	t.Cleanup(func() { server.Close(); stop(); <-done })
	return m, fleet.BaseURLs(server.URL)
}

func xnames(m *fleet.Machine) []bos.ComponentID {
	var ids []bos.ComponentID
	for _, n := range m.Nodes() {
		ids = append(ids, bos.ComponentID(n.Xname))
	}
	return ids
}

const stranger = bos.ComponentID("x9999c7s7b1n1")

// get decodes what a simulated service answers.
func get(t *testing.T, url string, v any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
}

// settle waits until PCS has no transition under way.
func settle(t *testing.T, pcsURL string) {
	t.Helper()
	for {
		var list struct {
			Transitions []struct{ TransitionStatus string }
		}
		get(t, pcsURL+"/transitions", &list)
		busy := false
		for _, tr := range list.Transitions {
			busy = busy || tr.TransitionStatus != "completed" && tr.TransitionStatus != "aborted"
		}
		if !busy {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("transitions are still under way")
		}
	}
}

// TestConformance runs the suites of all services against the simulated machine.
func TestConformance(t *testing.T) {
	t.Run("hsm", func(t *testing.T) {
		m, urls := machine(t, fleet.Config{ExtraComponents: true})
		c, err := hsm.New(urls["hsm"], hsm.Config{})
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := c.Nodes(t.Context())
		if err != nil || len(nodes) != m.Size() {
			t.Fatalf("%d nodes, error %v, want %d", len(nodes), err, m.Size())
		}
		ids := xnames(m)
		_, urls = machine(t, fleet.Config{
			Groups:     map[string][]string{"blue": {string(ids[0]), string(ids[1])}, "empty": {}},
			Partitions: map[string][]string{"p1": {string(ids[2])}},
			Faults:     []fleet.Fault{{Kind: "hsm_locked", Nodes: []string{string(ids[1])}}},
		})
		if c, err = hsm.New(urls["hsm"], hsm.Config{}); err != nil {
			t.Fatal(err)
		}
		hsmtest.Run(t, hsmtest.Subject{
			Inventory: c, Nodes: nodes, Unknown: stranger,
			Groups: map[string][]bos.ComponentID{"blue": ids[:2], "empty": nil}, Partitions: map[string][]bos.ComponentID{"p1": ids[2:]},
			Locked: ids[1:2],
		})
	})
	t.Run("pcs", func(t *testing.T) {
		m, urls := machine(t, fleet.Config{})
		c, err := pcs.New(urls["pcs"], pcs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		pcstest.Run(t, pcstest.Subject{Client: c, Nodes: xnames(m), Unknown: stranger, Settle: func() { settle(t, urls["pcs"]) }})
	})
	t.Run("capmc", func(t *testing.T) {
		m, urls := machine(t, fleet.Config{})
		c, err := pcs.NewCAPMC(urls["capmc"], pcs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		pcstest.Run(t, pcstest.Subject{Client: c, Nodes: xnames(m), Unknown: stranger, Settle: func() { settle(t, urls["pcs"]) }})
	})
	t.Run("cfs", func(t *testing.T) {
		for _, pageSize := range []string{"1000", "2", "1"} {
			m, urls := machine(t, fleet.Config{Faults: []fleet.Fault{{Kind: "page_size", Service: "cfs", Value: pageSize}}})
			c, err := cfs.New(urls["cfs"], cfs.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Run("pages of "+pageSize, func(t *testing.T) {
				cfstest.Run(t, cfstest.Subject{Client: c, Components: xnames(m), Unknown: stranger})
			})
		}
	})
	t.Run("cfs version 2", func(t *testing.T) {
		m, urls := machine(t, fleet.Config{})
		c, err := cfs.New(strings.TrimSuffix(urls["cfs"], "/v3")+"/v2", cfs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		cfstest.Run(t, cfstest.Subject{Client: c, Components: xnames(m), Unknown: stranger})
	})
	t.Run("bss", func(t *testing.T) {
		m, urls := machine(t, fleet.Config{})
		c, err := bss.New(urls["bss"], bss.Config{})
		if err != nil {
			t.Fatal(err)
		}
		bsstest.Run(t, bsstest.Subject{Client: c, Nodes: xnames(m)})
	})
	t.Run("ims", func(t *testing.T) {
		m, urls := machine(t, fleet.Config{})
		c, err := ims.New(urls["ims"], ims.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var some []ims.Image
		for _, i := range m.Images() {
			some = append(some, ims.Image{ID: i.ID, Name: i.Name, Arch: i.Arch})
		}
		imstest.Run(t, imstest.Subject{Client: c, Images: some})
	})
	t.Run("s3", func(t *testing.T) {
		_, urls := machine(t, fleet.Config{})
		c, err := s3manifest.New(s3manifest.Config{Endpoint: urls["s3"]})
		if err != nil {
			t.Fatal(err)
		}
		manifesttest.Run(t, manifesttest.Subject{Reader: c, Put: func(path, text, _ string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, urls["s3"]+"/"+strings.TrimPrefix(path, "s3://"), strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode >= 300 {
				t.Fatalf("put %s: %s, error %v", path, resp.Status, err)
			}
		}})
	})
	t.Run("tapms", func(t *testing.T) {
		m, _ := machine(t, fleet.Config{})
		ids := xnames(m)
		_, urls := machine(t, fleet.Config{Tenants: map[string][]string{"blue": {string(ids[0]), string(ids[2])}, "empty": {}}})
		c, err := tapms.New(urls["tapms"], tapms.Config{})
		if err != nil {
			t.Fatal(err)
		}
		tapmstest.Run(t, tapmstest.Subject{Client: c, Tenants: map[string][]bos.ComponentID{"blue": {ids[0], ids[2]}, "empty": nil}})
	})
}
