package cfs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/cfs/cfstest"
)

// Assign a configuration to two nodes, of which CFS knows one. The fake stands in for the service.
func Example() {
	server := httptest.NewServer(cfstest.Handler(cfstest.New("x3000c0s1b0n0"), 1000))
	defer server.Close()

	ctx := context.Background()
	config, err := cfs.New(server.URL, cfs.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = config.Assign(ctx, []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0"}, cfs.Assignment{
		Configuration: "compute-24.7", Session: "boot-1", ClearState: true,
	})
	if partial, ok := errors.AsType[*bos.BatchError](err); ok {
		fmt.Println("not assigned:", partial.IDs())
	}
	components, err := config.Components(ctx, []bos.ComponentID{"x3000c0s1b0n0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(components["x3000c0s1b0n0"].DesiredConfig, components["x3000c0s1b0n0"].Status)
	// Output:
	// not assigned: [x3000c0s2b0n0]
	// compute-24.7 pending
}

// A site with an older CFS has version 2 of its API: the URL says so, the rest is the same.
func ExampleNew_version2() {
	server := httptest.NewServer(cfstest.V2Handler(cfstest.New("x3000c0s1b0n0")))
	defer server.Close()

	config, err := cfs.New(server.URL+"/v2", cfs.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, nodes := context.Background(), []bos.ComponentID{"x3000c0s1b0n0"}
	if err := config.Assign(ctx, nodes, cfs.Assignment{Configuration: "compute-24.7", Session: "s1", Enabled: true}); err != nil {
		fmt.Println(err)
		return
	}
	known, err := config.Components(ctx, nodes)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(known["x3000c0s1b0n0"].DesiredConfig, known["x3000c0s1b0n0"].Status)
	// Output: compute-24.7 pending
}
