package reporter

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkReporters starts 10,000 reporters within a second against one HTTP server in this process, and goes on until each
// has reported twice. It prints how long the first reports took, how many were answered with an error,
// how evenly the second ones came (the fullest twentieth of the period against the mean), and the memory of a reporter.
// The period is 10 seconds instead of hours.
func BenchmarkReporters(b *testing.B) {
	const nodes, period, parts = 10_000, 10 * time.Second, 20
	for b.Loop() {
		var requests atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			w.Write([]byte("{}"))
		}))
		transport := &http.Transport{MaxConnsPerHost: 256, MaxIdleConnsPerHost: 256}

		var mu sync.Mutex
		var buckets [2 * parts]int
		failures := 0
		first, second := 0, 0
		var firstDone time.Duration
		start := time.Now()
		ctx, cancel := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range nodes {
			reports := 0
			rep, err := New(Config{
				ID: fmt.Sprintf("x%dc0s0b0n0", i), API: srv.URL, Transport: transport, Timeout: time.Minute,
				BSSToken: func() (string, error) { return testBSS, nil },
				Observe: func(s Status) {
					mu.Lock()
					defer mu.Unlock()
					if s.LastError != "" {
						failures++
						return
					}
					switch reports++; reports {
					case 1:
						if first++; first == nodes {
							firstDone = time.Since(start)
							runtime.ReadMemStats(&after)
						}
					case 2:
						part := time.Since(start) * parts / period
						buckets[min(part, 2*parts-1)]++
						if second++; second == nodes {
							cancel()
						}
					}
				},
			})
			if err != nil {
				cancel()
				b.Fatal(err)
			}
			rep.period = period
			wg.Go(func() { rep.Run(ctx) })
		}
		started := time.Since(start)
		wg.Wait()
		cancel()
		srv.Close()
		transport.CloseIdleConnections()

		// The second report of a node is a random part of the period after its first, and the first ones took a
		// while themselves: only the parts between that and the end of the first period are compared.
		most, sum, n := 0, 0, 0
		for i := int(firstDone*parts/period) + 1; i < parts; i++ {
			most, sum, n = max(most, buckets[i]), sum+buckets[i], n+1
		}
		b.ReportMetric(started.Seconds(), "s-to-start")
		b.ReportMetric(firstDone.Seconds(), "s-to-first-reports")
		b.ReportMetric(float64(failures), "errors")
		b.ReportMetric(float64(most)*float64(n)/float64(max(sum, 1)), "peak/mean")
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/nodes, "B/reporter")
		b.ReportMetric(float64(requests.Load()), "requests")
		b.ReportMetric(0, "ns/op")
	}
}
