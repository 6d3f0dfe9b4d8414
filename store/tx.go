package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bootorch/bosgo/bos"
)

func isNotFound(err error) bool { return errors.Is(err, bos.ErrNotFound) }

// Transact implements Store.
func (db *DB) Transact(ctx context.Context, fn func(tx Tx) error) error {
	for attempt := 0; ; attempt++ {
		if !backOff(ctx, attempt) {
			return errLostRaces(ctx, "transaction")
		}
		tx := &transaction{ctx: ctx, driver: db.driver, records: map[recordID]*txRecord{}}
		fnErr := fn(tx)
		if tx.err != nil {
			return tx.err
		}
		writes := tx.checks()
		if fnErr == nil {
			writes = tx.mutations()
		}
		// One record alone is consistent with itself; anything else has to be seen to hold at one moment.
		if len(writes) > 1 || len(writes) == 1 && !writes[0].isCheck() {
			lost, err := db.driver.Commit(ctx, writes, true)
			switch {
			case err != nil && fnErr == nil:
				return fmt.Errorf("commit %d records: %w", len(writes), err)
			case err == nil && len(lost) > 0:
				continue
			}
		}
		return fnErr
	}
}

func (m *Mutation) isCheck() bool {
	return (m.Old == nil) == (m.New == nil) && bytes.Equal(m.Old, m.New)
}

type recordID struct {
	bucket Bucket
	key    string
}

// txRecord is a record that a transaction has read, and what it shall become.
type txRecord struct {
	raw     []byte // as read; nil = there was none
	decoded any    // raw as a value of its kind, once it was asked for
	written bool
	data    []byte // after the transaction, when written; nil = deleted
	change  func() *bos.Change
}

type transaction struct {
	ctx     context.Context
	driver  Driver
	records map[recordID]*txRecord
	order   []recordID
	err     error // of the driver; ends the transaction whatever fn makes of it
}

func (tx *transaction) Components() TxCollection[bos.ComponentID, bos.Component] {
	return &txCollection[bos.ComponentID, bos.Component]{tx, components}
}

func (tx *transaction) Sessions() TxCollection[bos.TenantKey, bos.Session] {
	return &txCollection[bos.TenantKey, bos.Session]{tx, sessions}
}

func (tx *transaction) Templates() TxCollection[bos.TenantKey, bos.SessionTemplate] {
	return &txCollection[bos.TenantKey, bos.SessionTemplate]{tx, templates}
}

func (tx *transaction) SavedStatuses() TxCollection[bos.TenantKey, bos.ExtendedStatus] {
	return &txCollection[bos.TenantKey, bos.ExtendedStatus]{tx, statuses}
}

func (tx *transaction) BootArtifacts() TxCollection[bos.BSSToken, bos.BootArtifacts] {
	return &txCollection[bos.BSSToken, bos.BootArtifacts]{tx, artifacts}
}

func (tx *transaction) Leases() TxCollection[string, LeaseRecord] {
	return &txCollection[string, LeaseRecord]{tx, leases}
}

func (tx *transaction) Owners() TxCollection[bos.ComponentID, Owner] {
	return &txCollection[bos.ComponentID, Owner]{tx, owners}
}

func (tx *transaction) StageOwners() TxCollection[bos.ComponentID, Owner] {
	return &txCollection[bos.ComponentID, Owner]{tx, stageOwners}
}

func (tx *transaction) Incarnations() TxCollection[bos.TenantKey, string] {
	return &txCollection[bos.TenantKey, string]{tx, incarnations}
}

// load makes sure that the records of the keys are known.
func (tx *transaction) load(b Bucket, dbKeys []string) error {
	missing := slices.DeleteFunc(slices.Clone(dbKeys), func(key string) bool {
		_, known := tx.records[recordID{b, key}]
		return known
	})
	for chunk := range slices.Chunk(missing, chunkSize) {
		raw, err := tx.driver.Get(tx.ctx, b, chunk)
		if err != nil {
			tx.err = fmt.Errorf("read %d records of %s: %w", len(chunk), b, err)
			return tx.err
		}
		for i, key := range chunk {
			id := recordID{b, key}
			if _, known := tx.records[id]; !known { // the same key may be asked for twice
				tx.records[id] = &txRecord{raw: raw[i]}
				tx.order = append(tx.order, id)
			}
		}
	}
	return nil
}

