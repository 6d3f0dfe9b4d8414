// Package pcstest helps to test code that uses package pcs: a [Fake] power back end, the same as an HTTP server
// ([Handler]), the conformance suite [Run] for implementations of pcs.PowerClient, and a generated mock.
package pcstest

//go:generate go tool mockgen -write_package_comment=false -destination mock.go -package pcstest -source ../pcs.go

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
)

// NotInMap is what PCS says of a node that it does not know.
const NotInMap = "Component not found in component map."

// UnableToReserve is what PCS says of a node that somebody else holds.
const UnableToReserve = "Unable to reserve component"

// Call is one call that a Fake has answered.
type Call struct {
	Method     string            // of pcs.PowerClient or pcs.TransitionReader, such as "Transition"
	Operation  pcs.Operation     // of Transition
	IDs        []bos.ComponentID // of PowerStatus and Transition
	Transition pcs.TransitionID  // of ReadTransition and AbortTransition
}

// Fake is a power back end in memory. Its nodes obey at once, unless told otherwise by Refuse, Ignore or HoldOpen. It
// is safe for concurrent use; use it as a pointer. The zero value knows no node.
type Fake struct {
	// OnCall, if set before the first use, sees each call first; an error is the call's answer and nothing else happens.
	OnCall func(Call) error
	// OnAnswer, if set before the first use, sees each call after its work is done; an error replaces the answer. So
	// does a caller see a request whose answer is lost. Beside a *bos.BatchError, Transition returns its id.
	OnAnswer func(Call) error

	mu          sync.Mutex
	nodes       map[bos.ComponentID]pcs.PowerStatus
	refuse      map[bos.ComponentID]string // task error by node
	ignore      map[bos.ComponentID]bool
	holdOpen    bool
	transitions []*pcs.Transition // by number, from 1
	calls       []Call
}

var (
	_ pcs.PowerClient      = (*Fake)(nil)
	_ pcs.TransitionReader = (*Fake)(nil)
)

// New returns a Fake whose nodes are ids, all of them off.
func New(ids ...bos.ComponentID) *Fake {
	f := new(Fake)
	f.SetState(pcs.StateOff, ids...)
	return f
}

// SetState gives ids the power state and an answering controller; unknown ones become known. StateUndefined means
// that the controller does not answer.
func (f *Fake) SetState(s pcs.State, ids ...bos.ComponentID) {
	for _, id := range ids {
		f.Set(id, pcs.PowerStatus{State: s, Available: s != pcs.StateUndefined})
	}
}

// Set gives id the reading, as it is.
func (f *Fake) Set(id bos.ComponentID, s pcs.PowerStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(id, s)
}

func (f *Fake) set(id bos.ComponentID, s pcs.PowerStatus) {
	if f.nodes == nil {
		f.nodes = map[bos.ComponentID]pcs.PowerStatus{}
	}
	if s.LastUpdated.IsZero() {
		s.LastUpdated = time.Now()
	}
	f.nodes[id] = s
}

// Status returns the reading of id; ok is false for an unknown node.
func (f *Fake) Status(id bos.ComponentID) (s pcs.PowerStatus, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok = f.nodes[id]
	return s, ok
}

// State returns the power state of id, empty for an unknown node.
func (f *Fake) State(id bos.ComponentID) pcs.State {
	s, _ := f.Status(id)
	return s.State
}

// Remove drops ids from the answers of PowerStatus, which then leaves them out.
func (f *Fake) Remove(ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		delete(f.nodes, id)
	}
}

// Refuse makes the tasks of ids fail with the error from now on; an empty one ends that.
func (f *Fake) Refuse(taskError string, ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil {
		f.refuse = map[bos.ComponentID]string{}
	}
	for _, id := range ids {
		f.refuse[id] = taskError
	}
}

// Ignore makes ids ignore what they are told, though their tasks succeed (true), or listen again (false).
func (f *Fake) Ignore(on bool, ids ...bos.ComponentID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ignore == nil {
		f.ignore = map[bos.ComponentID]bool{}
	}
	for _, id := range ids {
		f.ignore[id] = on
	}
}

// HoldOpen makes transitions stay open, with their nodes reserved, until Complete (true), or be done at once (false,
// the default). The nodes obey at once either way, as they do under PCS.
func (f *Fake) HoldOpen(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holdOpen = on
}

// Complete ends all open transitions.
func (f *Fake) Complete() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.transitions {
		finish(t, pcs.Task{State: pcs.TaskSucceeded, Description: "Transition confirmed, " + string(t.Operation)})
	}
}

// finish ends the transition; tasks still in progress become last.
func finish(t *pcs.Transition, last pcs.Task) {
	t.Done = true
	for id, task := range t.Tasks {
		if !task.Done() {
			t.Tasks[id] = last
		}
	}
}

// Transitions returns the accepted transitions, in order.
func (f *Fake) Transitions() []pcs.Transition {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]pcs.Transition, len(f.transitions))
	for i, t := range f.transitions {
		out[i] = cloneTransition(t)
	}
	return out
}

