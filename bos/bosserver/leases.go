package bosserver

import (
	"context"
	"net/http"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// AcquireLease takes or renews the lease of an operator for ttl, 1 s to 5 min.
func (s *Service) AcquireLease(ctx context.Context, operator, holder string, ttl time.Duration) (bos.Lease, error) {
	switch {
	case !bos.ValidName(operator):
		return bos.Lease{}, &bos.FieldError{Field: "operator", Reason: quoteText(operator) + " is not the name of an operator"}
	case holder == "" || len(holder) > 255:
		return bos.Lease{}, &bos.FieldError{Field: "holder", Reason: "the holder needs a name of 1 to 255 characters"}
	case ttl < time.Second || ttl > 5*time.Minute:
		return bos.Lease{}, &bos.FieldError{Field: "ttl_seconds", Reason: ttl.String() + " is not between 1s and 5m"}
	}
	lease, err := store.AcquireLease(ctx, s.st, operator, holder, ttl, s.now())
	return lease, leaseError(err)
}

// ReleaseLease gives the lease up.
func (s *Service) ReleaseLease(ctx context.Context, operator, holder string) error {
	return leaseError(store.ReleaseLease(ctx, s.st, operator, holder))
}

// leaseError is storeError that keeps the text of a conflict, which names the holder.
func leaseError(err error) error {
	if se := bos.AsStatus(err); err != nil && se.Status == http.StatusConflict {
		return se
	}
	return storeError(err)
}
