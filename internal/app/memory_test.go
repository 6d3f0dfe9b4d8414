package app

import "testing"

func TestMemoryLimit(t *testing.T) {
	for live, want := range map[uint64]int64{0: memoryFloor, 100 << 20: memoryFloor, 400 << 20: 600 << 20} {
		if got := memoryLimit(live); got != want {
			t.Errorf("%d bytes in use: limit %d, want %d", live, got, want)
		}
	}
}
