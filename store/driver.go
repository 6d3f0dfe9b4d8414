package store

import (
	"bytes"
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

	bucketCount
)

// Buckets returns all buckets in ascending order.
func Buckets() []Bucket {
	buckets := make([]Bucket, bucketCount)
	for i := range buckets {
		buckets[i] = Bucket(i)
	}
	return buckets
}

var bucketNames = [bucketCount]string{"options", "components", "templates", "sessions", "artifacts", "statuses", "ours"}

// String returns the plural noun of the records in the bucket.
func (b Bucket) String() string {
	if b < 0 || b >= bucketCount {
		return "unknown bucket"
	}
	return bucketNames[b]
}

// Driver moves bytes for a Store. Keys (1 to MaxKeySize bytes) and values are opaque to it; values are JSON. A value
// is never modified after it was handed over, in either direction. A driver is safe for concurrent use, and every error
// that is not the caller's matches bos.ErrUnavailable.
type Driver interface {
	// Get returns the values of keys in their order, nil for those without a record.
	Get(ctx context.Context, b Bucket, keys []string) ([][]byte, error)

	// Scan yields the records with keys greater than after in ascending byte order, up to limit of them (0 = all),
	// reading them in pages as they are asked for. A record present throughout is seen exactly once; one added or
	// removed meanwhile may or may not be. The sequence ends after an error.
	Scan(ctx context.Context, b Bucket, after string, limit int) Entries

	// Commit applies writes whose expectation still holds and publishes their changes, in one step that no other
	// writer can interleave: the cursors of the changes are in the order in which the writes took effect. With atomic
	// set either all writes are applied or none. It returns the indexes of the writes that lost, in ascending order:
	// whose record no longer has the value Old. When one that is marked Must loses, all lose. Losing is no error. No two
	// writes of a call have the same key. After an error it is unknown whether the writes were applied, unless the
	// driver says otherwise.
	Commit(ctx context.Context, writes []Mutation, atomic bool) (lost []int, err error)

	// Feed returns the changes of this database, those of other processes included.
	Feed() *Feed

	Ping(ctx context.Context) error
	// Close frees what the driver holds and ends its feed. Closing again does nothing.
	Close() error
}

// MaxKeySize is the longest key in bytes that every driver can store.
const MaxKeySize = 32 << 10

// Entry is a record as a driver sees it.
type Entry struct {
	Key   string
	Value []byte
}

// Entries is a sequence of records to range over.
type Entries func(yield func(Entry, error) bool)

// Mutation is one compare-and-set of a Commit.
type Mutation struct {
	Bucket Bucket
	Key    string
	Old    []byte      // the value it was decided on; nil = there was no record
	New    []byte      // nil deletes; the same as Old only checks
	Must   bool        // only for a check of a record: without it nothing else of the call is written
	Change *bos.Change // what to publish; nil = nothing. The driver sets its cursor
}

// Race is for drivers: it splits the writes of a Commit into those to be applied and the indexes of those that lost.
// current returns the present value of a record, nil when there is none.
func Race(writes []Mutation, atomic bool, current func(b Bucket, key string) []byte) (won []Mutation, lost []int) {
	won = make([]Mutation, 0, len(writes))
	none := false
	for i, w := range writes {
		now := current(w.Bucket, w.Key)
		if (now == nil) == (w.Old == nil) && bytes.Equal(now, w.Old) {
			won = append(won, w)
			continue
		}
		lost = append(lost, i)
		none = none || atomic || w.Must
	}
	if !none {
		return won, lost
	}
	if !atomic {
		lost = lost[:0]
		for i := range writes {
			lost = append(lost, i)
		}
	}
	return nil, lost
}
