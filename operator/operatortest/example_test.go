package operatortest_test

import (
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
)

// A vendor's test of their operator; examples/custom-operator has more.
func Example() {
	_ = func(t *testing.T, mine operator.ComponentOperator) {
		b := operatortest.NewBOS(t)
		b.Put(operatortest.Component("x3000c0s1b0n0", bos.BootArtifacts{}))
		op := operator.ForComponents(b, mine)
		if err := operatortest.Run(t, b, op, 1); err != nil {
			t.Fatal(err)
		}
		if c := b.Get("x3000c0s1b0n0"); c.IsEnabled() {
			t.Errorf("it is still enabled, after the writes %+v", b.Writes())
		}
		operatortest.Settled(t, b, op)
	}
}
