package bsstest_test

import (
	"net/http/httptest"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/bss/bsstest"
)

var nodes = []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0"}

func TestFake(t *testing.T) {
	f := new(bsstest.Fake)
	bsstest.Run(t, bsstest.Subject{Client: f, Nodes: nodes, Parameters: f.Parameters})
}

func TestClient(t *testing.T) {
	f := new(bsstest.Fake)
	server := httptest.NewServer(bsstest.Handler(f))
	defer server.Close()
	c, err := bss.New(server.URL, bss.Config{})
	if err != nil {
		t.Fatal(err)
	}
	bsstest.Run(t, bsstest.Subject{Client: c, Nodes: nodes, Parameters: f.Parameters})
}
