package app

import (
	"context"
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// The collector lets the heap grow to three times what is in use, as a session of thousands of nodes makes much garbage.
// After one large request that is a multiple of what the process needs, so it is made to work harder as soon as the
// process takes up more than memoryFloor, or half as much again as is in use where that is more.
const (
	memoryGrowth = 200 // percent
	memoryFloor  = 200 << 20
	memoryUpdate = 5 * time.Second
)

// limitMemory keeps the limit up to date until ctx ends. An administrator's GOGC and GOMEMLIMIT come first.
func limitMemory(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(memoryGrowth)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	live := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(memoryUpdate)
	defer tick.Stop()
	for {
		runtimemetrics.Read(live)
		debug.SetMemoryLimit(memoryLimit(live[0].Value.Uint64()))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// memoryLimit returns the limit for a heap of which so many bytes are in use.
func memoryLimit(live uint64) int64 { return max(memoryFloor, int64(live)*3/2) }
