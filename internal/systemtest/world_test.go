package systemtest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/store"
	"github.com/bootorch/bosgo/store/memstore"
	"github.com/bootorch/bosgo/store/storetest"
)

// world is a machine, its services and the API of BOS, in memory. Its operators are processes of their own.
type world struct {
	t       testing.TB
	net     *network
	machine *fleet.Machine
	store   *store.DB // may be down
	truth   *store.DB // the same database, never down
	api     *bosserver.Service
	ids     []bos.ComponentID
	log     *slog.Logger

	mu        sync.Mutex
	storeDown bool
}

// worldConfig describes a world.
type worldConfig struct {
	nodes int
	speed float64 // of the machine
	seed  uint64
	// configure is how long CFS takes; 0 = drawn by the seed.
	configure time.Duration
	// wrote sees what is written, in order. It must not use the store.
	wrote func(store.Mutation)
}

// template is the name of the session template that every world has: all compute nodes, one image, one configuration.
const template = "compute"

// newWorld makes a world whose nodes BOS knows already. It ends with the test.
func newWorld(t testing.TB, cfg worldConfig) *world {
	t.Helper()
	w := &world{t: t, net: &network{}, log: slog.New(slog.DiscardHandler)}
	if os.Getenv("SYSTEMTEST_LOG") != "" {
		w.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	driver := &recordingDriver{Driver: memstore.NewDriver(), wrote: cfg.wrote}
	w.truth = store.New(driver, store.Config{})
	w.store = storetest.NewFaulty(driver, func(string) storetest.Fault {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.storeDown {
			return storetest.Refuse
		}
		return storetest.None
	})
	var err error
	w.machine, err = fleet.New(fleet.Config{Nodes: cfg.nodes, Seed: cfg.seed, Speed: cfg.speed, ConfigureTime: cfg.configure, Report: w.report, Log: w.log})
	if err != nil {
		t.Fatal(err)
	}
	d := clients(w.net)
	w.api = bosserver.New(w.store, bosserver.Config{Tenants: d.Tenants, Images: d.Images, Manifests: d.Manifests})
	closing := make(chan struct{})
	w.net.hosts = map[string]http.Handler{
		bosHost:     bosserver.NewHandler(w.api, bosserver.HandlerConfig{Closing: closing}),
		machineHost: w.machine.Handler(),
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.machine.Run(ctx) })
	t.Cleanup(func() {
		stop()
		close(closing)
		wg.Wait()
		w.net.close()
		w.store.Close()
	})
	var found []bos.Component
	for _, n := range w.machine.Nodes() {
		id := bos.ComponentID(n.Xname)
		w.ids = append(w.ids, id)
		found = append(found, bos.Component{ID: id, Enabled: new(false)})
	}
	if _, err := w.api.CreateComponents(ctx, found); err != nil {
		t.Fatal(err)
	}
	w.putTemplate(template, 0)
	return w
}

// putTemplate stores a template with one of the images.
func (w *world) putTemplate(name string, image int) {
	w.t.Helper()
	var paths []string
	for _, img := range w.machine.Images() {
		if img.Arch == "x86_64" {
			paths = append(paths, img.Link.Path)
		}
	}
	_, err := w.api.PutTemplate(context.Background(), bos.TenantKey{Name: name}, bos.SessionTemplate{
		CFS: &bos.CFSParameters{Configuration: new("compute-24.7.0")},
		BootSets: map[string]bos.BootSet{"compute": {
			Type: "s3", Path: paths[image], NodeRolesGroups: []string{"Compute"},
			RootfsProvider: new("sbps"), RootfsProviderPassthrough: new("sbps:v1:iqn"),
		}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// report is what a node sends.
func (w *world) report(ctx context.Context, xname, token string) (int, error) {
	p := bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken(token))}}
	if _, err := w.api.PatchComponent(ctx, "", bos.ComponentID(xname), p); err != nil {
		return bos.AsStatus(err).Status, nil
	}
	return http.StatusOK, nil
}

// setStore breaks the database, or repairs it.
func (w *world) setStore(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.storeDown = down
}

func (w *world) leases(name string) (rec store.LeaseRecord, err error) {
	err = w.truth.Transact(context.Background(), func(tx store.Tx) (err error) {
		rec, err = tx.Leases().Get(name)
		return err
	})
	return rec, err
}

// create posts a session.
func (w *world) create(c bos.SessionCreate) error {
	if c.TemplateName == "" {
		c.TemplateName = template
	}
	_, err := w.api.CreateSession(context.Background(), "", c)
	return err
}

// session posts a session that must be accepted.
func (w *world) session(name string, op bos.Operation, limit string) {
	w.t.Helper()
	if err := w.create(bos.SessionCreate{Name: name, Operation: op, Limit: limit}); err != nil {
		w.t.Fatal(err)
	}
}

// state returns the state of a session, empty when it is gone.
func (w *world) state(name string) bos.SessionState {
	s, err := w.truth.Sessions().Get(context.Background(), bos.TenantKey{Name: name})
	if err != nil {
		return ""
	}
	return s.State()
}

// await waits until the session is complete, for at most limit.
func (w *world) await(name string, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Second) {
		if w.state(name) == bos.SessionComplete {
			return nil
		}
	}
	return fmt.Errorf("session %s is %s after %s", name, w.state(name), limit)
}

// component returns a component.
func (w *world) component(id bos.ComponentID) bos.Component {
	w.t.Helper()
	c, err := w.truth.Components().Get(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// node returns the truth about a node.
func (w *world) node(id bos.ComponentID) fleet.NodeState {
	w.t.Helper()
	n, ok := w.machine.Node(string(id))
	if !ok {
		w.t.Fatalf("no node %s", id)
	}
	return n
}

// inject breaks something in the machine.
func (w *world) inject(f fleet.Fault) string {
	w.t.Helper()
	id, err := w.machine.Inject(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// describe tells where a component and its node are.
func (w *world) describe(id bos.ComponentID) string {
	c, n := w.component(id), w.node(id)
	on, graceful, forceful := c.Attempts()
	return fmt.Sprintf("%s: %s, enabled %t, session %q, last action %s, attempts %d/%d/%d, error %q, wants %s; node %s, cfs %s of %s, commands %v",
		id, c.ComputeStatus(), c.IsEnabled(), c.SessionName(), c.Action(), on, graceful, forceful, c.ErrorText(), c.DesiredConfiguration(), n.Phase, n.CFS, n.Config, n.Commands)
}

// recordingDriver tells of what is written.
type recordingDriver struct {
	*memstore.Driver
	mu    sync.Mutex
	wrote func(store.Mutation) // nil = nobody wants to know
}

// Commit implements store.Driver.
func (d *recordingDriver) Commit(ctx context.Context, writes []store.Mutation, atomic bool) ([]int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost, err := d.Driver.Commit(ctx, writes, atomic)
	if err != nil || d.wrote == nil || atomic && len(lost) > 0 {
		return lost, err
	}
	for i, m := range writes {
		if !slices.Contains(lost, i) {
			d.wrote(m)
		}
	}
	return lost, nil
}