// checks returns a Commit that only verifies what was read.
func (tx *transaction) checks() []Mutation {
	checks := make([]Mutation, len(tx.order))
	for i, id := range tx.order {
		raw := tx.records[id].raw
		checks[i] = Mutation{Bucket: id.bucket, Key: id.key, Old: raw, New: raw}
	}
	return checks
}

// mutations returns the Commit of the transaction.
func (tx *transaction) mutations() []Mutation {
	writes := tx.checks()
	for i, id := range tx.order {
		if r := tx.records[id]; r.written {
			writes[i].New = r.data
			if !writes[i].isCheck() && r.change != nil {
				if c := r.change(); c != nil {
					c.Writer = bos.Writer(tx.ctx)
					writes[i].Change = c
				}
			}
		}
	}
	return writes
}

// txCollection implements TxCollection for one kind of record.
type txCollection[K comparable, V any] struct {
	tx *transaction
	*kind[K, V]
}

func (c *txCollection[K, V]) Get(key K) (V, error) {
	var zero V
	found, err := c.GetMany([]K{key})
	if err != nil {
		return zero, err
	}
	if v, ok := found[key]; ok {
		return v, nil
	}
	dbKey := c.key(key)
	if r := c.tx.records[recordID{c.bucket, dbKey}]; r != nil && r.current() != nil {
		return c.decode(dbKey, r.current()) // it is there, but corrupt
	}
	return zero, c.notFound(key)
}

func (c *txCollection[K, V]) GetMany(keys []K) (map[K]V, error) {
	dbKeys := make([]string, 0, len(keys))
	for _, key := range keys {
		if dbKey := c.key(key); c.checkKey(dbKey) == nil {
			dbKeys = append(dbKeys, dbKey)
		}
	}
	if err := c.tx.load(c.bucket, dbKeys); err != nil {
		return nil, err
	}
	found := make(map[K]V, len(keys))
	for _, key := range keys {
		dbKey := c.key(key)
		r := c.tx.records[recordID{c.bucket, dbKey}]
		if r == nil || r.current() == nil {
			continue
		}
		if v, ok := c.value(r); ok {
			found[key] = v
		}
	}
	return found, nil
}

// value returns the record as the transaction sees it, for the caller to keep; ok is false when it is corrupt.
func (c *txCollection[K, V]) value(r *txRecord) (v V, ok bool) {
	if r.written {
		v, err := c.decodePlain(r.data)
		return v, err == nil
	}
	if v, ok = r.decoded.(V); ok {
		return c.copy(v, r.raw), true
	}
	v, err := c.decodePlain(r.raw)
	if err != nil {
		return v, false
	}
	r.decoded = v
	return c.copy(v, r.raw), true
}

// current returns the record as the transaction sees it.
func (r *txRecord) current() []byte {
	if r.written {
		return r.data
	}
	return r.raw
}

func (c *txCollection[K, V]) Put(key K, v V) error {
	data, err := c.encode(&v)
	if err != nil {
		return err
	}
	return c.set(key, data)
}

func (c *txCollection[K, V]) Delete(key K) error { return c.set(key, nil) }

func (c *txCollection[K, V]) set(key K, data []byte) error {
	dbKey := c.key(key)
	if err := c.checkKey(dbKey); err != nil {
		return err
	}
	if err := c.tx.load(c.bucket, []string{dbKey}); err != nil {
		return err
	}
	r := c.tx.records[recordID{c.bucket, dbKey}]
	r.written, r.data = true, data
	if c.change != nil {
		r.change = func() *bos.Change { return c.compare(key, r) }
	}
	return nil
}

// compare works out how the transaction changes a record.
func (c *txCollection[K, V]) compare(key K, r *txRecord) *bos.Change {
	var old, new *V
	if v, ok := r.decoded.(V); ok {
		old = &v
	} else if v, err := c.decodePlain(r.raw); err == nil {
		old = &v
	}
	if v, err := c.decodePlain(r.data); err == nil {
		new = &v
	}
	return c.change(key, old, new)
}
