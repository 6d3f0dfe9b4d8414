package builtin_test

import (
	"context"
	"fmt"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/builtin"
	"github.com/bootorch/bosgo/store/memstore"
)

// One of the ten operators, with the one service it needs: discovery makes a component of each node that HSM knows. The
// fake stands in for HSM, and for what is a loop of its own in production the first pass is enough.
func ExampleNew() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	st := memstore.New()
	defer st.Close()
	api := bosserver.New(st, bosserver.Config{})
	op, err := builtin.New("discovery", builtin.Deps{API: api, Inventory: hsmtest.NewNodes("x3000c0s1b0n0", "x3000c0s2b0n0")})
	if err != nil {
		fmt.Println(err)
		return
	}
	loop := operator.Loop{Operator: op, API: api, Holder: "example", Observe: func(operator.PassInfo) { cancel() }}
	_ = loop.Run(ctx) // context.Canceled, after the first pass
	for c, err := range api.ListComponents(context.Background(), bos.ComponentFilter{}) {
		fmt.Println(c.ID, c.Action(), err)
	}
	// Output:
	// x3000c0s1b0n0 newly_discovered <nil>
	// x3000c0s2b0n0 newly_discovered <nil>
}
