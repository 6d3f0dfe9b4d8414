package imstest_test

import (
	"net/http/httptest"
	"testing"

	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/ims/imstest"
)

var images = []ims.Image{
	{ID: "46a2731e-a1d0-4f98-ba92-4f78c756bb12", Name: "compute", Arch: "x86_64"},
	{ID: "b5b6", Name: "compute-arm", Arch: "aarch64", Metadata: map[string]string{"a": "b"}},
}

func TestFake(t *testing.T) {
	imstest.Run(t, imstest.Subject{Client: imstest.New(images...), Images: images})
}

func TestClient(t *testing.T) {
	server := httptest.NewServer(imstest.Handler(imstest.New(images...)))
	defer server.Close()
	c, err := ims.New(server.URL, ims.Config{})
	if err != nil {
		t.Fatal(err)
	}
	imstest.Run(t, imstest.Subject{Client: c, Images: images})
}
