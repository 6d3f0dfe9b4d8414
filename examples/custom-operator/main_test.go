package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/mock/gomock"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

const (
	good bos.ComponentID = "x3000c0s1b0n0"
	bad  bos.ComponentID = "x3000c0s2b0n0"
)

// failed makes a component a failed one.
func failed(c *bos.Component) {
	c.Status = &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)}
	c.Error = new("kernel panic")
}

// With BOS in memory: the records and the rules are real, only the database is not.
func TestOnAFake(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.Put(operatortest.Component(good, bos.BootArtifacts{}), operatortest.Component(bad, bos.BootArtifacts{}, failed))
	var log bytes.Buffer
	op := operator.ForComponents(b, newCallOut(logPager{slog.New(slog.NewTextHandler(&log, nil))}))
	if err := operatortest.Run(t, b, op, 3); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); strings.Count(got, "kernel panic") != 1 || !strings.Contains(got, string(bad)) || strings.Contains(got, string(good)) {
		t.Errorf("log = %s", got)
	}
	operatortest.Settled(t, b, op) // it writes nothing
}

// With a mock: what must be called, how often, and what becomes of an error.
func TestWithAMock(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.Put(operatortest.Component(good, bos.BootArtifacts{}), operatortest.Component(bad, bos.BootArtifacts{}, failed))
	pager := NewMockPager(gomock.NewController(t))
	gomock.InOrder(
		pager.EXPECT().Page(gomock.Any(), bad, gomock.Any()).Return(errors.New("line busy")),
		pager.EXPECT().Page(gomock.Any(), bad, `failed in session "s1": kernel panic`),
	)
	op := operator.ForComponents(b, newCallOut(pager))
	if err := operatortest.Run(t, b, op, 1); err == nil || !strings.Contains(err.Error(), "line busy") {
		t.Errorf("error = %v", err)
	}
	if err := operatortest.Run(t, b, op, 2); err != nil {
		t.Error(err)
	}
}

// In its loop, in virtual time: a node that fails wakes the operator, it does not wait for the next poll.
func TestInItsLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := operatortest.NewBOS(t)
		pager := NewMockPager(gomock.NewController(t))
		loop := operator.Loop{Operator: operator.ForComponents(b, newCallOut(pager)), API: b, Holder: "test"}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- loop.Run(ctx) }()
		time.Sleep(time.Second) // the first pass is over, and the next poll far away
		pager.EXPECT().Page(gomock.Any(), bad, gomock.Any())
		b.Put(operatortest.Component(bad, bos.BootArtifacts{}, failed))
		time.Sleep(time.Second)
		if !loop.Active() || loop.Ready() != nil {
			t.Errorf("active: %v, ready: %v", loop.Active(), loop.Ready())
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	})
}

// On Redis, inside this process (miniredis): as in production, with an API server over it.
func TestOnRedis(t *testing.T) {
	st, err := redisstore.Open(t.Context(), storetest.NewRedis(t), redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Components().Put(t.Context(), bad, operatortest.Component(bad, bos.BootArtifacts{}, failed)); err != nil {
		t.Fatal(err)
	}
	pager := NewMockPager(gomock.NewController(t))
	pager.EXPECT().Page(gomock.Any(), bad, gomock.Any())
	api := bosserver.New(st, bosserver.Config{})
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var first operator.PassInfo
	loop := operator.Loop{Operator: operator.ForComponents(api, newCallOut(pager)), API: api, Holder: "test", Observe: func(p operator.PassInfo) {
		first = p
		stop()
	}}
	if err := loop.Run(ctx); !errors.Is(err, context.Canceled) || first.Err != nil || !first.Full {
		t.Errorf("the loop ended with %v after the pass %+v", err, first)
	}
}

// The whole program, against an API server over HTTP.
func TestProgram(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.Put(operatortest.Component(bad, bos.BootArtifacts{}, failed))
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	server := httptest.NewServer(bosserver.NewHandler(b, bosserver.HandlerConfig{Closing: ctx.Done()}))
	defer server.Close()
	paged := false
	log := slog.New(slog.NewTextHandler(writer(func(line string) {
		if strings.Contains(line, "kernel panic") && strings.Contains(line, string(bad)) {
			paged = true
			stop()
		}
	}), nil))
	if err := run(ctx, []string{"-api", server.URL}, log); err != nil || !paged {
		t.Errorf("error %v, paged: %v", err, paged)
	}
}

type writer func(line string)

func (w writer) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}
