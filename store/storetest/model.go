package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
)

// Model does the same random steps on a store and on one in memory, first on a sound driver, then on a Faulty one, and
// compares results, records and changes. open returns an empty store; its type has a method Driver, as store.DB has.
func Model(t *testing.T, open func(t *testing.T) store.Store) {
	t.Run("sound", func(t *testing.T) {
		st := open(t)
		rapid.Check(t, func(rt *rapid.T) {
			newModel(rt, driverOf(t, st), func(string) Fault { return None }).run(true)
		})
	})
	t.Run("faulty", func(t *testing.T) {
		st := open(t)
		rapid.Check(t, func(rt *rapid.T) {
			faults := rapid.SampledFrom([]Fault{None, None, None, None, Refuse, Drop, Race})
			newModel(rt, driverOf(t, st), func(op string) Fault { return faults.Draw(rt, op) }).run(false)
		})
	})
}

// records is the content of a database.
type records map[store.Bucket]map[string]string

type model struct {
	rt      *rapid.T
	ctx     context.Context
	tested  *store.DB // over driver, with faults
	driver  store.Driver
	memory  *store.DB
	changes [2]*store.Subscription // of tested and memory
}

func newModel(rt *rapid.T, d store.Driver, next func(op string) Fault) *model {
	m := &model{rt: rt, ctx: bos.WithWriter(rt.Context(), "model"), driver: d, memory: memstore.New()}
	m.tested = NewFaulty(d, next)
	m.set(d, records{}) // what the last run left
	m.changes = [2]*store.Subscription{m.tested.Subscribe(bos.Cursor{}), m.memory.Subscribe(bos.Cursor{})}
	return m
}

