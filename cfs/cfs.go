// Package cfs speaks to the Configuration Framework Service, which configures nodes after they have booted.
package cfs

import (
	"context"

	"github.com/bootorch/bosgo/bos"
)

// Status is how far CFS is with a component, lower case.
type Status string

// The statuses. Others exist and count as invalid. Source: CFS API, V3ComponentData.configuration_status.
const (
	StatusConfigured   Status = "configured"
	StatusPending      Status = "pending"
	StatusFailed       Status = "failed"
	StatusUnconfigured Status = "unconfigured"
)

// Component is what CFS knows of a node.
type Component struct {
	ID            bos.ComponentID
	DesiredConfig string // empty = none
	Status        Status
	Enabled       bool
	ErrorCount    int
	LogsURL       string // where to read what went wrong; may be empty
}

// Assignment is the configuration that a group of nodes shall have.
type Assignment struct {
	Configuration string // empty = none
	Session       string // the BOS session, kept as tag bos_session; empty = no tag
	Enabled       bool   // CFS may act at once
	ClearState    bool   // forget what was applied: the node is about to boot
}

// ConfigClient is what BOS needs of CFS. Implementations are safe for concurrent use and split requests at the limits
// of the service. Errors match bos.ErrUnavailable for an outage.
type ConfigClient interface {
	// Components returns what CFS knows of ids; unknown ones are left out. Nil asks for every component, which fails with
	// bos.ErrTooLarge where the service cannot list so many at once (version 2): ask for them by id.
	Components(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]Component, error)
	// Assign gives all ids the same configuration. Ids that CFS does not know make a *bos.BatchError with
	// bos.ErrNotFound, the others are done. No ids is bos.ErrInvalid: to CFS an empty list means everything.
	Assign(ctx context.Context, ids []bos.ComponentID, a Assignment) error
}
