// Package store keeps the records of BOS: typed collections with atomic updates, a feed of changes and leases.
//
// A [Store] is what the API service works on. [New] makes one from a [Driver], which moves bytes and knows nothing of
// BOS; memstore, boltstore and redisstore bring one each. Wrap a Store, or write a Driver, to keep records elsewhere;
// storetest.Run checks either.
//
// [QueryComponents] selects components; a DB answers it from memory, never older than the query, when its driver is a
// [Tracker]. [Dump], [ParseDump] and [Restore] copy whole databases, package sanitize repairs old ones.
package store

import (
	"context"
	"iter"

	"github.com/bootorch/bosgo/bos"
)

// Store is a database of BOS. It is safe for concurrent use. Errors match bos.ErrUnavailable while the database cannot
// be reached, apart from those named at the methods.
type Store interface {
	Components() Collection[bos.ComponentID, bos.Component]
	Sessions() Collection[bos.TenantKey, bos.Session]
	Templates() Collection[bos.TenantKey, bos.SessionTemplate]
	SavedStatuses() Collection[bos.TenantKey, bos.ExtendedStatus]
	BootArtifacts() Collection[bos.BSSToken, bos.BootArtifacts]
	// Tokens yields the keys of BootArtifacts in ascending order, those of corrupt records too; for the rest it is a Scan.
	Tokens(ctx context.Context) iter.Seq2[bos.BSSToken, error]
	Options() Singleton[bos.Options]
	Settings() Singleton[bos.Settings]
	PowerTransitions() Collection[string, bos.PowerTransition] // ours: those that are open, or have been a moment ago

	// Transact runs fn on a view of the store in which all reads are consistent with the writes made through tx, and
	// commits those writes as one, or none. When a record that fn read has changed meanwhile, fn runs again, so it must
	// have no effect beyond tx. An error of fn is returned and nothing is written. Lost races are retried until ctx ends.
	Transact(ctx context.Context, fn func(tx Tx) error) error

	// Changes yields every committed write after since, across all processes of the database, until ctx ends. The zero
	// cursor starts at the present, the moment of the call. An unknown cursor, or a subscriber that cannot keep up,
	// yields a bos.ChangeResync. When the store is closed the sequence ends with an error.
	Changes(ctx context.Context, since bos.Cursor) iter.Seq2[bos.Change, error]

	// Subscribe is Changes whose subscription is in force when it returns. Close it to free its buffer.
	Subscribe(since bos.Cursor) *Subscription

	// Cursor returns the place of the latest committed write this process knows of.
	Cursor() bos.Cursor

	Ping(ctx context.Context) error
	Close() error
}

// Collection is one kind of record by key. Values are copies: store and caller share no maps, slices or pointers.
type Collection[K comparable, V any] interface {
	// Get fails with bos.ErrNotFound. A record that cannot be decoded is a *CorruptError.
	Get(ctx context.Context, key K) (V, error)
	// GetMany returns the records that exist, by key; corrupt ones are left out and logged.
	GetMany(ctx context.Context, keys []K) (map[K]V, error)
	// Create fails with bos.ErrExists.
	Create(ctx context.Context, key K, v V) error
	// Put creates or replaces.
	Put(ctx context.Context, key K, v V) error
	// Update reads, applies fn and writes as one atomic step, retrying lost races until ctx ends. fn may be called
	// several times, so it must have no effect beyond *V. If fn returns an error nothing is written and Update returns
	// it. Fails with bos.ErrNotFound, or a *CorruptError. What changes nothing is not written, here and in UpdateMany.
	Update(ctx context.Context, key K, fn func(*V) error) (V, error)
	// UpdateMany is Update for many records, each atomic on its own, in as few round trips as the driver allows. fn
	// decides per record; exists is false for a key without a record. An error of fn ends the call: records of earlier
	// chunks (500) may have been written, those are returned. Records are returned in the order of keys; skipped ones
	// are left out, removed ones are as fn left them. Of duplicate keys the first counts. For fn a corrupt record does
	// not exist; writing replaces it. Under leases each chunk is written only while all of them are held, as CheckLease
	// has it; after its error, which matches bos.ErrConflict, earlier chunks may have been written.
	UpdateMany(ctx context.Context, keys []K, fn func(key K, v *V, exists bool) (Decision, error), under ...Hold) ([]V, error)
	// Delete fails with bos.ErrNotFound.
	Delete(ctx context.Context, key K) error
	// Scan yields records in ascending order of their database key, page by page. A record present throughout is seen
	// exactly once; one added or removed meanwhile may or may not be. Corrupt records are skipped and logged. After an
	// error the sequence ends.
	Scan(ctx context.Context, p Page[K]) iter.Seq2[V, error]
}

// Decision is what UpdateMany does with a record after fn has seen it.
type Decision int

// The decisions.
const (
	Skip   Decision = iota // leave it as it is
	Write                  // store *V
	Remove                 // delete it
)

// Page bounds a Scan.
type Page[K comparable] struct {
	After K   // only records with a greater database key; the zero key starts at the beginning
	Limit int // at most so many; 0 = all
}

// Singleton is a record there is one of. Get returns the defaults while nothing is stored.
type Singleton[V any] interface {
	Get(ctx context.Context) (V, error)
	Update(ctx context.Context, fn func(*V) error) (V, error)
}

// Tx is the view of a transaction. It is used by one goroutine, inside Transact only.
type Tx interface {
	Components() TxCollection[bos.ComponentID, bos.Component]
	Sessions() TxCollection[bos.TenantKey, bos.Session]
	Templates() TxCollection[bos.TenantKey, bos.SessionTemplate]
	SavedStatuses() TxCollection[bos.TenantKey, bos.ExtendedStatus]
	BootArtifacts() TxCollection[bos.BSSToken, bos.BootArtifacts]
	Leases() TxCollection[string, LeaseRecord]         // ours, by operator
	Owners() TxCollection[bos.ComponentID, Owner]      // ours: which session a component's session name means
	StageOwners() TxCollection[bos.ComponentID, Owner] // ours: the same for the session that it carries the stage of
	Incarnations() TxCollection[bos.TenantKey, string] // ours: the hidden identity of a session, see Owner
}

// TxCollection is a collection inside a transaction.
type TxCollection[K comparable, V any] interface {
	Get(key K) (V, error) // bos.ErrNotFound; a *CorruptError for a record that cannot be decoded
	// GetMany returns the records that exist, by key, in one round trip; corrupt ones are left out. What it has read is
	// at hand for Get and Put.
	GetMany(keys []K) (map[K]V, error)
	Put(key K, v V) error
	Delete(key K) error // no error when there is none
}

// LeaseRecord is a stored lease.
type LeaseRecord struct {
	Holder  string `json:"holder"`
	Token   int64  `json:"token"`
	Expires int64  `json:"expires"` // Unix milliseconds
}

// Owner is the session that a component's session name means, kept beside the component because names repeat: one per
// tenant, and again after a session was deleted. It counts only while Session equals the component's session, or that
// of its staged state.
type Owner struct {
	Tenant      string `json:"tenant"`
	Session     string `json:"session"`
	Incarnation string `json:"incarnation"`
}
