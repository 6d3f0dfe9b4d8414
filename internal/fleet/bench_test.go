package fleet

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// benchCall measures one request to a machine of n nodes.
func benchCall(b *testing.B, n int, method, path, body string) {
	m := newMachine(b, Config{Nodes: n})
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		if w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func firstXnames(n int) []string {
	inv, err := Generate(n)
	if err != nil {
		panic(err)
	}
	var list []string
	for _, n := range inv.Nodes {
		list = append(list, n.Xname)
	}
	return list
}

func BenchmarkHSMList50k(b *testing.B) { benchCall(b, 50_000, "GET", "/hsm/v2/State/Components", "") }

func BenchmarkPowerStatus2800(b *testing.B) {
	body, _ := json.Marshal(map[string]any{"xname": firstXnames(2800)})
	benchCall(b, 10_000, "POST", "/pcs/v1/power-status", string(body))
}

func BenchmarkCFSPage1000(b *testing.B) { benchCall(b, 10_000, "GET", "/cfs/v3/components", "") }

func BenchmarkHSMQuery1000(b *testing.B) {
	body, _ := json.Marshal(map[string]any{"ComponentIDs": firstXnames(1000)})
	benchCall(b, 10_000, "POST", "/hsm/v2/State/Components/Query", string(body))
}

// BenchmarkBoot50k boots 50,000 nodes that take no time, reports and configuration
// included, and shows what a node costs in memory.
func BenchmarkBoot50k(b *testing.B) {
	const nodes = 50_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := newMachine(b, Config{Nodes: nodes, Report: func(context.Context, string, string) (int, error) { return 200, nil }})
		stop := run(b, m)
		want(b, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false,"state":[]},"filters":{}}`, 200, nil)
		putBoot(b, m, "Compute", "bos_update_frequency=0h") // one report each
		bootAll(b, m)
		for booted, configured := 0, 0; booted < nodes || configured < nodes; {
			time.Sleep(10 * time.Millisecond)
			m.mu.Lock()
			booted, configured = int(m.count.reports), 0
			if booted == nodes {
				for _, c := range m.cfs.list {
					if m.cfsStatus(c) == cfsConfigured {
						configured++
					}
				}
			}
			m.mu.Unlock()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/nodes, "B/node")
		stop()
	}
}

// BenchmarkManualBoot50k boots 50,000 nodes on a manual clock with the durations of
// real ones: power, firmware, boot script, kernel, report and configuration. One
// operation is one boot of all; it is to take less than a minute.
func BenchmarkManualBoot50k(b *testing.B) {
	const nodes = 50_000
	for b.Loop() {
		m := newMachine(b, Config{Nodes: nodes, Speed: 1, Manual: true, Report: func(context.Context, string, string) (int, error) { return 200, nil }})
		stop := run(b, m)
		want(b, m, "PATCH", "/cfs/v3/components", `{"patch":{"desired_config":"compute-24.7.0","enabled":false,"state":[]},"filters":{}}`, 200, nil)
		putBoot(b, m, "Compute", "quiet")
		bootAll(b, m)
		passed, err := m.AdvanceUntilIdle(b.Context(), 2*time.Hour)
		if err != nil || m.count.reports < nodes || m.count.phases[PhaseUp] != nodes {
			b.Fatalf("%v: %d reports, %d nodes up", err, m.count.reports, m.count.phases[PhaseUp])
		}
		b.ReportMetric(passed.Minutes(), "simulated-min/op")
		b.ReportMetric(float64(m.count.events)/nodes, "events/node")
		stop()
	}
}
