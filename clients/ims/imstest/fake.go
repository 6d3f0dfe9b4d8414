// Package imstest helps to test code that uses package ims: a [Fake] image service, the same as an HTTP server
// ([Handler]), the conformance suite [Run] for implementations of ims.ImageClient, and a generated mock.
package imstest

//go:generate go tool mockgen -write_package_comment=false -destination mock.go -package imstest -source ../ims.go

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/ims"
)

// Call is one call that a Fake has answered.
type Call struct {
	Method     string // of ims.ImageClient: "Image" or "Tag"
	ID         string
	Key, Value string // of Tag
}

// Fake is an image service in memory. It is safe for concurrent use; use it as a pointer. The zero value has no image.
type Fake struct {
	// OnCall, if set before the first use, sees each call first; an error is the call's answer and nothing else happens.
	OnCall func(Call) error

	mu     sync.Mutex
	images map[string]ims.Image
	calls  []Call
}

var _ ims.ImageClient = (*Fake)(nil)

// New returns a Fake that has the images.
func New(images ...ims.Image) *Fake {
	f := new(Fake)
	f.Set(images...)
	return f
}

// Set adds images, or replaces those of the same id.
func (f *Fake) Set(images ...ims.Image) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.images == nil {
		f.images = map[string]ims.Image{}
	}
	for _, i := range images {
		f.images[i.ID] = clone(i)
	}
}

// Remove deletes an image.
func (f *Fake) Remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.images, id)
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

func (f *Fake) begin(ctx context.Context, c Call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.OnCall != nil {
		return f.OnCall(c)
	}
	return nil
}

// Image implements ims.ImageClient.
func (f *Fake) Image(ctx context.Context, id string) (ims.Image, error) {
	if err := f.begin(ctx, Call{Method: "Image", ID: id}); err != nil {
		return ims.Image{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	image, ok := f.images[id]
	if !ok {
		return ims.Image{}, notFound(id)
	}
	return clone(image), nil
}

// Tag implements ims.ImageClient.
func (f *Fake) Tag(ctx context.Context, id, key, value string) error {
	if err := f.begin(ctx, Call{Method: "Tag", ID: id, Key: key, Value: value}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	image, ok := f.images[id]
	if !ok {
		return notFound(id)
	}
	image.Metadata[key] = value
	return nil
}

func notFound(id string) error {
	return fmt.Errorf("IMS image id '%s' does not exist in IMS: %w", id, bos.ErrNotFound)
}

func clone(i ims.Image) ims.Image {
	i.Metadata = maps.Clone(i.Metadata)
	if i.Metadata == nil {
		i.Metadata = map[string]string{}
	}
	return i
}
