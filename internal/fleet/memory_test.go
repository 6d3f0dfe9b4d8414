package fleet

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func heapNow() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkMemory50k shows what a node of a machine of 50,000 costs: as the machine is
// made, and after a boot of all of them as BOS does it, in batches of 2,800 with reports
// and configuration.
func BenchmarkMemory50k(b *testing.B) {
	const nodes = 50_000
	for b.Loop() {
		before := heapNow()
		m := newMachine(b, Config{Nodes: nodes, Speed: 1, Manual: true, Report: func(context.Context, string, string) (int, error) { return 200, nil }})
		b.ReportMetric(float64(heapNow()-before)/nodes, "B/node-new")
		stop := run(b, m)
		bootBatches(b, m)
		if _, err := m.AdvanceUntilIdle(b.Context(), 2*time.Hour); err != nil || m.count.reports < nodes || m.count.phases[PhaseUp] != nodes {
			b.Fatalf("%v: %d reports, %d nodes up", err, m.count.reports, m.count.phases[PhaseUp])
		}
		b.ReportMetric(float64(heapNow()-before)/nodes, "B/node-booted")
		stop()
	}
}

// bootBatches asks for a boot of all nodes, in the requests that BOS sends.
func bootBatches(b testing.TB, m *Machine) {
	b.Helper()
	all := make([]string, 0, m.Size())
	for i := range m.nodes {
		all = append(all, m.nodes[i].xname)
	}
	for part := range slices.Chunk(all, 2800) {
		hosts, err := json.Marshal(part)
		if err != nil {
			b.Fatal(err)
		}
		want(b, m, "PUT", "/bss/boot/v1/bootparameters", `{"hosts":`+string(hosts)+`,"kernel":"s3://boot-images/k","initrd":"s3://boot-images/i","params":"quiet"}`, 200, nil)
		for ids := range slices.Chunk(part, 1000) {
			want(b, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false,"state":[],"tags":{"bos_session":"s"}},"filters":{"ids":"`+strings.Join(ids, ",")+`"}}`, 200, nil)
		}
		transit(b, m, "On", part...)
	}
}
