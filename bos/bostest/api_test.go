package bostest_test

import (
	"testing"

	"github.com/bootorch/bosgo/bos/bostest"
)

func TestAPI(t *testing.T) {
	bostest.RunAPI(t, func(t testing.TB) *bostest.Fixture { return bostest.NewServer(t, bostest.Options{}) })
}
