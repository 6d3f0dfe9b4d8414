package bosserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// retryAfter is when a caller shall try again while something is away.
const retryAfter = 5 * time.Second

// storeError puts an outage of the database into the form that clients know. Other errors stay as they are.
func storeError(err error) error {
	switch {
	case err == nil || isStatus(err):
		return err
	case errors.Is(err, bos.ErrUnavailable):
		return &bos.StatusError{
			Status: http.StatusServiceUnavailable, Title: bos.TitleStoreDown,
			Detail: "the database cannot be reached; try again later", RetryAfter: retryAfter, Err: err,
		}
	case errors.Is(err, context.DeadlineExceeded):
		return &bos.StatusError{
			Status: http.StatusServiceUnavailable, Detail: "the request took too long; try again later", RetryAfter: retryAfter,
			Err: fmt.Errorf("%w: %w", bos.ErrUnavailable, err),
		}
	case errors.Is(err, context.Canceled): // the caller is gone, or the server stops
		return &bos.StatusError{
			Status: http.StatusServiceUnavailable, Detail: "the request was cut off; try again later", RetryAfter: retryAfter,
			Err: fmt.Errorf("%w: %w", bos.ErrUnavailable, err),
		}
	}
	return err
}

func isStatus(err error) bool {
	_, ok := errors.AsType[*bos.StatusError](err)
	return ok
}

func invalid(format string, args ...any) error {
	return &bos.StatusError{Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, args...), Err: bos.ErrInvalid}
}

func notFound(format string, args ...any) error {
	return &bos.StatusError{Status: http.StatusNotFound, Title: bos.TitleNotFound, Detail: fmt.Sprintf(format, args...), Err: bos.ErrNotFound}
}

func noComponent(id bos.ComponentID) error { return notFound("Component '%s' does not exist", id) }

func noTemplate(key bos.TenantKey) error {
	if key.Tenant != "" {
		return notFound("Session template for tenant '%s' '%s' does not exist", key.Tenant, key.Name)
	}
	return notFound("Session template '%s' does not exist", key.Name)
}

func noSession(key bos.TenantKey) error {
	if key.Tenant != "" {
		return notFound("Session for tenant '%s' '%s' does not exist", key.Tenant, key.Name)
	}
	return notFound("Session '%s' does not exist", key.Name)
}

func sessionExists(key bos.TenantKey) error {
	detail := fmt.Sprintf("Session '%s' already exists", key.Name)
	if key.Tenant != "" {
		detail += fmt.Sprintf(" for tenant '%s'", key.Tenant)
	}
	return &bos.StatusError{Status: http.StatusConflict, Title: bos.TitleExists, Detail: detail, Err: bos.ErrExists}
}

// orNotFound returns missing when err says that there is no record, otherwise the error as storeError has it.
func orNotFound(err, missing error) error {
	if errors.Is(err, bos.ErrNotFound) && !isStatus(err) {
		return missing
	}
	return storeError(err)
}

func isNotFound(err error) bool { return errors.Is(err, bos.ErrNotFound) }
