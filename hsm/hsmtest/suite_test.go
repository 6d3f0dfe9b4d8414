package hsmtest_test

import (
	"net/http/httptest"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/hsm/hsmtest"
)

func fake() (*hsmtest.Fake, hsmtest.Subject) {
	s := hsmtest.Subject{
		Nodes: []hsm.Node{
			{ID: "x3000c0s1b0n0", Enabled: true, State: "Ready", Role: "Compute", Arch: "X86", Class: "River", NID: 1},
			{ID: "x3000c0s2b0n0", Role: "Application", SubRole: "UAN", Arch: "ARM", Class: "River", NID: 2},
			{ID: "x3000c0s3b0n0", Enabled: true, Role: "Management", SubRole: "Worker"},
		},
		Unknown:    "x3000c0s9b0n0",
		Groups:     map[string][]bos.ComponentID{"blue": {"x3000c0s1b0n0", "x3000c0s2b0n0"}, "empty": {}},
		Partitions: map[string][]bos.ComponentID{"p1": {"x3000c0s1b0n0"}},
		Locked:     []bos.ComponentID{"x3000c0s3b0n0"},
	}
	f := hsmtest.New(s.Nodes...)
	for label, ids := range s.Groups {
		f.SetGroup(label, ids...)
	}
	for name, ids := range s.Partitions {
		f.SetPartition(name, ids...)
	}
	f.Lock(s.Locked...)
	return f, s
}

func TestFake(t *testing.T) {
	f, s := fake()
	s.Inventory = f
	hsmtest.Run(t, s)
}

func TestClient(t *testing.T) {
	f, s := fake()
	server := httptest.NewServer(hsmtest.Handler(f))
	defer server.Close()
	c, err := hsm.New(server.URL, hsm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.Inventory = c
	hsmtest.Run(t, s)
}
