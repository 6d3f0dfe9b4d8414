package tapms_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
)

// Ask which nodes a tenant owns, at most once in five seconds. The fake stands in for the service.
func Example() {
	fake := new(tapmstest.Fake)
	fake.Set("blue", "x3000c0s1b0n0")
	server := httptest.NewServer(tapmstest.Handler(fake))
	defer server.Close()

	ctx := context.Background()
	client, err := tapms.New(server.URL, tapms.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	tenants := tapms.Cached(client, 5*time.Second)
	nodes, err := tenants.TenantNodes(ctx, "blue")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(nodes["x3000c0s1b0n0"], nodes["x3000c0s2b0n0"])
	_, err = tenants.TenantNodes(ctx, "red")
	fmt.Println(errors.Is(err, bos.ErrNotFound), errors.Is(err, bos.ErrUnavailable))
	// Output:
	// true false
	// true false
}
