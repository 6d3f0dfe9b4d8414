package bostest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/ims/imstest"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/clients/tapms/tapmstest"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

// Options says what a Fixture is made of. The zero value works: a store in memory.
type Options struct {
	// Driver keeps the records. It is wrapped, so that cases can take the store down and write past it. The fixture
	// closes it. Nil means Store.
	Driver store.Driver
	// Store is used instead of a Driver; the cases that need to reach below it are skipped. The caller closes it. Nil
	// means a memstore.
	Store store.Store
	// Raw writes records the way another BOS does. Nil means through Driver.
	Raw Raw
	// Log takes what the server logs. Nil discards.
	Log *slog.Logger
}

// Raw reaches the records of a database past its store. Bucket b is the reference's Redis database of that number.
type Raw interface {
	Get(ctx context.Context, b store.Bucket, key string) ([]byte, error) // nil = no record
	Set(ctx context.Context, b store.Bucket, key string, value []byte) error
	Keys(ctx context.Context, b store.Bucket) ([]string, error)
}

// Fixture is an API server with the surroundings of the conformance cases: TAPMS knows the tenant ten1, which owns
// x1000c0s0b0n0 and x1000c0s0b0n1; IMS and S3 have the images img1, arm (aarch64), noinitrd, nokern and noboot, each
// lacking what its name says, and S3 alone has noims.
type Fixture struct {
	URL       string             // of the HTTP server, without trailing slash
	Handler   http.Handler       // what it serves
	Service   *bosserver.Service // what the handler calls
	Store     store.Store
	Tenants   *tapmstest.Fake
	Images    *imstest.Fake
	Manifests *manifesttest.Fake
	Raw       Raw    // nil where only a Store was given
	StoreDown func() // makes the store unreachable; likewise

	// CutConnections breaks every connection to the server, as a restart of it would.
	CutConnections func()

	client   *http.Client
	contract *contract
}

// NewServer starts an API server, which ends with the test.
func NewServer(t testing.TB, o Options) *Fixture {
	t.Helper()
	f := &Fixture{Store: o.Store, Raw: o.Raw, Tenants: new(tapmstest.Fake), Images: imstest.New(), Manifests: new(manifesttest.Fake)}
	if o.Driver == nil && o.Store == nil {
		o.Driver = memstore.NewDriver()
	}
	if o.Driver != nil {
		d := &breakable{Driver: o.Driver}
		db := store.New(d, store.Config{Log: o.Log})
		t.Cleanup(func() { _ = db.Close() })
		f.Store, f.StoreDown = db, func() { d.down.Store(true) }
		if f.Raw == nil {
			f.Raw = rawDriver{o.Driver}
		}
	}
	f.surround()
	f.Service = bosserver.New(f.Store, bosserver.Config{Tenants: f.Tenants, Images: f.Images, Manifests: f.Manifests, Log: o.Log})
	f.Handler = bosserver.NewHandler(f.Service, bosserver.HandlerConfig{ProxyPath: "/apis/bos", Log: o.Log})
	server := httptest.NewServer(f.Handler)
	t.Cleanup(server.Close)
	f.URL, f.client, f.CutConnections = server.URL, server.Client(), server.CloseClientConnections
	f.client.Timeout = time.Minute
	f.contract = openAPI()
	return f
}

// surround fills the tenant service, the image service and the object store.
func (f *Fixture) surround() {
	f.Tenants.Set("ten1", "x1000c0s0b0n0", "x1000c0s0b0n1")
	for id, without := range map[string]string{"img1": "", "arm": "", "noinitrd": "initrd", "nokern": "kernel", "noboot": "boot_parameters", "noims": ""} {
		f.Manifests.Put("s3://boot-images/"+id+"/manifest.json", f.manifest(id, without), "e-manifest")
		switch id {
		case "noims":
		case "arm":
			f.Images.Set(ims.Image{ID: id, Name: id, Arch: "aarch64"})
		default:
			f.Images.Set(ims.Image{ID: id, Name: id, Arch: "x86_64"})
		}
	}
}

// manifest stores the parts of an image but one and returns the text of its manifest.
func (f *Fixture) manifest(id, without string) string {
	var artifacts []string
	for part, typ := range map[string]string{"kernel": "kernel", "initrd": "initrd", "rootfs": "rootfs.squashfs", "boot_parameters": "parameters.boot"} {
		if part == without {
			continue
		}
		path := "s3://boot-images/" + id + "/" + part
		f.Manifests.Put(path, part, "e-"+part)
		artifacts = append(artifacts, fmt.Sprintf(`{"type":"application/vnd.cray.image.%s","md5":"0","link":{"type":"s3","path":%q,"etag":"e-%s"}}`, typ, path, part))
	}
	return `{"version":"1.0","created":"2025-01-01 10:00:00","artifacts":[` + strings.Join(artifacts, ",") + `]}`
}

// breakable is a driver that can be made unreachable.
type breakable struct {
	store.Driver
	down atomic.Bool
}

func (b *breakable) check() error {
	if b.down.Load() {
		return fmt.Errorf("dial tcp 10.0.0.1:6379: connection refused: %w", bos.ErrUnavailable)
	}
	return nil
}

func (b *breakable) Get(ctx context.Context, bucket store.Bucket, keys []string) ([][]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return b.Driver.Get(ctx, bucket, keys)
}

func (b *breakable) Scan(ctx context.Context, bucket store.Bucket, after string, limit int) store.Entries {
	if err := b.check(); err != nil {
		return func(yield func(store.Entry, error) bool) { yield(store.Entry{}, err) }
	}
	return b.Driver.Scan(ctx, bucket, after, limit)
}

func (b *breakable) Commit(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return b.Driver.Commit(ctx, writes, atomic)
}

func (b *breakable) Ping(ctx context.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	return b.Driver.Ping(ctx)
}

// rawDriver writes through a driver.
type rawDriver struct{ d store.Driver }

func (r rawDriver) Get(ctx context.Context, b store.Bucket, key string) ([]byte, error) {
	values, err := r.d.Get(ctx, b, []string{key})
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

func (r rawDriver) Set(ctx context.Context, b store.Bucket, key string, value []byte) error {
	old, err := r.Get(ctx, b, key)
	if err != nil {
		return err
	}
	lost, err := r.d.Commit(ctx, []store.Mutation{{Bucket: b, Key: key, Old: old, New: value}}, true)
	if err == nil && len(lost) > 0 {
		err = fmt.Errorf("%s %s: somebody else writes", b, key)
	}
	return err
}

func (r rawDriver) Keys(ctx context.Context, b store.Bucket) (keys []string, err error) {
	for entry, err := range r.d.Scan(ctx, b, "", 0) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, entry.Key)
	}
	return keys, nil
}
