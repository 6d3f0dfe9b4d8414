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

// CheckLease fails with bos.ErrConflict unless token is that of the present lease of the operator. A lease that has run
// out but was not taken by anybody else still counts: nobody else acts. Because the check is part of the transaction,
// nothing is written once somebody else has taken the lease.
func CheckLease(tx Tx, operator string, token int64) error {
	rec, err := tx.Leases().Get(operator)
	if err != nil && !isNotFound(err) {
		return err
	}
	switch {
	case rec.Holder == "":
		return fmt.Errorf("nobody holds the lease of %s: %w", operator, bos.ErrConflict)
	case rec.Token != token:
		return fmt.Errorf("the lease of %s is now held by %s under another token: %w", operator, rec.Holder, bos.ErrConflict)
	}
	return nil
}
