package bostest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/bos/bosserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failing is an API whose every session is the same error.
type failing struct {
	bos.API
	err error
}

func (f failing) GetSession(context.Context, bos.TenantKey) (bos.Session, error) {
	return bos.Session{}, f.err
}

// TestErrorsCrossTheWire holds the table of package bos both ways: what the server turns into a status, the client turns
// back into the same sentinel.
func TestErrorsCrossTheWire(t *testing.T) {
	sentinels := []error{
		bos.ErrInvalid, bos.ErrUnauthenticated, bos.ErrForbidden, bos.ErrNotFound, bos.ErrExists, bos.ErrConflict,
		bos.ErrTooLarge, bos.ErrUnavailable,
	}
	rows := map[string]error{
		"field":        &bos.FieldError{Field: "boot_sets", Reason: "too many"},
		"no tenant":    &bos.StatusError{Status: 400, Title: bos.TitleInvalidTenant, Detail: "d"},
		"no session":   &bos.StatusError{Status: 404, Title: bos.TitleNotFound, Detail: "Session 's1' does not exist"},
		"actual state": &bos.StatusError{Status: 409, Title: bos.TitleActualState, Detail: "d"},
		"store down":   &bos.StatusError{Status: 503, Title: bos.TitleStoreDown, Detail: "d", RetryAfter: 5 * time.Second},
		"a bug":        errors.New("nil pointer at 10.0.0.1"),
	}
	for _, s := range sentinels {
		rows[s.Error()] = fmt.Errorf("session s1: %w", s)
	}
	for name, want := range rows {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(bosserver.NewHandler(failing{err: want}, bosserver.HandlerConfig{}))
			defer srv.Close()
			c, err := bosclient.New(srv.URL, bosclient.Config{RetryBudget: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, got := c.GetSession(t.Context(), bos.TenantKey{Name: "s1"})
			for _, s := range sentinels {
				if errors.Is(got, s) != errors.Is(want, s) {
					t.Errorf("server had %v, client has %v: they differ in %v", want, got, s)
				}
			}
			sent, read := bos.AsStatus(want), bos.AsStatus(got)
			if sent.Status != read.Status {
				t.Errorf("server had status %d, client has %d", sent.Status, read.Status)
			}
			if _, ok := errors.AsType[*bos.StatusError](want); ok && (sent.Problem() != read.Problem() || sent.RetryAfter != read.RetryAfter) {
				t.Errorf("server had %+v, client has %+v", sent, read)
			}
			if strings.Contains(got.Error(), "10.0.0.1") {
				t.Errorf("internals leak: %v", got)
			}
		})
	}
}
