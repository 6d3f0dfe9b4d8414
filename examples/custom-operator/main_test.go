package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
)

func TestCallOut(t *testing.T) {
	failed := func(c *bos.Component) {
		c.Status = &bos.ComponentStatus{StatusOverride: new(bos.StatusFailed)}
		c.Error = new("management controller unreachable")
	}
	b := operatortest.NewBOS(t)
	b.Put(
		operatortest.Component("x3000c0s1b0n0", bos.BootArtifacts{}),
		operatortest.Component("x3000c0s2b0n0", bos.BootArtifacts{}, failed),
	)
	var log bytes.Buffer
	op := operator.ForComponents(b, callOut{slog.New(slog.NewTextHandler(&log, nil))})
	if err := operatortest.Run(t, b, op, 1); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, "x3000c0s2b0n0") || !strings.Contains(got, "unreachable") || strings.Contains(got, "x3000c0s1b0n0") {
		t.Errorf("log = %s", got)
	}
	operatortest.Settled(t, b, op) // it writes nothing
}
