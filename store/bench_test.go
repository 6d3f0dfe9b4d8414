package store_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/boltstore"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/redisstore"
	"github.com/bootorch/bosgo/store/storetest"
)

const benchComponents = 10_000

func benchID(n int) bos.ComponentID {
	return bos.ComponentID(fmt.Sprintf("x%dc%ds%db%dn0", 1000+n/512, n/64%8, n/8%8, n%8))
}

func benchComponent(n int) bos.Component {
	artifacts := bos.BootArtifacts{
		Kernel:           "s3://boot-images/b2e7d4c1-0d0c-4f2b-8a1f-4e1f0b1f2c3d/kernel",
		KernelParameters: "console=ttyS0,115200 bad_page=panic crashkernel=512M hugepagelist=2m-2g intel_iommu=off rd.retry=10 rd.shell turbo_boost_limit=999 spire_join_token=${SPIRE_JOIN_TOKEN} root=sbps-s3:s3://boot-images/b2e7d4c1/rootfs:etag",
		Initrd:           "s3://boot-images/b2e7d4c1-0d0c-4f2b-8a1f-4e1f0b1f2c3d/initrd",
	}
	stamp := bos.Timestamp("2026-01-31T10:00:00")
	return bos.Component{
		ID:           benchID(n),
		ActualState:  &bos.ActualState{BootArtifacts: artifacts.Fields(), BSSToken: new(bos.BSSToken("1c7d7c02-5b0e-4d43-9b0c-c3f1d8f4a111")), LastUpdated: new(stamp)},
		DesiredState: &bos.DesiredState{BootArtifacts: artifacts.Fields(), Configuration: new("compute-26.1.0"), BSSToken: new(bos.BSSToken("1c7d7c02-5b0e-4d43-9b0c-c3f1d8f4a111")), LastUpdated: new(stamp)},
		StagedState:  &bos.StagedState{LastUpdated: new(stamp)},
		LastAction:   &bos.LastAction{Action: new(bos.ActionPoweringOn), Failed: new(false), LastUpdated: new(stamp)},
		EventStats:   bos.ZeroEventStats(),
		Status:       &bos.ComponentStatus{Phase: new(bos.PhaseNone), StatusOverride: new(bos.Status(""))},
		Enabled:      new(false),
		Error:        new(""),
		Session:      new("session-1"),
	}
}

// eachStore runs a benchmark on each driver with benchComponents components.
func eachStore(b *testing.B, fn func(b *testing.B, st store.Store)) {
	for _, driver := range []struct {
		name string
		open func(b *testing.B) (store.Store, error)
	}{
		{"memory", func(*testing.B) (store.Store, error) { return memstore.New(), nil }},
		{"bolt", func(b *testing.B) (store.Store, error) {
			return boltstore.Open(filepath.Join(b.TempDir(), "bos.db"), store.Config{})
		}},
		{"redis", func(b *testing.B) (store.Store, error) {
			return redisstore.Open(b.Context(), storetest.NewRedisServer(b), redisstore.Config{})
		}},
	} {
		b.Run(driver.name, func(b *testing.B) {
			st, err := driver.open(b)
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			ids := make([]bos.ComponentID, benchComponents)
			for n := range ids {
				ids[n] = benchID(n)
			}
			n := 0
			if _, err := st.Components().UpdateMany(b.Context(), ids, func(_ bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
				*c = benchComponent(n)
				n++
				return store.Write, nil
			}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			fn(b, st)
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	var eight []bos.ComponentID
	for n := range 8 {
		eight = append(eight, benchID(n*1000))
	}
	for _, row := range []struct {
		name string
		f    bos.ComponentFilter
		want int
	}{
		{"all", bos.ComponentFilter{}, benchComponents},
		{"no match", bos.ComponentFilter{Enabled: new(true), Status: []bos.Status{bos.StatusPowerOnPending}}, 0},
		{"8 ids", bos.ComponentFilter{IDs: eight}, 8},
		{"page of 500", bos.ComponentFilter{PageSize: 500, StartAfter: benchID(3000)}, 500},
	} {
		b.Run(row.name, func(b *testing.B) {
			eachStore(b, func(b *testing.B, st store.Store) {
				for b.Loop() {
					n := 0
					for _, err := range store.QueryComponents(b.Context(), st, row.f) {
						if n++; err != nil {
							b.Fatal(err)
						}
					}
					if n != row.want {
						b.Fatalf("%d components, want %d", n, row.want)
					}
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	eachStore(b, func(b *testing.B, st store.Store) {
		for b.Loop() {
			if _, err := st.Components().Get(b.Context(), benchID(5000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBulkUpdate changes 1,000 of the components.
func BenchmarkBulkUpdate(b *testing.B) {
	var ids []bos.ComponentID
	for n := range 1000 {
		ids = append(ids, benchID(n*10))
	}
	eachStore(b, func(b *testing.B, st store.Store) {
		round := 0
		for b.Loop() {
			round++
			if _, err := st.Components().UpdateMany(b.Context(), ids, func(_ bos.ComponentID, c *bos.Component, _ bool) (store.Decision, error) {
				c.RetryPolicy = new(round)
				return store.Write, nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUpdate changes single components from 16 goroutines.
func BenchmarkUpdate(b *testing.B) {
	eachStore(b, func(b *testing.B, st store.Store) {
		var round atomic.Int64
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n := int(round.Add(1))
				if _, err := st.Components().Update(b.Context(), benchID(n%benchComponents), func(c *bos.Component) error { c.RetryPolicy = new(n); return nil }); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
