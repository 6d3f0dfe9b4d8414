package rest

import (
	"errors"
	"slices"

	"github.com/bootorch/bosgo/bos"
)

// Distinct returns the items without repetitions, in order of first occurrence.
func Distinct[T comparable](items []T) []T {
	seen := make(map[T]bool, len(items))
	out := make([]T, 0, len(items))
	for _, v := range items {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

// InBatches calls do with up to size ids at a time, one batch after the other; a size below 1 means all at once. A
// *bos.BatchError of do counts for the ids it names, another error for its whole batch; after one that matches
// bos.ErrUnavailable the remaining batches are not tried and fail alike. Where no batch succeeded at all, the result is
// the first error as it is, else a *bos.BatchError of all that failed.
func InBatches(ids []bos.ComponentID, size int, do func(batch []bos.ComponentID) error) error {
	if size < 1 {
		size = max(1, len(ids))
	}
	failed := map[bos.ComponentID]error{}
	succeeded := false
	var first, outage error
	for batch := range slices.Chunk(ids, size) {
		err := outage
		if err == nil {
			err = do(batch)
		}
		if partial, ok := errors.AsType[*bos.BatchError](err); ok {
			for id, cause := range partial.Failed {
				failed[id] = cause
			}
			succeeded = true
			continue
		}
		if err == nil {
			succeeded = true
			continue
		}
		if first == nil {
			first = err
		}
		if errors.Is(err, bos.ErrUnavailable) {
			outage = err
		}
		for _, id := range batch {
			failed[id] = err
		}
	}
	switch {
	case first != nil && !succeeded:
		return first
	case len(failed) > 0:
		return &bos.BatchError{Failed: failed}
	}
	return nil
}
