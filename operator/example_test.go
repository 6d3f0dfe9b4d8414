package operator_test

import (
	"context"
	"fmt"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/store/memstore"
)

// Locate turns on the locator LED of failed nodes.
type Locate struct{ done context.CancelFunc }

func (Locate) Name() string { return "locate-failed" }

func (Locate) Filter(operator.Tick) bos.ComponentFilter {
	return bos.ComponentFilter{Status: []bos.Status{bos.StatusFailed}}
}

func (l Locate) Act(_ context.Context, _ operator.Tick, batch []bos.Component) ([]bos.ComponentPatch, error) {
	for _, c := range batch {
		fmt.Println("LED on:", c.ID)
	}
	l.done()
	return nil, nil // nothing to write back
}

// A vendor's operator says which components concern it and what to do with a batch of them; a Loop does the rest. Here
// it runs over BOS in the same process; a bosclient.Client serves as well.
func ExampleForComponents() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	st := memstore.New()
	defer st.Close()
	api := bosserver.New(st, bosserver.Config{})
	_, err := api.PutComponent(ctx, "x3000c0s1b0n0", bos.Component{
		Status: &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	loop := operator.Loop{Operator: operator.ForComponents(api, Locate{cancel}), API: api, Holder: "example"}
	fmt.Println(loop.Run(ctx))
	// Output:
	// LED on: x3000c0s1b0n0
	// context canceled
}
