package redisstore_test

import (
	"os/exec"
	"testing"

	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

func open(t *testing.T, url string) *store.DB {
	t.Helper()
	st, err := redisstore.Open(t.Context(), url, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// conformance runs the suite on the databases that newURL names.
func conformance(t *testing.T, newURL func(t testing.TB) string) {
	urls := map[store.Store]string{}
	storetest.Run(t, func(t *testing.T) store.Store {
		url := newURL(t)
		st := open(t, url)
		urls[st] = url
		return st
	}, storetest.Caps{
		Reopen: func(t *testing.T, st store.Store) store.Store {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, urls[st])
		},
		Second: func(t *testing.T, st store.Store) store.Store { return open(t, urls[st]) },
	})
}

func TestConformance(t *testing.T) { conformance(t, storetest.NewRedis) }

func TestConformanceServer(t *testing.T) { conformance(t, storetest.NewRedisServer) }

// TestModel needs many round trips: it takes the Redis inside the process, the slower one, only where there is no other.
func TestModel(t *testing.T) {
	newURL := storetest.NewRedisServer
	if _, err := exec.LookPath("redis-server"); err != nil {
		newURL = storetest.NewRedis
	}
	storetest.Model(t, func(t *testing.T) store.Store { return open(t, newURL(t)) })
}