func (m *model) run(sound bool) {
	defer m.changes[0].Close()
	m.rt.Repeat(map[string]func(*rapid.T){
		"create": func(rt *rapid.T) {
			id, c := drawID(rt), drawComponent(rt)
			m.both(func(st store.Store) (any, error) { return nil, st.Components().Create(m.ctx, id, c) })
		},
		"put": func(rt *rapid.T) {
			id, c := drawID(rt), drawComponent(rt)
			m.both(func(st store.Store) (any, error) { return nil, st.Components().Put(m.ctx, id, c) })
		},
		"update": func(rt *rapid.T) {
			id, c, fail := drawID(rt), drawComponent(rt), rapid.Bool().Draw(rt, "fail")
			m.both(func(st store.Store) (any, error) {
				return st.Components().Update(m.ctx, id, func(v *bos.Component) error {
					v.Enabled, v.Session = c.Clone().Enabled, c.Clone().Session
					if fail {
						return bos.ErrConflict
					}
					return nil
				})
			})
		},
		"update many": func(rt *rapid.T) {
			ids := rapid.SliceOf(rapid.Custom(drawID)).Draw(rt, "ids")
			decisions := map[bos.ComponentID]store.Decision{}
			for _, id := range ids {
				decisions[id] = rapid.SampledFrom([]store.Decision{store.Skip, store.Write, store.Remove}).Draw(rt, "decision")
			}
			c := drawComponent(rt)
			m.both(func(st store.Store) (any, error) {
				return st.Components().UpdateMany(m.ctx, ids, func(id bos.ComponentID, v *bos.Component, exists bool) (store.Decision, error) {
					v.ID, v.Error = id, c.Clone().Error
					v.RetryPolicy = new(map[bool]int{true: 1}[exists])
					return decisions[id], nil
				})
			})
		},
		"delete": func(rt *rapid.T) {
			id := drawID(rt)
			m.both(func(st store.Store) (any, error) { return nil, st.Components().Delete(m.ctx, id) })
		},
		"get": func(rt *rapid.T) {
			id := drawID(rt)
			m.both(func(st store.Store) (any, error) { return st.Components().Get(m.ctx, id) })
		},
		"get many": func(rt *rapid.T) {
			ids := rapid.SliceOf(rapid.Custom(drawID)).Draw(rt, "ids")
			m.both(func(st store.Store) (any, error) { return st.Components().GetMany(m.ctx, ids) })
		},
		"scan": func(rt *rapid.T) {
			p := store.Page[bos.ComponentID]{After: drawID(rt), Limit: rapid.IntRange(0, 3).Draw(rt, "limit")}
			m.both(func(st store.Store) (any, error) { return gather(st.Components().Scan(m.ctx, p)) })
		},
		"query": func(rt *rapid.T) {
			f := drawFilter(rt)
			m.both(func(st store.Store) (any, error) { return gather(store.QueryComponents(m.ctx, st, f)) })
		},
		"corrupt": func(rt *rapid.T) {
			all := m.read(m.driver)
			all[store.BucketComponents] = map[string]string{string(drawID(rt)): "{"}
			m.set(m.driver, all)
			m.set(m.memory.Driver(), all)
		},
		"options": func(rt *rapid.T) {
			seconds := time.Duration(rapid.IntRange(1, 3).Draw(rt, "polling")) * time.Second
			m.both(func(st store.Store) (any, error) {
				return st.Options().Update(m.ctx, func(o *bos.Options) error { o.PollingFrequency = seconds; return nil })
			})
		},
		"transact": func(rt *rapid.T) {
			key := bos.TenantKey{Name: rapid.SampledFrom([]string{"s1", "s2"}).Draw(rt, "session")}
			from, to, fail := drawID(rt), drawID(rt), rapid.IntRange(0, 4).Draw(rt, "fail") == 0
			m.both(func(st store.Store) (any, error) {
				return nil, st.Transact(m.ctx, func(tx store.Tx) error {
					c, err := tx.Components().Get(from)
					if errors.Is(err, bos.ErrUnavailable) {
						return err
					}
					if err != nil {
						return tx.Sessions().Delete(key)
					}
					c.Session = new(key.Name)
					err = errors.Join(
						tx.Components().Put(to, c), tx.Components().Delete(from), tx.Owners().Put(to, store.Owner{Session: key.Name}),
						tx.Sessions().Put(key, bos.Session{Name: key.Name, Components: string(to)}),
					)
					if fail {
						return errors.Join(err, bos.ErrConflict)
					}
					return err
				})
			})
		},
		"lease": func(rt *rapid.T) {
			holder := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "holder")
			at := fixedNow.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "at")) * 10 * time.Second)
			m.both(func(st store.Store) (any, error) {
				return store.AcquireLease(m.ctx, st, "status", holder, 15*time.Second, at)
			})
		},
		"": func(rt *rapid.T) {
			if diff := cmp.Diff(m.read(m.memory.Driver()), m.read(m.driver)); diff != "" {
				rt.Fatalf("records (-memory +tested):\n%s", diff)
			}
		},
	})
	if sound {
		m.compareChanges()
	}
}

// compareChanges waits for a last change and compares what came before it.
func (m *model) compareChanges() {
	end := bos.TenantKey{Name: "end"}
	var all [2][]bos.Change
	for i, st := range []*store.DB{m.tested, m.memory} {
		if err := st.Templates().Put(m.ctx, end, bos.SessionTemplate{}); err != nil {
			m.rt.Fatal(err)
		}
		for done := false; !done; {
			changes, err := m.changes[i].Next(m.ctx)
			if err != nil {
				m.rt.Fatal(err)
			}
			for _, c := range changes {
				c.Cursor = bos.Cursor{}
				all[i] = append(all[i], c)
				done = done || c.Kind == bos.ChangeTemplate && c.ID == end.Name
			}
		}
	}
	if diff := cmp.Diff(all[1], all[0]); diff != "" {
		m.rt.Fatalf("changes (-memory +tested):\n%s", diff)
	}
}

