package bostest_test

import (
	"testing"

	"github.com/bootorch/bosgo/bos/bostest"
	"github.com/bootorch/bosgo/store/memstore"
)

// A vendor's test of a store driver of their own, here memstore's.
func Example() {
	_ = func(t *testing.T) {
		fixture := func(t testing.TB) *bostest.Fixture {
			return bostest.NewServer(t, bostest.Options{Driver: memstore.NewDriver()})
		}
		bostest.RunAPI(t, fixture)
		bostest.RunConcurrent(t, func(t testing.TB) []*bostest.Fixture { return []*bostest.Fixture{fixture(t)} })
	}
}
