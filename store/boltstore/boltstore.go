// Package boltstore keeps the records of BOS in one file of the machine it runs on: no service to operate, and nothing
// is lost when the process dies. The file belongs to the process that has it open.
package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Schema is the version of the file's layout: one bbolt bucket per store.Bucket, named like it, and "meta".
const Schema = 1

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = time.Second

// pageSize is how many records a Scan reads in one transaction.
const pageSize = 256

var (
	metaBucket = []byte("meta")
	formatKey  = []byte("format")
	schemaKey  = []byte("schema")
	format     = []byte("bosgo store")
)

// Open opens the file, creating it (mode 0600) and its directory (0700) where there is none. A file that another
// process has open is refused with an error that matches bos.ErrUnavailable; so are files of another kind or of a newer
// schema, with an error that matches none.
func Open(path string, cfg store.Config) (*store.DB, error) {
	d, err := OpenDriver(path)
	if err != nil {
		return nil, err
	}
	return store.New(d, cfg), nil
}

// Driver is a store.Driver over one bbolt file.
type Driver struct {
	store.Touches
	db     *bbolt.DB
	feed   *store.Feed
	leader chan struct{} // holds an element while somebody commits

	mu    sync.Mutex
	queue []*request // waiting for the next commit
}

var _ store.Driver = (*Driver)(nil)

// OpenDriver is Open without the typed layer.
func OpenDriver(path string) (*Driver, error) {
	if path == "" {
		return nil, fmt.Errorf("a file name is needed: %w", bos.ErrInvalid)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open %s: create its directory: %w", path, err)
	}
	_, statErr := os.Stat(path)
	db, err := openFile(path)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: another process has this store open; stop that process, or reach it through its API: %w", path, bos.ErrUnavailable)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("open %s: this file is not a BOS store, or it is damaged (%w); move it away or name another file", path, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := prepare(db); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, errors.Join(err, db.Close()))
	}
	if os.IsNotExist(statErr) {
		syncDirectory(dir)
	}
	return &Driver{
		db:     db,
		feed:   store.NewFeed(bos.Cursor{Epoch: store.NewEpoch()}),
		leader: make(chan struct{}, 1),
	}, nil
}

var errDamaged = errors.New("it is damaged; restore it from a backup")

// openFile opens the database. Looking at a file that was cut off faults.
func openFile(path string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			db, err = nil, errDamaged
		}
	}()
	return bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
}

// prepare checks what the file is, and makes a store of an empty one.
func prepare(db *bbolt.DB) error {
	ready := false
	err := db.View(func(tx *bbolt.Tx) error {
		if info, err := os.Stat(db.Path()); err != nil || info.Size() < tx.Size() {
			return errors.Join(err, errDamaged)
		}
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			if name, _ := tx.Cursor().First(); name != nil {
				return errors.New("this is the database of another program; name another file")
			}
			return nil
		}
		if !bytes.Equal(meta.Get(formatKey), format) {
			return errors.New("this is the database of another program; name another file")
		}
		version, err := strconv.Atoi(string(meta.Get(schemaKey)))
		switch {
		case err != nil || version < 1:
			return errors.New("the store does not say its schema version; restore it from a backup")
		case version > Schema:
			return fmt.Errorf("the store has schema %d, this release knows %d: use the release that wrote it, or a newer one", version, Schema)
		}
		ready = true
		return nil
	})
	if err != nil || ready {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, b := range store.Buckets() {
			if _, err := tx.CreateBucketIfNotExists([]byte(b.String())); err != nil {
				return err
			}
		}
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		return errors.Join(meta.Put(formatKey, format), meta.Put(schemaKey, []byte(strconv.Itoa(Schema))))
	})
}

