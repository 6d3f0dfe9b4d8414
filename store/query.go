package store

import (
	"context"
	"iter"
	"slices"

	"github.com/bootorch/bosgo/bos"
)

// Querier is an optional ability of a Store: selecting components without reading all of them.
type Querier interface {
	// QueryComponents yields the components that match, as QueryComponents does.
	QueryComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error]
}

// QueryComponents yields the components that match f in ascending order of id, at most f.PageSize of them. f.Tenant is
// ignored: who belongs to a tenant is not the store's knowledge. It uses the store's QueryComponents where there is one.
// The sequence ends after an error.
func QueryComponents(ctx context.Context, st Store, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	if q, ok := st.(Querier); ok {
		return q.QueryComponents(ctx, f)
	}
	return scanMatches(ctx, st, f)
}

// scanMatches is QueryComponents by reading records and looking at each.
func scanMatches(ctx context.Context, st Store, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		n := 0
		for c, err := range scanComponents(ctx, st, f) {
			if err != nil {
				yield(c, err)
				return
			}
			if !f.MatchState(&c) {
				continue
			}
			if !yield(c, nil) {
				return
			}
			if n++; n == f.PageSize {
				return
			}
		}
	}
}

// scanComponents yields the components that pass the filter's IDs and StartAfter, in order of id.
func scanComponents(ctx context.Context, st Store, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	if f.IDs == nil {
		return st.Components().Scan(ctx, Page[bos.ComponentID]{After: f.StartAfter})
	}
	return func(yield func(bos.Component, error) bool) {
		for ids := range slices.Chunk(queriedIDs(f), chunkSize) {
			found, err := st.Components().GetMany(ctx, ids)
			if err != nil {
				yield(bos.Component{}, err)
				return
			}
			for _, id := range ids {
				if c, ok := found[id]; ok && !yield(c, nil) {
					return
				}
			}
		}
	}
}

// queriedIDs returns the filter's ids that are greater than StartAfter, each once and in order.
func queriedIDs(f bos.ComponentFilter) []bos.ComponentID {
	ids := slices.Clone(f.IDs)
	ids = slices.DeleteFunc(ids, func(id bos.ComponentID) bool { return f.StartAfter != "" && id <= f.StartAfter })
	slices.Sort(ids)
	return slices.Compact(ids)
}
