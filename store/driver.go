package store

import (
	"context"

	"github.com/bootorch/bosgo/bos"
)

// Bucket is one key space of a driver. The first six are the reference's Redis databases of the same number; Ours holds
// all that the reference does not know (leases, owners, settings …) under keys that begin with "bos:".
type Bucket int

// The buckets. Source: BOS v2, Redis layout.
const (
	BucketOptions Bucket = iota
	BucketComponents
	BucketTemplates
	BucketSessions
	BucketArtifacts
	BucketStatuses
	BucketOurs
)

// Driver moves bytes for a Store. Keys and values are opaque to it; values are JSON objects. It is safe for concurrent
// use, and every error that is not the caller's matches bos.ErrUnavailable.
type Driver interface {
	// Get returns the values of keys in their order, nil for those without a record. The driver keeps no reference to
	// what it returns.
	Get(ctx context.Context, b Bucket, keys []string) ([][]byte, error)

	// Scan returns up to limit records with keys greater than after, in ascending byte order, and whether more may
	// follow.
	Scan(ctx context.Context, b Bucket, after string, limit int) (page []Entry, more bool, err error)

	// Commit applies writes whose expectation still holds and publishes their changes, in one step that no other
	// writer can interleave. With atomic set either all writes are applied or none. It returns the indexes of the
	// writes that lost: whose record no longer has the value Old. Losing is no error.
	Commit(ctx context.Context, writes []Mutation, atomic bool) (lost []int, err error)

	// Feed returns the changes of this database, those of other processes included.
	Feed() *Feed

	Ping(ctx context.Context) error
	Close() error
}

// Entry is a record as a driver sees it.
type Entry struct {
	Key   string
	Value []byte
}

// Mutation is one compare-and-set of a Commit.
type Mutation struct {
	Bucket Bucket
	Key    string
	Old    []byte // the value it was decided on; nil = there was no record
	New    []byte // nil deletes; the same as Old only checks
	Change *bos.Change
}
