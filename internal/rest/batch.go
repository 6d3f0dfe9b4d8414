package rest

import (
	"errors"
	"fmt"
	"maps"
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
// *bos.BatchError of do counts for the ids it names, another error for its whole batch. After one that matches
// bos.ErrUnavailable the remaining batches are not tried; their ids fail with bos.ErrUnavailable and no other class, since
// nothing was sent for them, whatever became of the batch before. Where one error is true of all ids, it is the result as
// it is, else a *bos.BatchError of all that failed.
func InBatches(ids []bos.ComponentID, size int, do func(batch []bos.ComponentID) error) error {
	if size < 1 {
		size = max(1, len(ids))
	}
	failed := map[bos.ComponentID]error{}
	var first, outage, skipped error // of a whole batch
	done := false                    // for some ids at least
	for batch := range slices.Chunk(ids, size) {
		err := skipped
		if outage == nil {
			err = do(batch)
		} else if skipped == nil {
			skipped = fmt.Errorf("not tried after %s: %w", outage.Error(), bos.ErrUnavailable)
			err = skipped
		}
		if partial, ok := errors.AsType[*bos.BatchError](err); ok {
			maps.Copy(failed, partial.Failed)
			err = nil
		}
		if err == nil {
			done = true
			continue
		}
		for _, id := range batch {
			failed[id] = err
		}
		if first == nil {
			first = err
		}
		if outage == nil && errors.Is(err, bos.ErrUnavailable) {
			outage = err
		}
	}
	mixed := outage != nil && (first != outage || skipped != nil && errors.Is(outage, ErrOutcomeUnknown)) //nolint:errorlint // identity
	switch {
	case first != nil && !done && !mixed:
		return first
	case len(failed) > 0:
		return &bos.BatchError{Failed: failed}
	}
	return nil
}
