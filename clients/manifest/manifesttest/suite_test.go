package manifesttest_test

import (
	"testing"

	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
)

func TestFake(t *testing.T) {
	f := new(manifesttest.Fake)
	manifesttest.Run(t, manifesttest.Subject{Reader: f, Put: f.Put})
}
