package operator_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/operatortest"
)

func TestProtect(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	failed := errors.New("no")
	for name, tc := range map[string]struct {
		fn   func() error
		want string
	}{
		"nothing": {func() error { return nil }, ""},
		"error":   {func() error { return failed }, "no"},
		"panic":   {func() error { panic("ouch") }, "panic: ouch"},
		"runtime": {func() error { return []error{}[six()] }, "panic: runtime error: index out of range [6] with length 0"},
	} {
		err := operator.Protect(log, tc.fn)
		if got := errorText(err); got != tc.want {
			t.Errorf("%s: error %q, want %q", name, got, tc.want)
		}
	}
	if strings.Count(text.String(), "protect_test.go") < 2 {
		t.Errorf("the log does not say where:\n%s", &text)
	}
	if err := operator.Protect(nil, func() error { panic("ouch") }); err == nil {
		t.Error("no error without a log")
	}
}

func six() int { return 6 }

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// brittle is components whose writes panic for one of them.
type brittle struct {
	operator.Components
	at bos.ComponentID
}

func (b brittle) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error) {
	for _, item := range p.Patches {
		if item.ID == b.at {
			panic("ouch")
		}
	}
	return b.Components.PatchGuarded(ctx, p)
}

// TestWriteSurvivesPanic writes in goroutines, one of which panics: that is an error of its request, and the others are
// written.
func TestWriteSurvivesPanic(t *testing.T) {
	b := operatortest.NewBOS(t)
	b.SetOptions(bos.OptionsPatch{MaxComponentBatchSize: new(1)})
	var patches []bos.GuardedPatch
	for _, id := range []bos.ComponentID{"x1", "x2", "x3"} {
		b.Put(operatortest.Component(id, bos.BootArtifacts{}))
		patches = append(patches, bos.GuardedPatch{ID: id, Patch: bos.ComponentPatch{Error: new("written")}})
	}
	r, err := operator.Write(t.Context(), brittle{b, "x2"}, b.Tick(new(operatortest.Scheduler)), patches)
	if err == nil || !strings.Contains(err.Error(), "panic: ouch") {
		t.Errorf("error %v, want the panic", err)
	}
	x1, x3 := b.Get("x1"), b.Get("x3")
	if len(r.Written) != 2 || x1.ErrorText() != "written" || x3.ErrorText() != "written" {
		t.Errorf("written %v, want x1 and x3", r.Written)
	}
}
