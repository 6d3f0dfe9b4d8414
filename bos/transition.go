package bos

import "context"

// PowerTransition is a power command that an operator of ours gave to nodes and that PCS accepted: what another process
// has to know to recognise the reservations and the old readings that come of it.
type PowerTransition struct {
	ID         string        `json:"id"`         // ours, of letters, digits and -._:
	Service    string        `json:"service_id"` // the one that the power service gave; empty where it gave none
	Operation  string        `json:"operation"`  // "On", "Soft-Off" or "Force-Off"
	Operator   string        `json:"operator"`   // that gave the command and follows it
	Accepted   int64         `json:"accepted"`   // Unix milliseconds
	Aborted    bool          `json:"aborted,omitempty"`
	Components []ComponentID `json:"components"`
}

// TransitionsAPI keeps the power transitions of the operators while their reservations and old readings matter. The
// operators themselves remove them.
type TransitionsAPI interface {
	// PowerTransitions returns those of ids that exist, all for nil ids, in order of id. Like the others of these it
	// fails with ErrUnsupported against a reference server.
	PowerTransitions(ctx context.Context, ids []string) ([]PowerTransition, error)
	// PutPowerTransition creates or replaces the record of t.ID.
	PutPowerTransition(ctx context.Context, t PowerTransition) error
	// DeletePowerTransition removes a record; one that does not exist is no error.
	DeletePowerTransition(ctx context.Context, id string) error
}
