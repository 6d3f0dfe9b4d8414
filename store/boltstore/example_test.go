package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
)

func Example() {
	dir, err := os.MkdirTemp("", "bos")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	for range 2 { // the second time the record is there
		st, err := boltstore.Open(filepath.Join(dir, "bos.db"), store.Config{})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(st.Components().Create(ctx, "x3000c0s1b0n0", bos.Component{ID: "x3000c0s1b0n0"}))
		_ = st.Close()
	}
	// Output:
	// <nil>
	// component x3000c0s1b0n0: already exists
}
