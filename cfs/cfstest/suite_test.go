package cfstest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/cfs/cfstest"
)

var ids = []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0", "x3000c0s3b0n0", "x3000c0s4b0n0"}

func subject(c cfs.ConfigClient) cfstest.Subject {
	return cfstest.Subject{Client: c, Components: ids, Unknown: "x3000c0s9b0n0"}
}

func client(t *testing.T, h http.Handler, path string) *cfs.Client {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := cfs.New(s.URL+path, cfs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFake(t *testing.T) { cfstest.Run(t, subject(cfstest.New(ids...))) }

func TestClient(t *testing.T) {
	for name, pageSize := range map[string]int{"one page": 1000, "small pages": 3, "pages of one": 1} {
		t.Run(name, func(t *testing.T) {
			cfstest.Run(t, subject(client(t, cfstest.Handler(cfstest.New(ids...), pageSize), "")))
		})
	}
}

func TestClientV2(t *testing.T) {
	cfstest.Run(t, subject(client(t, cfstest.V2Handler(cfstest.New(ids...)), "/v2/")))
}
