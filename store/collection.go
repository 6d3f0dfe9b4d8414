package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

// collection implements Collection for one kind of record.
type collection[K comparable, V any] struct {
	db *DB
	*kind[K, V]
	memo memo[V] // nil = none
}

// memo knows records that have been decoded before by their text.
type memo[V any] interface {
	// recall returns the record that raw says, if it is known; it must not be modified.
	recall(dbKey string, raw []byte) (V, bool)
	// note tells what raw, which has just been stored, says.
	note(dbKey string, raw []byte, v V)
}

// look returns the record that raw says. One that is shared must not be modified.
func (c *collection[K, V]) look(dbKey string, raw []byte) (v V, shared bool, err error) {
	if c.memo != nil {
		if v, shared = c.memo.recall(dbKey, raw); shared {
			return v, true, nil
		}
	}
	v, err = c.decode(dbKey, raw)
	return v, false, err
}

// read returns the record that raw says, for the caller to keep.
func (c *collection[K, V]) read(dbKey string, raw []byte) (V, error) {
	v, shared, err := c.look(dbKey, raw)
	if shared {
		v = c.copy(v, raw)
	}
	return v, err
}

func (c *collection[K, V]) Get(ctx context.Context, key K) (V, error) {
	var zero V
	dbKey := c.key(key)
	if c.checkKey(dbKey) != nil {
		return zero, c.notFound(key)
	}
	raw, err := c.db.driver.Get(ctx, c.bucket, []string{dbKey})
	if err != nil {
		return zero, fmt.Errorf("read %s: %w", c.title(key), err)
	}
	if raw[0] == nil {
		return zero, c.notFound(key)
	}
	return c.read(dbKey, raw[0])
}

func (c *collection[K, V]) GetMany(ctx context.Context, keys []K) (map[K]V, error) {
	found := make(map[K]V, len(keys))
	for chunk := range slices.Chunk(keys, chunkSize) {
		chunk, dbKeys := c.usable(chunk)
		raw, err := c.db.driver.Get(ctx, c.bucket, dbKeys)
		if err != nil {
			return nil, fmt.Errorf("read %d records of %s: %w", len(chunk), c.bucket, err)
		}
		for i, key := range chunk {
			if raw[i] == nil {
				continue
			}
			v, err := c.read(dbKeys[i], raw[i])
			if err != nil {
				c.logCorrupt(ctx, err)
				continue
			}
			found[key] = v
		}
	}
	return found, nil
}

// usable returns the keys that a record may have, and their database keys.
func (c *collection[K, V]) usable(keys []K) ([]K, []string) {
	good := make([]K, 0, len(keys))
	dbKeys := make([]string, 0, len(keys))
	for _, key := range keys {
		if dbKey := c.key(key); c.checkKey(dbKey) == nil {
			good = append(good, key)
			dbKeys = append(dbKeys, dbKey)
		}
	}
	return good, dbKeys
}

func (c *collection[K, V]) logCorrupt(ctx context.Context, err error) {
	c.db.log.WarnContext(ctx, "skipping corrupt record", "err", err)
}

func (c *collection[K, V]) Create(ctx context.Context, key K, v V) error {
	dbKey := c.key(key)
	if err := c.checkKey(dbKey); err != nil {
		return err
	}
	m, err := c.mutation(ctx, key, dbKey, nil, nil, &v)
	if err != nil {
		return err
	}
	lost, err := c.db.driver.Commit(ctx, []Mutation{m}, true)
	if err != nil {
		return fmt.Errorf("create %s: %w", c.title(key), err)
	}
	if len(lost) > 0 {
		return fmt.Errorf("%s: %w", c.title(key), bos.ErrExists)
	}
	return nil
}

func (c *collection[K, V]) Put(ctx context.Context, key K, v V) error {
	_, err := c.one(ctx, key, func(old *V, _ bool) (Decision, error) {
		*old = v
		return Write, nil
	})
	return err
}

func (c *collection[K, V]) Delete(ctx context.Context, key K) error {
	_, err := c.write(ctx, []K{key}, false, func(key K, _ *V, state recordState) (Decision, error) {
		if state == absent {
			return Skip, c.notFound(key)
		}
		return Remove, nil
	})
	return err
}

