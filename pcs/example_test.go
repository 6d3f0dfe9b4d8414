package pcs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

// Power two nodes on and see what became of it: an accepted transition is no success. The fake stands in for the service.
func Example() {
	fake := pcstest.New("x3000c0s1b0n0", "x3000c0s2b0n0")
	fake.Refuse("NodeBMC Communication Error", "x3000c0s2b0n0")
	server := httptest.NewServer(pcstest.Handler(fake))
	defer server.Close()

	ctx, nodes := context.Background(), []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0"}
	power, err := pcs.New(server.URL, pcs.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := power.Transition(ctx, pcs.On, nodes)
	switch {
	case errors.Is(err, pcs.ErrOutcomeUnknown):
		fmt.Println("it may have happened:", err)
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	transition, err := power.ReadTransition(ctx, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("done:", transition.Done)
	fmt.Println("failed:", transition.Err())
	status, err := power.PowerStatus(ctx, nodes[:1])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(nodes[0], status[nodes[0]].State)
	// Output:
	// done: true
	// failed: x3000c0s2b0n0: Failed to apply transition: NodeBMC Communication Error
	// x3000c0s1b0n0 on
}

// A site without PCS has CAPMC, which tells at once which nodes it could not command. The fake stands in for the service.
func ExampleNewCAPMC() {
	fake := pcstest.New("x3000c0s1b0n0", "x3000c0s2b0n0")
	fake.Refuse("NodeBMC Communication Error", "x3000c0s2b0n0")
	server := httptest.NewServer(pcstest.CAPMCHandler(fake))
	defer server.Close()

	var power pcs.PowerClient
	power, err := pcs.NewCAPMC(server.URL, pcs.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = power.Transition(context.Background(), pcs.On, []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0"})
	if partial, ok := errors.AsType[*bos.BatchError](err); ok {
		for _, id := range partial.IDs() {
			fmt.Println(id, partial.Failed[id])
		}
	}
	// Output: x3000c0s2b0n0 Failed to apply transition: NodeBMC Communication Error
}
