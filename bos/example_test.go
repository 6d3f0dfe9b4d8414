package bos_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bootorch/bosgo/bos"
)

// Optional members are pointers, for an absent one differs from an empty one; methods read them without a nil check.
// Members that this version does not know survive.
func Example() {
	var c bos.Component
	stored := `{"id":"x3000c0s1b0n0","enabled":true,"status":{"phase":"powering_on"},"last_action":{"action":"powering_on"},"rack":7}`
	if err := json.Unmarshal([]byte(stored), &c); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.ComputeStatus(), c.IsEnabled(), c.DesiredArtifacts().Empty())
	c.Enabled = new(false)
	text, err := json.Marshal(c)
	fmt.Println(string(text), err)
	// Output:
	// power_on_called true true
	// {"id":"x3000c0s1b0n0","last_action":{"action":"powering_on"},"status":{"phase":"powering_on"},"enabled":false,"rack":7} <nil>
}

// A call for many components names those that failed; the others were done.
func ExampleBatchError() {
	call := func() error {
		return &bos.BatchError{Failed: map[bos.ComponentID]error{"x3000c0s1b0n0": fmt.Errorf("no answer: %w", bos.ErrUnavailable)}}
	}
	batch, ok := errors.AsType[*bos.BatchError](call())
	if !ok {
		return
	}
	for id, err := range batch.Failed {
		fmt.Println(id, "may be tried again:", errors.Is(err, bos.ErrUnavailable))
	}
	// Output: x3000c0s1b0n0 may be tried again: true
}
