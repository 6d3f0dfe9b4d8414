package bss_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/bss/bsstest"
)

// Make a node boot an image from now on. The fake stands in for the service.
func Example() {
	fake := new(bsstest.Fake)
	server := httptest.NewServer(bsstest.Handler(fake))
	defer server.Close()

	boot, err := bss.New(server.URL, bss.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := boot.SetBootParameters(context.Background(), []bos.ComponentID{"x3000c0s1b0n0"}, bos.BootArtifacts{
		Kernel: "s3://boot-images/1/kernel", Initrd: "s3://boot-images/1/initrd", KernelParameters: "quiet",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	artifacts, known, _ := fake.Parameters("x3000c0s1b0n0")
	fmt.Println(artifacts.Kernel, token == known)
	// Output: s3://boot-images/1/kernel true
}