func (c *collection[K, V]) Update(ctx context.Context, key K, fn func(*V) error) (V, error) {
	var zero V
	written, err := c.write(ctx, []K{key}, true, func(key K, v *V, state recordState) (Decision, error) {
		if state == absent {
			return Skip, c.notFound(key)
		}
		return Write, fn(v)
	})
	if err != nil {
		return zero, err
	}
	return written[0], nil
}

// one is UpdateMany for a single key.
func (c *collection[K, V]) one(ctx context.Context, key K, fn func(v *V, exists bool) (Decision, error)) (v V, err error) {
	written, err := c.UpdateMany(ctx, []K{key}, func(_ K, v *V, exists bool) (Decision, error) { return fn(v, exists) })
	if err == nil && len(written) > 0 {
		v = written[0]
	}
	return v, err
}

func (c *collection[K, V]) UpdateMany(ctx context.Context, keys []K, fn func(key K, v *V, exists bool) (Decision, error), under ...Hold) ([]V, error) {
	return c.write(ctx, keys, false, func(key K, v *V, state recordState) (Decision, error) {
		return fn(key, v, state == present)
	}, under...)
}

// recordState is what write finds under a key.
type recordState int

const (
	absent recordState = iota
	present
	corrupt
)

// write is UpdateMany with a fn that can tell a corrupt record from an absent one. With strict set a corrupt record is
// an error.
func (c *collection[K, V]) write(ctx context.Context, keys []K, strict bool, fn func(K, *V, recordState) (Decision, error), under ...Hold) ([]V, error) {
	seen := make(map[K]bool, len(keys))
	keys = slices.Clone(keys)
	keys = slices.DeleteFunc(keys, func(key K) bool {
		again := seen[key]
		seen[key] = true
		return again
	})
	var result []V
	for chunk := range slices.Chunk(keys, chunkSize) {
		written, err := c.writeChunk(ctx, chunk, strict, fn, under)
		result = append(result, written...)
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

func (c *collection[K, V]) writeChunk(ctx context.Context, keys []K, strict bool, fn func(K, *V, recordState) (Decision, error), under []Hold) ([]V, error) {
	result := make([]*V, len(keys)) // what was decided on each key, nil for a skipped one
	todo := make([]int, len(keys))  // indexes of the keys that are still to be written
	for i := range todo {
		todo[i] = i
	}
	for attempt := 0; len(todo) > 0; attempt++ {
		if !backOff(ctx, attempt) {
			return nil, errLostRaces(ctx, fmt.Sprintf("write %d records of %s", len(todo), c.bucket))
		}
		dbKeys := make([]string, len(todo))
		for i, n := range todo {
			dbKeys[i] = c.key(keys[n])
			if err := c.checkKey(dbKeys[i]); err != nil {
				return nil, err
			}
		}
		checks, err := c.db.checks(ctx, under)
		if err != nil {
			return nil, err
		}
		raw, err := c.db.driver.Get(ctx, c.bucket, dbKeys)
		if err != nil {
			return nil, fmt.Errorf("read %d records of %s: %w", len(dbKeys), c.bucket, err)
		}
		writes := make([]Mutation, 0, len(todo)+len(checks))
		writing := make([]int, 0, len(todo)) // the index in keys of each write
		for i, n := range todo {
			v, m, err := c.decide(ctx, keys[n], dbKeys[i], raw[i], strict, fn)
			if err != nil {
				return nil, err
			}
			result[n] = v
			if m != nil {
				writes = append(writes, *m)
				writing = append(writing, n)
			}
		}
		todo = todo[:0]
		if len(writes) == 0 {
			break
		}
		lost, err := c.db.driver.Commit(ctx, append(writes, checks...), false)
		if err != nil {
			return nil, fmt.Errorf("write %d records of %s: %w", len(writes), c.bucket, err)
		}
		for _, i := range lost {
			if i < len(writing) {
				todo = append(todo, writing[i])
				writes[i].New = nil
			}
		}
		if c.memo != nil {
			for i, n := range writing {
				if w := &writes[i]; w.New != nil {
					c.memo.note(w.Key, w.New, *result[n])
				}
			}
		}
	}
	written := make([]V, 0, len(keys))
	for _, v := range result {
		if v != nil {
			written = append(written, *v)
		}
	}
	return written, nil
}

// decide asks fn about one record. It returns the record unless it is skipped, and what to write unless that would
// change nothing.
func (c *collection[K, V]) decide(ctx context.Context, key K, dbKey string, raw []byte, strict bool, fn func(K, *V, recordState) (Decision, error)) (*V, *Mutation, error) {
	v := new(V)
	var old *V
	state := absent
	if raw != nil {
		before, _, err := c.look(dbKey, raw)
		switch {
		case err == nil:
			state, old = present, &before
			*v = c.copy(before, raw)
		case strict:
			return nil, nil, err
		default:
			state = corrupt
			c.db.log.WarnContext(ctx, "writing over corrupt record", "err", err)
		}
	}
	decision, err := fn(key, v, state)
	switch {
	case err != nil || decision == Skip:
		return nil, nil, err
	case decision == Remove:
		if raw == nil {
			return nil, nil, nil
		}
		m, err := c.mutation(ctx, key, dbKey, raw, old, nil)
		return v, &m, err
	}
	m, err := c.mutation(ctx, key, dbKey, raw, old, v)
	if err != nil {
		return nil, nil, err
	}
	if old != nil && m.Change == nil && sameRecord(raw, m.New, old) {
		return v, nil, nil
	}
	return v, &m, nil
}

// sameRecord reports whether data says the same as raw, the stored form of old, apart from formatting.
func sameRecord[V any](raw, data []byte, old *V) bool {
	return bytes.Equal(raw, data) || sameJSON(old, jsonText(data))
}

type jsonText []byte

func (t jsonText) MarshalJSON() ([]byte, error) { return t, nil }

// mutation returns the write of v over old, with its change. nil means no record.
func (k *kind[K, V]) mutation(ctx context.Context, key K, dbKey string, raw []byte, old, v *V) (Mutation, error) {
	m := Mutation{Bucket: k.bucket, Key: dbKey, Old: raw}
	if v != nil {
		data, err := k.encode(v)
		if err != nil {
			return m, err
		}
		m.New = data
	}
	if k.change != nil {
		if m.Change = k.change(key, old, v); m.Change != nil {
			m.Change.Writer = bos.Writer(ctx)
		}
	}
	return m, nil
}

func (c *collection[K, V]) Scan(ctx context.Context, p Page[K]) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var zeroKey K
		after := c.prefix
		if p.After != zeroKey {
			after = c.key(p.After)
		}
		n := 0
		for e, err := range c.db.driver.Scan(ctx, c.bucket, after, p.Limit) {
			if err != nil {
				var zero V
				yield(zero, fmt.Errorf("read %s: %w", c.bucket, err))
				return
			}
			if !strings.HasPrefix(e.Key, c.prefix) {
				return
			}
			v, err := c.decode(e.Key, e.Value)
			if err != nil {
				c.logCorrupt(ctx, err)
				continue
			}
			if !yield(v, nil) {
				return
			}
			if n++; n == p.Limit {
				return
			}
		}
	}
}

// singleton implements Singleton as a collection of one.
type singleton[V any] struct {
	collection[struct{}, V]
}

func (s *singleton[V]) Get(ctx context.Context) (V, error) {
	v, err := s.collection.Get(ctx, struct{}{})
	if isNotFound(err) {
		return s.fallback(), nil
	}
	return v, err
}

func (s *singleton[V]) Update(ctx context.Context, fn func(*V) error) (V, error) {
	var zero V
	written, err := s.write(ctx, []struct{}{{}}, true, func(_ struct{}, v *V, state recordState) (Decision, error) {
		if state == absent {
			*v = s.fallback()
		}
		return Write, fn(v)
	})
	if err != nil {
		return zero, err
	}
	return written[0], nil
}