// both does a step on both stores. When a fault ended it on the tested one, each record must be as before the step or as
// after it, and memory follows.
func (m *model) both(step func(st store.Store) (any, error)) {
	before := m.read(m.memory.Driver())
	want, wantErr := step(m.memory)
	got, gotErr := step(m.tested)
	if errors.Is(gotErr, errInjected) {
		after, now := m.read(m.memory.Driver()), m.read(m.driver)
		for _, b := range store.Buckets() {
			for key := range merge(before[b], after[b], now[b]) {
				if now[b][key] != before[b][key] && now[b][key] != after[b][key] {
					m.rt.Fatalf("after a fault %s %q is %q; it was %q and should become %q", b, key, now[b][key], before[b][key], after[b][key])
				}
			}
		}
		m.set(m.memory.Driver(), now)
		return
	}
	if text(wantErr) != text(gotErr) {
		m.rt.Fatalf("error %v, want %v", gotErr, wantErr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		m.rt.Fatalf("result (-memory +tested):\n%s", diff)
	}
}

func merge(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range parts {
		maps.Copy(all, m)
	}
	return all
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// read returns all records.
func (m *model) read(d store.Driver) records {
	all := records{}
	for _, b := range store.Buckets() {
		all[b] = map[string]string{}
		for e, err := range d.Scan(m.ctx, b, "", 0) {
			if err != nil {
				m.rt.Fatal(err)
			}
			all[b][e.Key] = string(e.Value)
		}
	}
	return all
}

// set makes the records of a database those given.
func (m *model) set(d store.Driver, want records) {
	now := m.read(d)
	var writes []store.Mutation
	for _, b := range store.Buckets() {
		for key := range merge(now[b], want[b]) {
			w := store.Mutation{Bucket: b, Key: key}
			if value, ok := now[b][key]; ok {
				w.Old = []byte(value)
			}
			if value, ok := want[b][key]; ok {
				w.New = []byte(value)
			}
			writes = append(writes, w)
		}
	}
	if lost, err := d.Commit(m.ctx, writes, true); err != nil || len(lost) > 0 {
		m.rt.Fatalf("Commit = %v, %v", lost, err)
	}
}

// gather returns what a sequence yields.
func gather[V any](seq func(yield func(V, error) bool)) (all []V, err error) {
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func drawID(rt *rapid.T) bos.ComponentID {
	return bos.ComponentID(rapid.SampledFrom([]string{"x1", "x2", "x3", "x10", "é"}).Draw(rt, "id"))
}

// maybe draws a pointer that is nil now and then.
func maybe[T any](rt *rapid.T, label string, values ...T) *T {
	return rapid.Ptr(rapid.SampledFrom(values), true).Draw(rt, label)
}

func drawComponent(rt *rapid.T) bos.Component {
	c := bos.Component{
		ID:      drawID(rt),
		Enabled: maybe(rt, "enabled", true, false),
		Session: maybe(rt, "session", "", "s1", "s2"),
		Error:   maybe(rt, "error", "", "reason"),
	}
	if rapid.Bool().Draw(rt, "status") {
		c.Status = &bos.ComponentStatus{
			Phase:          maybe(rt, "phase", bos.PhaseNone, bos.PhasePoweringOn, bos.PhaseConfiguring),
			StatusOverride: maybe(rt, "override", "", bos.StatusFailed),
		}
	}
	if rapid.Bool().Draw(rt, "staged") {
		c.StagedState = &bos.StagedState{Session: maybe(rt, "staged session", "", "s1")}
	}
	if rapid.Bool().Draw(rt, "extra") {
		c.Extra = bos.Extra{"extra": json.RawMessage(fmt.Sprint(rapid.IntRange(0, 2).Draw(rt, "extra value")))}
	}
	return c
}

func drawFilter(rt *rapid.T) bos.ComponentFilter {
	f := bos.ComponentFilter{
		Session:       rapid.SampledFrom([]string{"", "", "s1"}).Draw(rt, "session"),
		StagedSession: rapid.SampledFrom([]string{"", "", "s1"}).Draw(rt, "staged session"),
		Enabled:       maybe(rt, "enabled", true, false),
		Phase:         rapid.SampledFrom([]bos.Phase{"", "", bos.PhasePoweringOn}).Draw(rt, "phase"),
		PageSize:      rapid.IntRange(0, 2).Draw(rt, "page size"),
	}
	if rapid.Bool().Draw(rt, "by status") {
		f.Status = rapid.SliceOfN(rapid.SampledFrom([]bos.Status{bos.StatusStable, bos.StatusFailed, bos.StatusPowerOnPending}), 0, 2).Draw(rt, "statuses")
	}
	if rapid.Bool().Draw(rt, "by id") {
		f.IDs = rapid.SliceOf(rapid.Custom(drawID)).Draw(rt, "ids")
	}
	if rapid.Bool().Draw(rt, "start") {
		f.StartAfter = drawID(rt)
	}
	return f
}
