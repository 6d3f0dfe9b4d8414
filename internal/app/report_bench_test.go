package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/bos/reporter"
)

// BenchmarkReports starts 10,000 reporters at once against one API server on each embedded store, and goes on until each
// has reported twice, which takes half a minute with the shortest period there is. It prints how long it took until all
// had been accepted once, how many tries failed, how evenly the second ones came (the
// fullest twentieth of the period against the mean), and how many records do not show what was reported.
//
// The reporters share 256 connections; the sockets of 10,000 nodes are more than one machine for tests has to offer.
func BenchmarkReports(b *testing.B) {
	for name, store := range map[string]string{"memory": "memory:", "bolt": "bolt:" + filepath.Join(b.TempDir(), "bos.db")} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				benchReports(b, store)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func benchReports(b *testing.B, storeURL string) {
	const nodes, period, parts = 10_000, reporter.MinPeriod, 20
	const token = "6b4d1f0e-8e0b-4d26-a6e1-5a8f2a3d5c11"
	booted := bos.BootArtifacts{Kernel: "s3://boot-images/i/kernel", KernelParameters: "quiet", Initrd: "s3://boot-images/i/initrd"}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	st, err := OpenStore(ctx, storeURL, discard())
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	svc := bosserver.New(st, bosserver.Config{})
	if err := svc.PutBootArtifacts(ctx, token, booted); err != nil {
		b.Fatal(err)
	}
	var components []bos.Component
	for i := range nodes {
		components = append(components, bos.Component{ID: bos.ComponentID(fmt.Sprintf("x%dc0s0b0n0", i)), Enabled: new(false)})
	}
	if _, err := svc.CreateComponents(ctx, components); err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(bosserver.NewHandler(svc, bosserver.HandlerConfig{}))
	defer srv.Close()
	transport := &http.Transport{MaxConnsPerHost: 256, MaxIdleConnsPerHost: 256}
	defer transport.CloseIdleConnections()

	var (
		mu       sync.Mutex
		failures int
		firsts   []time.Duration
		second   int
		buckets  [2 * parts]int
		wg       sync.WaitGroup
		start    = time.Now()
	)
	for i := range nodes {
		reports := 0
		r, err := reporter.New(reporter.Config{
			ID: string(components[i].ID), API: srv.URL, TTL: "40s", Transport: transport, Timeout: time.Minute,
			BSSToken: func() (string, error) { return token, nil },
			Observe: func(s reporter.Status) {
				mu.Lock()
				defer mu.Unlock()
				if s.LastError != "" {
					failures++
					return
				}
				switch reports++; reports {
				case 1:
					firsts = append(firsts, time.Since(start))
				case 2:
					buckets[min(time.Since(start)*parts/period, 2*parts-1)]++
					if second++; second == nodes {
						cancel()
					}
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() { r.Run(ctx) })
	}
	started := time.Since(start)
	wg.Wait()

	unseen := nodes
	for c, err := range svc.ListComponents(b.Context(), bos.ComponentFilter{}) {
		if err != nil {
			b.Fatal(err)
		}
		if c.ActualArtifacts().Same(booted) {
			unseen--
		}
	}
	// The second report of a node is a random part of the period after its first, and the first ones took a while
	// themselves: only the parts between that and the end of the first period are compared.
	most, sum, n := 0, 0, 0
	last := slices.Max(firsts)
	for i := int(last*parts/period) + 1; i < parts; i++ {
		most, sum, n = max(most, buckets[i]), sum+buckets[i], n+1
	}
	b.ReportMetric(started.Seconds(), "s-to-start")
	b.ReportMetric(last.Seconds(), "s-to-first-reports")
	b.ReportMetric(nodes/last.Seconds(), "first-reports/s")
	b.ReportMetric(float64(failures), "errors")
	b.ReportMetric(float64(unseen), "reports-lost")
	b.ReportMetric(float64(most)*float64(n)/float64(max(sum, 1)), "peak/mean")
}
