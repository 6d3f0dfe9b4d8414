package store

import (
	"context"
	"iter"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

// transitionPrefix begins the keys of power transitions, which share their bucket with other records of ours.
const transitionPrefix = "bos:transition:"

// PowerTransitions implements Store.
func (db *DB) PowerTransitions() Collection[string, bos.PowerTransition] {
	return &transitionCollection{collection[string, bos.PowerTransition]{db: db, kind: transitions}}
}

// transitionCollection is a collection whose Scan keeps to its part of the bucket.
type transitionCollection struct {
	collection[string, bos.PowerTransition]
}

func (c *transitionCollection) Scan(ctx context.Context, p Page[string]) iter.Seq2[bos.PowerTransition, error] {
	return func(yield func(bos.PowerTransition, error) bool) {
		n := 0
		for e, err := range c.db.driver.Scan(ctx, c.bucket, transitionPrefix+p.After, p.Limit) {
			if err != nil {
				yield(bos.PowerTransition{}, err)
				return
			}
			if !strings.HasPrefix(e.Key, transitionPrefix) {
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
