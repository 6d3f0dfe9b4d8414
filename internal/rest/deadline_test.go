package rest_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// The end of the caller's time must not hide why there was no answer.
func TestTheCauseOutlivesTheDeadline(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // nobody listens there now
	c, err := rest.New("hsm", "http://"+ln.Addr().String(), rest.Config{RetryWait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = c.Do(ctx, rest.Request{Method: "GET", Path: "/x"}, nil)
	if !errors.Is(err, bos.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error = %v, want the refused connection", err)
	}
}