// Calls returns the calls so far, in order; failed ones are among them.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// ForgetCalls empties the record of calls.
func (f *Fake) ForgetCalls() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// call records c, asks OnCall, does the work under the lock and asks OnAnswer.
func (f *Fake) call(ctx context.Context, c Call, work func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.IDs = slices.Clone(c.IDs)
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.OnCall != nil {
		if err := f.OnCall(c); err != nil {
			return err
		}
	}
	f.mu.Lock()
	err := work()
	f.mu.Unlock()
	if err == nil && f.OnAnswer != nil {
		err = f.OnAnswer(c)
	}
	return err
}

// PowerStatus implements pcs.PowerClient. An unknown id is missing from the answer, or an entry with Error if it is
// no xname of a node.
func (f *Fake) PowerStatus(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]pcs.PowerStatus, error) {
	statuses := make(map[bos.ComponentID]pcs.PowerStatus, len(ids))
	if len(ids) == 0 {
		return statuses, nil
	}
	err := f.call(ctx, Call{Method: "PowerStatus", IDs: ids}, func() error {
		for _, id := range ids {
			if s, ok := f.nodes[id]; ok {
				statuses[id] = s
			} else if !bos.IsNodeXname(id) {
				statuses[id] = pcs.PowerStatus{Error: fmt.Sprintf("'%s' is not an xname of a node", id)}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return statuses, nil
}

// Transition implements pcs.PowerClient. Its ids are "transition-1", "transition-2" and so on.
func (f *Fake) Transition(ctx context.Context, op pcs.Operation, ids []bos.ComponentID) (pcs.TransitionID, error) {
	if len(ids) == 0 {
		return "", &bos.FieldError{Field: "ids", Reason: "a power transition needs at least one node"}
	}
	var id pcs.TransitionID
	err := f.call(ctx, Call{Method: "Transition", Operation: op, IDs: ids}, func() error {
		t := &pcs.Transition{Operation: op, Tasks: map[bos.ComponentID]pcs.Task{}}
		for _, node := range ids {
			t.Tasks[node] = f.command(op, node)
		}
		f.transitions = append(f.transitions, t)
		id = pcs.TransitionID("transition-" + strconv.Itoa(len(f.transitions)))
		t.ID = id
		if !f.holdOpen {
			finish(t, pcs.Task{State: pcs.TaskSucceeded, Description: "Transition confirmed, " + string(op)})
		}
		return nil
	})
	if _, partial := errors.AsType[*bos.BatchError](err); err != nil && !partial {
		return "", err
	}
	return id, err
}

// command applies op to one node and returns its task.
func (f *Fake) command(op pcs.Operation, id bos.ComponentID) pcs.Task {
	s, known := f.nodes[id]
	switch {
	case !known:
		return pcs.Task{State: pcs.TaskFailed, Description: "Missing xname"}
	case f.refuse[id] != "":
		return pcs.Task{State: pcs.TaskFailed, Description: "Failed to apply transition", Error: f.refuse[id]}
	case f.reserved(id):
		return pcs.Task{State: pcs.TaskFailed, Description: UnableToReserve}
	}
	if !f.ignore[id] {
		s.State, s.Available, s.Error, s.LastUpdated = pcs.StateOff, true, "", time.Time{}
		if op == pcs.On {
			s.State = pcs.StateOn
		}
		f.set(id, s)
	}
	return pcs.Task{State: pcs.TaskInProgress, Description: "Confirming successful transition, " + string(op)}
}

// reserved reports whether an open transition holds the node.
func (f *Fake) reserved(id bos.ComponentID) bool {
	return slices.ContainsFunc(f.transitions, func(t *pcs.Transition) bool {
		_, in := t.Tasks[id]
		return in && !t.Done
	})
}

// ReadTransition implements pcs.TransitionReader.
func (f *Fake) ReadTransition(ctx context.Context, id pcs.TransitionID) (t pcs.Transition, err error) {
	err = f.call(ctx, Call{Method: "ReadTransition", Transition: id}, func() error {
		open, err := f.find(id)
		if err == nil {
			t = cloneTransition(open)
		}
		return err
	})
	return t, err
}

// AbortTransition implements pcs.TransitionReader: the transition ends at once.
func (f *Fake) AbortTransition(ctx context.Context, id pcs.TransitionID) error {
	return f.call(ctx, Call{Method: "AbortTransition", Transition: id}, func() error {
		t, err := f.find(id)
		if err == nil {
			finish(t, pcs.Task{State: pcs.TaskFailed, Description: "Transition aborted"})
		}
		return err
	})
}

func (f *Fake) find(id pcs.TransitionID) (*pcs.Transition, error) {
	for _, t := range f.transitions {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, fmt.Errorf("transition %s: %w", id, bos.ErrNotFound)
}

func cloneTransition(t *pcs.Transition) pcs.Transition {
	c := *t
	c.Tasks = maps.Clone(t.Tasks)
	c.Counts = map[pcs.TaskState]int{}
	for _, task := range t.Tasks {
		c.Counts[task.State]++
	}
	return c
}
