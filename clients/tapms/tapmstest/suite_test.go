package tapmstest_test

import (
	"net/http/httptest"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
)

var tenants = map[string][]bos.ComponentID{
	"vcluster-blue": {"x1000c0s0b0n0", "x1000c0s0b0n1", "x1000c0s0b1n0"}, "deploying": nil,
}

func fake() *tapmstest.Fake {
	f := new(tapmstest.Fake)
	for name, ids := range tenants {
		f.Set(name, ids...)
	}
	return f
}

func client(t *testing.T) *tapms.Client {
	server := httptest.NewServer(tapmstest.Handler(fake()))
	t.Cleanup(server.Close)
	c, err := tapms.New(server.URL, tapms.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFake(t *testing.T) { tapmstest.Run(t, tapmstest.Subject{Client: fake(), Tenants: tenants}) }

func TestClient(t *testing.T) {
	tapmstest.Run(t, tapmstest.Subject{Client: client(t), Tenants: tenants})
}

func TestCached(t *testing.T) {
	tapmstest.Run(t, tapmstest.Subject{Client: tapms.Cached(client(t), 0), Tenants: tenants})
}
