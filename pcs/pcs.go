// Package pcs speaks to the Power Control Service, or to CAPMC where a site has only that.
package pcs

import (
	"context"
	"errors"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// Operation is a power operation. Source: PCS API, POST /transitions.
type Operation string

// The operations that BOS uses.
const (
	On       Operation = "On"
	SoftOff  Operation = "Soft-Off"  // the operating system shuts down; never escalates by itself
	ForceOff Operation = "Force-Off" // power is cut
)

// State is the power state of a node as last sampled; the sample may be a minute old.
type State string

// The states. StateUndefined means that the management controller cannot be read; it is neither on nor off.
const (
	StateOn        State = "on"
	StateOff       State = "off"
	StateUndefined State = "undefined"
)

// PowerStatus is the reading of one node. With Error set the reading failed and State says nothing.
type PowerStatus struct {
	State       State
	Available   bool   // the management controller answers
	Error       string // the service's words, such as "Component not found in component map."
	LastUpdated time.Time
}

// TransitionID identifies an accepted transition; empty where the back end has none (CAPMC). It is opaque: one that was
// split at the limits of the service stands for several.
type TransitionID string

// TaskState is the progress of one node in a transition.
type TaskState string

// The task states.
const (
	TaskNew         TaskState = "new"
	TaskInProgress  TaskState = "in-progress"
	TaskSucceeded   TaskState = "succeeded"
	TaskFailed      TaskState = "failed"
	TaskUnsupported TaskState = "unsupported"
)

// Task is one node in a transition.
type Task struct {
	State       TaskState
	Description string // what PCS is doing or why it failed
	Error       string // the controller's own words; often empty
}

// Done reports whether the task has ended.
func (t Task) Done() bool {
	return t.State == TaskSucceeded || t.State == TaskFailed || t.State == TaskUnsupported
}

// Reason says in one line what became of the task: what PCS said and what the controller said.
func (t Task) Reason() string {
	switch {
	case t.Error == "" && t.Description == "":
		return "the power task is " + string(t.State)
	case t.Error == "":
		return t.Description
	case t.Description == "":
		return t.Error
	}
	return t.Description + ": " + t.Error
}

// Transition is a power operation on its way. A transition whose every task failed is done nevertheless: look at the
// tasks. All its nodes stay reserved until Done.
type Transition struct {
	ID        TransitionID
	Operation Operation
	Done      bool // completed or aborted; the reservations are free
	Tasks     map[bos.ComponentID]Task
	Counts    map[TaskState]int // tasks by state, as the service counts them; states without tasks may be missing
}

// Err returns the tasks that failed or are unsupported as a *bos.BatchError with their reasons, or nil.
func (t *Transition) Err() error {
	failed := map[bos.ComponentID]error{}
	for id, task := range t.Tasks {
		if task.State == TaskFailed || task.State == TaskUnsupported {
			failed[id] = errors.New(task.Reason())
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &bos.BatchError{Failed: failed}
}

// ErrOutcomeUnknown is the error of a transition request that may have been executed: it was sent, and the answer is
// missing or makes no sense. The error may match bos.ErrUnavailable too; look for this one first.
var ErrOutcomeUnknown = rest.ErrOutcomeUnknown

// PowerClient is the power back end. Implementations are safe for concurrent use and split requests at their own
// limits. Errors match bos.ErrUnavailable for an outage; of Transition, ErrOutcomeUnknown when the request may have
// been executed; *bos.BatchError when only the named components were refused.
type PowerClient interface {
	// PowerStatus reads the state of ids; those the service leaves out are missing from the map. Ids that the service
	// calls malformed are entries with Error. No ids, no call.
	PowerStatus(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]PowerStatus, error)
	// Transition starts op on ids and returns when the service has accepted it: the work goes on. It is never repeated
	// blindly. No ids is bos.ErrInvalid. Beside a *bos.BatchError the id is that of the transition of the others.
	Transition(ctx context.Context, op Operation, ids []bos.ComponentID) (TransitionID, error)
}

// TransitionReader is a PowerClient that can tell how an accepted transition goes.
type TransitionReader interface {
	// ReadTransition fails with bos.ErrNotFound when the service has forgotten the transition.
	ReadTransition(ctx context.Context, id TransitionID) (Transition, error)
	// AbortTransition asks for the end of a transition; nodes already commanded go on.
	AbortTransition(ctx context.Context, id TransitionID) error
}
