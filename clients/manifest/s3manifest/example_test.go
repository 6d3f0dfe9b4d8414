package s3manifest_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
)

// Read what an image consists of. The fake stands in for the object store.
func Example() {
	fake := new(manifesttest.Fake)
	path := fake.PutImage("46a2731e", "console=ttyS0 quiet")
	server := httptest.NewServer(manifesttest.Handler(fake))
	defer server.Close()

	ctx := context.Background()
	reader, err := s3manifest.New(s3manifest.Config{Endpoint: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := reader.Manifest(ctx, "s3", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	parameters, err := reader.BootParameters(ctx, *image.BootParameters)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.Kernel.Path)
	fmt.Println(image.Rootfs.ETag)
	fmt.Println(parameters)
	// Output:
	// s3://boot-images/46a2731e/kernel
	// e-rootfs
	// console=ttyS0 quiet
}
