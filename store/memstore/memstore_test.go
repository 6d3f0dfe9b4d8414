package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store/memstore"
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

func TestClosed(t *testing.T) {
	st := memstore.New()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := st.Ping(t.Context()); !errors.Is(err, bos.ErrUnavailable) {
		t.Errorf("Ping after Close = %v, want bos.ErrUnavailable", err)
	}
}
