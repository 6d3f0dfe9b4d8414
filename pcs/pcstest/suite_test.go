package pcstest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

var nodes = []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0", "x1000c7s7b1n1"}

const unknown = "x3000c0s9b0n0"

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestFake(t *testing.T) {
	pcstest.Run(t, pcstest.Subject{Client: pcstest.New(nodes...), Nodes: nodes, Unknown: unknown})
}

func TestClient(t *testing.T) {
	c, err := pcs.New(serve(t, pcstest.Handler(pcstest.New(nodes...))), pcs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pcstest.Run(t, pcstest.Subject{Client: c, Nodes: nodes, Unknown: unknown})
}

func TestSplittingClient(t *testing.T) {
	c, err := pcs.New(serve(t, pcstest.Handler(pcstest.New(nodes...))), pcs.Config{MaxNodes: func() int { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	pcstest.Run(t, pcstest.Subject{Client: c, Nodes: nodes, Unknown: unknown})
}

func TestCAPMC(t *testing.T) {
	c, err := pcs.NewCAPMC(serve(t, pcstest.CAPMCHandler(pcstest.New(nodes...))), pcs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pcstest.Run(t, pcstest.Subject{Client: c, Nodes: nodes, Unknown: unknown})
}
