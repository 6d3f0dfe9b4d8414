// Package bsstest helps to test code that uses package bss: a [Fake] boot script service, the same as an HTTP server
// ([Handler]), the conformance suite [Run] for implementations of bss.BootClient, and a generated mock.
package bsstest

//go:generate go tool mockgen -write_package_comment=false -destination mock.go -package bsstest -source ../bss.go

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/bss"
)

// Call is one call that a Fake has answered.
type Call struct {
	IDs       []bos.ComponentID
	Artifacts bos.BootArtifacts
}

// Fake is a boot script service in memory. It is safe for concurrent use; use it as a pointer. The zero value is ready.
type Fake struct {
	// OnCall, if set before the first use, sees each call first; an error is the call's answer and nothing else happens.
	OnCall func(Call) error
	// OnAnswer, if set before the first use, sees each call after the parameters are stored; an error replaces the token.
	OnAnswer func(Call) error

	mu     sync.Mutex
	tokens []bos.BootArtifacts // what token-1, token-2 … stand for
	params map[bos.ComponentID]entry
	calls  []Call
}

type entry struct {
	artifacts bos.BootArtifacts
	token     bos.BSSToken
}

var _ bss.BootClient = (*Fake)(nil)

// SetBootParameters implements bss.BootClient. Its tokens are "token-1", "token-2" and so on.
func (f *Fake) SetBootParameters(ctx context.Context, ids []bos.ComponentID, a bos.BootArtifacts) (bos.BSSToken, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", &bos.FieldError{Field: "ids", Reason: "boot parameters need at least one node"}
	}
	c := Call{IDs: slices.Clone(ids), Artifacts: a}
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.OnCall != nil {
		if err := f.OnCall(c); err != nil {
			return "", err
		}
	}
	token := f.store(c)
	if f.OnAnswer != nil {
		if err := f.OnAnswer(c); err != nil {
			return "", err
		}
	}
	return token, nil
}

func (f *Fake) store(c Call) bos.BSSToken {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.params == nil {
		f.params = map[bos.ComponentID]entry{}
	}
	f.tokens = append(f.tokens, c.Artifacts)
	token := bos.BSSToken(fmt.Sprintf("token-%d", len(f.tokens)))
	for _, id := range c.IDs {
		f.params[id] = entry{c.Artifacts, token}
	}
	return token
}

// Parameters returns what id boots and under which token; ok is false if nobody has set any.
func (f *Fake) Parameters(id bos.ComponentID) (a bos.BootArtifacts, token bos.BSSToken, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.params[id]
	return e.artifacts, e.token, ok
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
