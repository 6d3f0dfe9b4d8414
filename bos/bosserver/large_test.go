package bosserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/sync/semaphore"
)

// TestLargeBodiesTakeTurns keeps the memory for work on large bodies taken: a large request is asked to come back, a
// small one is served.
func TestLargeBodiesTakeTurns(t *testing.T) {
	h := &handler{work: semaphore.NewWeighted(maxWork)}
	if err := h.work.Acquire(t.Context(), maxWork); err != nil {
		t.Fatal(err)
	}
	op := &operation{body: &schema{}}
	read := func(ctx context.Context, size int) (release func(), err error) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPatch, "/v2/components", strings.NewReader(`"`+strings.Repeat("x", size)+`"`))
		r.Header.Set("Content-Type", "application/json")
		_, release, err = h.readBody(httptest.NewRecorder(), r, op, maxListBody)
		return release, err
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	release, err := read(ended, minWork)
	release()
	if se := statusOf(err); se.Status != 503 || se.RetryAfter == 0 {
		t.Errorf("a large body without memory for it: %v", err)
	}
	release, err = read(t.Context(), 100)
	release()
	if err != nil {
		t.Errorf("a small body: %v", err)
	}
	h.work.Release(maxWork)
	release, err = read(t.Context(), maxWork+1) // larger than all there is
	if err != nil {
		t.Error(err)
	}
	if h.work.TryAcquire(1) {
		t.Error("a very large body is not alone")
	}
	release()
	if !h.work.TryAcquire(maxWork) || h.bodies.Load() != 0 {
		t.Errorf("memory was not given back: %d bytes of bodies", h.bodies.Load())
	}
}

func TestBodyGrowth(t *testing.T) {
	for _, announced := range []int64{-1, 0, 1 << 20, maxListBody} {
		size, steps := int64(bodyStart), 0
		for ; size <= maxListBody; steps++ {
			grown := size + bodyGrowth(size, announced, maxListBody)
			if grown <= size || grown > 4*size+512 || grown > maxListBody+512 && size < maxListBody {
				t.Fatalf("announced %d: from %d to %d", announced, size, grown)
			}
			size = grown
		}
		if steps > 16 {
			t.Errorf("announced %d: %d steps", announced, steps)
		}
	}
}

// TestLongNumbers would take hours if the time grew with the square of the length.
func TestLongNumbers(t *testing.T) {
	s := newSystem(t)
	s.want(s.do("PATCH", "/v2/options", `{"max_boot_wait_time":`+strings.Repeat("9", maxBody/2)+`}`), 400, "", "")
}
