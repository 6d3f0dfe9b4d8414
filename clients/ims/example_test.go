package ims_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/ims/imstest"
)

// Look an image up. The fake stands in for the service.
func Example() {
	server := httptest.NewServer(imstest.Handler(imstest.New(ims.Image{ID: "46a2731e", Name: "compute", Arch: "aarch64"})))
	defer server.Close()

	ctx := context.Background()
	images, err := ims.New(server.URL, ims.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := images.Image(ctx, "46a2731e")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.Name, image.Arch)
	_, err = images.Image(ctx, "deleted")
	fmt.Println(errors.Is(err, bos.ErrNotFound))
	// Output:
	// compute aarch64
	// true
}
