package bench

import (
	"fmt"
	"log/slog"
	"testing"
)

// BenchmarkReboot reboots all nodes of a machine whose hardware takes no time, everything in one process on an embedded
// store. It reports nodes per second and the 99th percentile of the control time.
func BenchmarkReboot(b *testing.B) {
	for _, nodes := range []int{1, 1000, 10000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				b.Setenv("TMPDIR", b.TempDir())
				res, err := Run(b.Context(), Config{Nodes: nodes, Sizes: []int{nodes}, Runs: 1}, slog.New(slog.DiscardHandler))
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				s := res.Sessions[0]
				b.ReportMetric(float64(nodes)/s.WallSeconds, "nodes/s")
				b.ReportMetric(s.ControlTime.P99, "p99-ms")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}
