package bosclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/store/memstore"
)

func Example() {
	server := httptest.NewServer(bosserver.NewHandler(bosserver.New(memstore.New(), bosserver.Config{}), bosserver.HandlerConfig{}))
	defer server.Close()

	ctx := context.Background()
	client, err := bosclient.New(server.URL, bosclient.Config{})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	if _, err := client.PutComponents(ctx, []bos.Component{{ID: "x3000c0s1b0n0"}, {ID: "x3000c0s3b0n0", Enabled: new(true)}}); err != nil {
		panic(err)
	}
	for component, err := range client.ListComponents(ctx, bos.ComponentFilter{Status: []bos.Status{bos.StatusOnHold}}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(component.ID, component.ComputeStatus())
	}
	_, err = client.GetSession(ctx, bos.TenantKey{Name: "friday"})
	fmt.Println(errors.Is(err, bos.ErrNotFound), err)
	// Output:
	// x3000c0s3b0n0 on_hold
	// true Session 'friday' does not exist
}
