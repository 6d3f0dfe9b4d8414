package bosserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// PutBootArtifacts records what a BSS token stands for.
func (s *Service) PutBootArtifacts(ctx context.Context, token bos.BSSToken, a bos.BootArtifacts) error {
	if token == "" || len(token) > store.MaxKeySize {
		return &bos.FieldError{Field: "token", Reason: fmt.Sprintf("a token has 1 to %d characters", store.MaxKeySize)}
	}
	check := &fieldCheck{}
	f := a.Fields()
	f.Timestamp = nil
	check.artifacts("boot_artifacts", f)
	if check.err != nil {
		return check.err
	}
	a.Timestamp = s.stamp()
	err := s.st.Transact(ctx, func(tx store.Tx) error {
		known, err := tx.BootArtifacts().Get(token)
		switch {
		case err == nil && !known.Same(a):
			return fmt.Errorf("the token already stands for other boot artifacts: %w", bos.ErrConflict)
		case err != nil && !isNotFound(err):
			return err
		}
		return tx.BootArtifacts().Put(token, a)
	})
	return leaseError(err)
}

// PruneBootArtifacts removes the records of tokens that have been unused for longer. The stamp of a record, when it was
// written, is renewed while a component has the token, so that its time begins when the last one has it no more: a node
// may well report once more what it had booted before its component was set to something else.
func (s *Service) PruneBootArtifacts(ctx context.Context, unused time.Duration) (int, error) {
	if unused < bos.MinTokenRetention {
		return 0, &bos.FieldError{Field: "unused_for", Reason: fmt.Sprintf("%s is less than the minimum of %s", unused, bos.MinTokenRetention)}
	}
	var tokens []bos.BSSToken
	for token, err := range s.st.Tokens(ctx) {
		if err != nil {
			return 0, storeError(err)
		}
		tokens = append(tokens, token)
	}
	used, err := s.tokensInUse(ctx)
	if err != nil {
		return 0, err
	}
	now := s.now()
	removed := map[bos.BSSToken]bos.BootArtifacts{}
	_, err = s.st.BootArtifacts().UpdateMany(ctx, tokens, func(token bos.BSSToken, a *bos.BootArtifacts, exists bool) (store.Decision, error) {
		delete(removed, token)
		_, readable := a.Timestamp.Time()
		switch {
		case !exists:
			return store.Skip, nil
		case used[token] && a.Timestamp.OlderThan(unused/4, now), !readable:
			a.Timestamp = bos.Stamp(now)
			return store.Write, nil
		case used[token] || !a.Timestamp.OlderThan(unused, now):
			return store.Skip, nil
		}
		removed[token] = *a
		return store.Remove, nil
	})
	if len(removed) == 0 {
		return 0, storeError(err)
	}
	// A node may have reported one of them since the components were read. What it has is put back, even for a caller who
	// has given up.
	ctx = context.WithoutCancel(ctx)
	used, failed := s.tokensInUse(ctx)
	for token, a := range removed {
		if failed == nil && !used[token] {
			continue
		}
		delete(removed, token)
		a.Timestamp = bos.Stamp(now)
		if back := s.st.BootArtifacts().Create(ctx, token, a); !errors.Is(back, bos.ErrExists) {
			failed = errors.Join(failed, back)
		}
	}
	return len(removed), storeError(errors.Join(err, failed))
}

// tokensInUse returns the tokens that components have.
func (s *Service) tokensInUse(ctx context.Context) (map[bos.BSSToken]bool, error) {
	used := map[bos.BSSToken]bool{}
	for c, err := range store.QueryComponents(ctx, s.st, bos.ComponentFilter{}) {
		if err != nil {
			return nil, storeError(err)
		}
		if c.ActualState != nil {
			used[bos.Value(c.ActualState.BSSToken)] = true
		}
		if c.DesiredState != nil {
			used[bos.Value(c.DesiredState.BSSToken)] = true
		}
	}
	return used, nil
}
