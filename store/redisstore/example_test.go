package redisstore_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store/redisstore"
)

func Example() {
	server, err := miniredis.Run() // stands for the Redis of BOS
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	ctx := context.Background()
	st, err := redisstore.Open(ctx, "redis://"+server.Addr(), redisstore.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer st.Close()
	fmt.Println(st.Components().Create(ctx, "x3000c0s1b0n0", bos.Component{ID: "x3000c0s1b0n0"}))

	fmt.Println(server.DB(1).Get("x3000c0s1b0n0"))
	// Output:
	// <nil>
	// {"id":"x3000c0s1b0n0"} <nil>
}
