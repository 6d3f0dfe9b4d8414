package store

import (
	"context"
	"fmt"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// AcquireLease takes or renews the lease of an operator for ttl, counted from now. While somebody else holds it the
// error matches bos.ErrConflict and names the holder. Renewing in time keeps the token; otherwise it grows. It grows
// even over a database that lost its leases, because it is never below the Unix time in milliseconds of its issue.
func AcquireLease(ctx context.Context, st Store, operator, holder string, ttl time.Duration, now time.Time) (bos.Lease, error) {
	if operator == "" || holder == "" || ttl <= 0 {
		return bos.Lease{}, fmt.Errorf("a lease needs an operator, a holder and a time: %w", bos.ErrInvalid)
	}
	var lease bos.Lease
	err := st.Transact(ctx, func(tx Tx) error {
		rec, err := tx.Leases().Get(operator)
		if err != nil && !isNotFound(err) {
			return err
		}
		held := rec.Holder != "" && now.UnixMilli() < rec.Expires
		if held && rec.Holder != holder {
			return fmt.Errorf("the lease of %s is held by %s: %w", operator, rec.Holder, bos.ErrConflict)
		}
		if !held {
			rec.Token = max(rec.Token+1, now.UnixMilli())
		}
		rec.Holder, rec.Expires = holder, now.Add(ttl).UnixMilli()
		lease = bos.Lease{Holder: holder, Token: rec.Token, ExpiresIn: ttl}
		return tx.Leases().Put(operator, rec)
	})
	if err != nil {
		return bos.Lease{}, err
	}
	return lease, nil
}

// ReleaseLease gives a lease up. One that the holder does not hold is left alone.
func ReleaseLease(ctx context.Context, st Store, operator, holder string) error {
	return st.Transact(ctx, func(tx Tx) error {
		rec, err := tx.Leases().Get(operator)
		switch {
		case isNotFound(err) || err == nil && rec.Holder != holder:
			return nil
		case err != nil:
			return err
		}
		rec.Holder, rec.Expires = "", 0 // the record stays, so that the token goes on growing
		return tx.Leases().Put(operator, rec)
	})
}

// Hold names a lease that a write depends on, by its operator and token.
type Hold struct {
	Operator string
	Token    int64
}

// CheckLease fails with bos.ErrConflict unless token is that of the present lease of the operator. A lease that has run
// out but was not taken by anybody else still counts: nobody else acts. Because the check is part of the transaction,
// nothing is written once somebody else has taken the lease.
func CheckLease(tx Tx, operator string, token int64) error {
	rec, err := tx.Leases().Get(operator)
	if err != nil && !isNotFound(err) {
		return err
	}
	return Hold{operator, token}.check(rec)
}

func (h Hold) check(rec LeaseRecord) error {
	switch {
	case rec.Holder == "":
		return fmt.Errorf("nobody holds the lease of %s: %w", h.Operator, bos.ErrConflict)
	case rec.Token != h.Token:
		return fmt.Errorf("the lease of %s is now held by %s under another token: %w", h.Operator, rec.Holder, bos.ErrConflict)
	}
	return nil
}

// checks reads the leases of holds. The mutations fail once one of them has changed.
func (db *DB) checks(ctx context.Context, holds []Hold) ([]Mutation, error) {
	if len(holds) == 0 {
		return nil, nil
	}
	keys := make([]string, len(holds))
	for i, h := range holds {
		keys[i] = leases.key(h.Operator)
	}
	raw, err := db.driver.Get(ctx, leases.bucket, keys)
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	checks := make([]Mutation, len(holds))
	for i, h := range holds {
		var rec LeaseRecord
		if raw[i] != nil {
			if rec, err = leases.decode(keys[i], raw[i]); err != nil {
				return nil, err
			}
		}
		if err := h.check(rec); err != nil {
			return nil, err
		}
		checks[i] = Mutation{Bucket: leases.bucket, Key: keys[i], Old: raw[i], New: raw[i], Must: true}
	}
	return checks, nil
}