// syncDirectory makes a new file's name durable where the file system supports it.
func syncDirectory(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// view runs fn on the records of a bucket.
func (d *Driver) view(ctx context.Context, b store.Bucket, fn func(*bbolt.Bucket)) error {
	if err := ended(ctx); err != nil {
		return err
	}
	err := d.db.View(func(tx *bbolt.Tx) error {
		fn(tx.Bucket([]byte(b.String())))
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", bos.ErrUnavailable, context.Cause(ctx))
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", bos.ErrUnavailable, err) }

// Get implements store.Driver.
func (d *Driver) Get(ctx context.Context, b store.Bucket, keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	err := d.view(ctx, b, func(records *bbolt.Bucket) {
		for i, key := range keys {
			values[i] = bytes.Clone(records.Get([]byte(key)))
		}
	})
	return values, err
}

// Scan implements store.Driver. Each page is a transaction of its own, so that a slow reader holds nothing up.
func (d *Driver) Scan(ctx context.Context, b store.Bucket, after string, limit int) store.Entries {
	return func(yield func(store.Entry, error) bool) {
		for n := 0; ; {
			size := pageSize
			if limit > 0 {
				size = min(size, limit-n)
			}
			page, err := d.page(ctx, b, after, size)
			if err != nil {
				yield(store.Entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if n += len(page); len(page) < size || n == limit {
				return
			}
			after = page[len(page)-1].Key
		}
	}
}

func (d *Driver) page(ctx context.Context, b store.Bucket, after string, size int) ([]store.Entry, error) {
	page := make([]store.Entry, 0, size)
	err := d.view(ctx, b, func(records *bbolt.Bucket) {
		c := records.Cursor()
		key, value := c.Seek([]byte(after))
		if after != "" && string(key) == after {
			key, value = c.Next()
		}
		for ; key != nil && len(page) < size; key, value = c.Next() {
			page = append(page, store.Entry{Key: string(key), Value: bytes.Clone(value)})
		}
	})
	return page, err
}

// request is one Commit on its way.
type request struct {
	writes []store.Mutation
	atomic bool
	done   chan struct{} // closed once the following are set
	lost   []int
	err    error
}

// Commit implements store.Driver. Calls that arrive while the disk is busy are written together: whoever gets to commit
// next does so for all that wait. After an error nothing was applied.
func (d *Driver) Commit(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	for _, w := range writes {
		if len(w.Key) == 0 || len(w.Key) > store.MaxKeySize {
			return nil, fmt.Errorf("a key has 1 to %d bytes: %w", store.MaxKeySize, bos.ErrInvalid)
		}
	}
	r := &request{writes: writes, atomic: atomic, done: make(chan struct{})}
	d.mu.Lock()
	d.queue = append(d.queue, r)
	d.mu.Unlock()
	select {
	case <-r.done:
	case d.leader <- struct{}{}:
		d.commitQueue()
		<-d.leader
		<-r.done // by this round, or by the one before
	}
	return r.lost, r.err
}

// commitQueue writes all waiting requests in one transaction of the file.
func (d *Driver) commitQueue() {
	d.mu.Lock()
	group := d.queue
	d.queue = nil
	d.mu.Unlock()
	if len(group) == 0 {
		return
	}
	var applied []store.Mutation
	err := d.db.Update(func(tx *bbolt.Tx) error {
		modified := false
		for _, r := range group {
			won, err := r.apply(tx)
			if err != nil {
				return err
			}
			applied = append(applied, won...)
			modified = modified || slices.ContainsFunc(won, isWrite)
		}
		if !modified {
			return errUnmodified
		}
		return nil
	})
	if errors.Is(err, errUnmodified) {
		err = nil
	}
	if err == nil {
		d.Mark(applied)
		d.feed.Publish(applied)
	}
	for _, r := range group {
		if err != nil {
			r.lost, r.err = nil, unavailable(err)
		}
		close(r.done)
	}
}

// errUnmodified ends a transaction that wrote nothing, so that it does not touch the disk.
var errUnmodified = errors.New("unmodified")

func isWrite(w store.Mutation) bool {
	return (w.Old == nil) != (w.New == nil) || !bytes.Equal(w.Old, w.New)
}

// apply makes the writes that win, and returns them.
func (r *request) apply(tx *bbolt.Tx) ([]store.Mutation, error) {
	var won []store.Mutation
	won, r.lost = store.Race(r.writes, r.atomic, func(b store.Bucket, key string) []byte {
		return tx.Bucket([]byte(b.String())).Get([]byte(key))
	})
	for _, w := range won {
		if !isWrite(w) {
			continue
		}
		records := tx.Bucket([]byte(w.Bucket.String()))
		var err error
		if w.New == nil {
			err = records.Delete([]byte(w.Key))
		} else {
			err = records.Put([]byte(w.Key), w.New)
		}
		if err != nil {
			return nil, err
		}
	}
	return won, nil
}

// Feed implements store.Driver.
func (d *Driver) Feed() *store.Feed { return d.feed }

// Ping implements store.Driver.
func (d *Driver) Ping(ctx context.Context) error {
	return d.view(ctx, store.BucketOptions, func(*bbolt.Bucket) {})
}

// Close implements store.Driver. It waits for a commit that is being written.
func (d *Driver) Close() error {
	d.CloseTracks()
	d.feed.Close()
	return d.db.Close()
}
