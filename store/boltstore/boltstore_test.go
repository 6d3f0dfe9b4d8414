package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
	"github.com/bootorch/bosgo/store/storetest"
)

func open(t *testing.T, path string) *store.DB {
	t.Helper()
	st, err := boltstore.Open(path, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func TestConformance(t *testing.T) {
	paths := map[store.Store]string{}
	storetest.Run(t, func(t *testing.T) store.Store {
		path := filepath.Join(t.TempDir(), "state", "bos.db")
		st := open(t, path)
		paths[st] = path
		return st
	}, storetest.Caps{
		Reopen: func(t *testing.T, st store.Store) store.Store {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, paths[st])
		},
	})
}

func TestModel(t *testing.T) {
	storetest.Model(t, func(t *testing.T) store.Store { return open(t, filepath.Join(t.TempDir(), "bos.db")) })
}
