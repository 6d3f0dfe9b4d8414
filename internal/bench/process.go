package bench

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usage reads what each process uses now.
func (s *system) usage() []Usage {
	var all []Usage
	for _, name := range slices.Sorted(maps.Keys(s.pids)) {
		pid := s.pids[name]
		all = append(all, Usage{Process: name, CPUSeconds: cpuSeconds(pid), ResidentMiB: residentMiB(pid)})
	}
	return all
}

// idle measures what the processes use while nothing happens.
func (s *system) idle(ctx context.Context, d time.Duration) ([]Usage, error) {
	before := s.usage()
	start := time.Now()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(d):
	}
	return s.usageSince(before, start), nil
}

// usageSince is what each process has used since before, which was read at start.
func (s *system) usageSince(before []Usage, start time.Time) []Usage {
	now := s.usage()
	for i := range now {
		now[i].CPUSeconds -= before[i].CPUSeconds
		now[i].Seconds = time.Since(start).Seconds()
	}
	return now
}

// ticksPerSecond is the unit of /proc/PID/stat on Linux.
const ticksPerSecond = 100

// cpuSeconds returns the processor time of a process, 0 where the system does not tell.
func cpuSeconds(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond
}

// residentMiB returns the resident memory of a process, 0 where the system does not tell.
func residentMiB(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}
