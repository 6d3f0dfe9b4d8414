// Package manifesttest helps to test code that uses package manifest: a [Fake] object store, the same as an HTTP server
// ([Handler]), the conformance suite [Run] for implementations of manifest.Reader, and a generated mock.
package manifesttest

//go:generate go tool mockgen -write_package_comment=false -destination mock.go -package manifesttest -source ../manifest.go

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
)

// Call is one call that a Fake has answered.
type Call struct {
	Method string // of manifest.Reader, such as "Head"
	Path   string
}

// Fake is an object store in memory. It is safe for concurrent use; use it as a pointer. The zero value is empty.
type Fake struct {
	// OnCall, if set before the first use, sees each call first; an error is the call's answer.
	OnCall func(Call) error

	mu      sync.Mutex
	objects map[string]object
	calls   []Call
}

type object struct {
	text string
	etag string
}

var _ manifest.Reader = (*Fake)(nil)

// Put stores an object, or replaces it. path is an S3 URL; the etag has no quotes.
func (f *Fake) Put(path, text, etag string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.objects == nil {
		f.objects = map[string]object{}
	}
	f.objects[path] = object{text, etag}
}

// PutImage stores a complete image of IMS and returns the path of its manifest, s3://boot-images/ID/manifest.json. The
// parts are kernel, initrd, rootfs and boot_parameters beside it, with ETags "e-kernel" and so on.
func (f *Fake) PutImage(id, bootParameters string) (path string) {
	base := "s3://boot-images/" + id + "/"
	var artifacts []map[string]any
	for _, part := range []struct{ typ, name, text string }{
		{manifest.TypeRootfs, "rootfs", "rootfs"},
		{manifest.TypeKernel, "kernel", "kernel"},
		{manifest.TypeInitrd, "initrd", "initrd"},
		{manifest.TypeBootParameters, "boot_parameters", bootParameters},
	} {
		f.Put(base+part.name, part.text, "e-"+part.name)
		artifacts = append(artifacts, map[string]any{
			"type": part.typ, "md5": "0",
			"link": map[string]string{"type": "s3", "path": base + part.name, "etag": "e-" + part.name},
		})
	}
	text, err := json.Marshal(map[string]any{"version": "1.0", "created": "2025-01-01 10:00:00", "artifacts": artifacts})
	if err != nil {
		panic(err) // maps of strings always encode
	}
	f.Put(base+"manifest.json", string(text), "e-manifest")
	return base + "manifest.json"
}

// Remove deletes objects.
func (f *Fake) Remove(paths ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range paths {
		delete(f.objects, p)
	}
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

// get records the call and finds its object.
func (f *Fake) get(ctx context.Context, c Call) (object, error) {
	if err := ctx.Err(); err != nil {
		return object{}, err
	}
	if _, _, err := manifest.ParsePath(c.Path); err != nil {
		return object{}, err
	}
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.OnCall != nil {
		if err := f.OnCall(c); err != nil {
			return object{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.objects[c.Path]
	if !ok {
		return object{}, fmt.Errorf("no object at '%s': %w", c.Path, bos.ErrNotFound)
	}
	return o, nil
}

// Manifest implements manifest.Reader.
func (f *Fake) Manifest(ctx context.Context, typ, path string) (*manifest.Manifest, error) {
	if err := manifest.CheckType(typ); err != nil {
		return nil, err
	}
	o, err := f.get(ctx, Call{"Manifest", path})
	if err != nil {
		return nil, manifest.UnreadableManifest(path, err)
	}
	return manifest.Decode(path, []byte(o.text))
}

// BootParameters implements manifest.Reader.
func (f *Fake) BootParameters(ctx context.Context, a manifest.Artifact) (string, error) {
	o, err := f.get(ctx, Call{"BootParameters", a.Path})
	if err != nil {
		return "", manifest.UnreadableObject(a.Path, err)
	}
	return manifest.DecodeBootParameters(a.Path, []byte(o.text))
}

// Head implements manifest.Reader.
func (f *Fake) Head(ctx context.Context, path string) (string, error) {
	o, err := f.get(ctx, Call{"Head", path})
	return o.etag, err
}
