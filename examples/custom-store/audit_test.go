package audit_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	audit "github.com/bootorch/bosgo/examples/custom-store"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// The wrapper is still a store.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return audit.Wrap(memstore.New(), slog.New(slog.DiscardHandler)) }, storetest.Caps{})
}

// An API server over the wrapper, on an in-process Redis.
func TestAuditOfAnAPIOnRedis(t *testing.T) {
	redis, err := redisstore.Open(t.Context(), storetest.NewRedis(t), redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	var log bytes.Buffer
	api := bosserver.New(audit.Wrap(redis, slog.New(slog.NewTextHandler(&log, nil))), bosserver.Config{})
	if _, err := api.PutComponents(t.Context(), []bos.Component{{ID: "x1", Enabled: new(false)}, {ID: "x2", Enabled: new(false)}}); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	ctx := bos.WithWriter(t.Context(), "session-setup")
	if _, err := api.PatchComponent(ctx, "", "x1", bos.ComponentPatch{Enabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.PatchComponents(ctx, "", []bos.ComponentPatch{{ID: "x1", Error: new("e")}, {ID: "x2", Enabled: new(true)}}, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "xname=x1 enabled=true writer=session-setup") || !strings.Contains(lines[1], "xname=x2 enabled=true") {
		t.Errorf("audit log:\n%s", log.String())
	}
}
