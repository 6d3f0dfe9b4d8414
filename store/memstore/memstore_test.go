package memstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/storetest"
)

func Example() {
	ctx := context.Background()
	st := memstore.New()
	sub := st.Subscribe(bos.Cursor{})

	_ = st.Components().Create(ctx, "x3000c0s1b0n0", bos.Component{ID: "x3000c0s1b0n0"})
	_, err := st.Components().Update(ctx, "x3000c0s1b0n0", func(c *bos.Component) error {
		c.Enabled = new(true)
		return nil
	})
	fmt.Println(err)

	changes, _ := sub.Next(ctx)
	for _, c := range changes {
		fmt.Println(c.Kind, c.ID, c.Fields, c.Enabled)
	}
	// Output:
	// <nil>
	// component x3000c0s1b0n0 [id] false
	// component x3000c0s1b0n0 [enabled] true
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return memstore.New() }, storetest.Caps{})
}

func TestModel(t *testing.T) {
	storetest.Model(t, func(*testing.T) store.Store { return memstore.New() })
}
