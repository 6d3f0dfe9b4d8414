package builtin

import "github.com/bootorch/bosgo/pcs"

// Transitions is what the operators of one process know of the power transitions they have started. It is safe for
// concurrent use.
type Transitions struct {
	power pcs.PowerClient
}

// NewTransitions returns an empty one over the power back end.
func NewTransitions(power pcs.PowerClient) *Transitions { return &Transitions{power: power} }
