package replicatest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/store/storetest"
)

const (
	allOperators  = "all"
	configuration = "compute-24.7.0" // that the machine knows
)

// system is a machine in this process and, on one Redis, two API servers with a process of operators each.
type system struct {
	t         *testing.T
	redis     string // URL
	machine   *fleet.Machine
	env       []string // of the programs: where the machine's services are
	servers   []*process
	operators []*process
	api       []*bosclient.Client // of each server
	ids       []bos.ComponentID   // of all nodes, once discovered

	reports atomic.Uint64
	hold    atomic.Pointer[string] // the node whose reports do not get through; nil = none
}

// newSystem starts a machine and two API servers. All ends with the test.
func newSystem(t *testing.T, nodes int, speed float64) *system {
	t.Helper()
	s := &system{t: t, redis: storetest.NewRedisServer(t)}
	var err error
	s.machine, err = fleet.New(fleet.Config{Nodes: nodes, Speed: speed, Seed: 1, Report: s.report})
	if err != nil {
		t.Fatal(err)
	}
	services := httptest.NewServer(s.machine.Handler())
	t.Cleanup(services.Close)
	upstreams := app.SimulatedUpstreams(services.URL)
	s.env = upstreams.Environ()
	for range 2 {
		addr := freeAddress(t)
		s.servers = append(s.servers, start(t, roleAPI, s.env, "--store", s.redis, "--listen", addr))
		s.api = append(s.api, newClient(t, "http://"+addr))
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.machine.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return s
}

// newClient returns a client that tries nothing twice.
func newClient(t *testing.T, url string) *bosclient.Client {
	t.Helper()
	cfg := bosclient.Config{RetryBudget: -1, MaxInFlight: 128}
	if os.Getenv("REPLICATEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	c, err := bosclient.New(url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// report is what a node sends: to one server, then to the other.
func (s *system) report(ctx context.Context, xname, token string) (int, error) {
	if held := s.hold.Load(); held != nil && *held == xname {
		return http.StatusServiceUnavailable, nil
	}
	api := s.api[s.reports.Add(1)%uint64(len(s.api))]
	p := bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken(token))}}
	if _, err := api.PatchComponent(ctx, "", bos.ComponentID(xname), p); err != nil {
		return bos.AsStatus(err).Status, nil
	}
	return http.StatusOK, nil
}

// operate starts processes of operators with the operators that names tell, beside one server and the other in turn, and
// waits until the nodes are discovered.
func (s *system) operate(names ...string) {
	s.t.Helper()
	for i, run := range names {
		s.operators = append(s.operators, start(s.t, roleOperator, s.env, "--api", s.api[i%len(s.api)].Base(), "--run", run))
	}
	until(s.t, safety, "discover the nodes", func(ctx context.Context) error {
		if s.ids = s.list(ctx, s.api[0], bos.ComponentFilter{}); len(s.ids) < s.machine.Size() {
			return errNotYet
		}
		return nil
	})
}

// list returns the ids that a server lists; an error counts as nothing.
func (s *system) list(ctx context.Context, api *bosclient.Client, f bos.ComponentFilter) []bos.ComponentID {
	var ids []bos.ComponentID
	for c, err := range api.ListComponents(ctx, f) {
		if err != nil {
			return nil
		}
		ids = append(ids, c.ID)
	}
	return ids
}

// images returns the paths of the images that a compute node can boot.
func (s *system) images() []string {
	var paths []string
	for _, img := range s.machine.Images() {
		if img.Arch == "x86_64" && img.Link != nil {
			paths = append(paths, img.Link.Path)
		}
	}
	return paths
}

// session posts a session for all nodes, through the server with the index, with a template of its own. Without a
// configuration the nodes are not configured.
func (s *system) session(server int, name string, op bos.Operation, image, configuration string) {
	s.t.Helper()
	ctx := s.t.Context()
	api := s.api[server]
	template := bos.SessionTemplate{
		BootSets: map[string]bos.BootSet{"compute": {
			Type: "s3", Path: image, NodeRolesGroups: []string{"Compute"},
			RootfsProvider: new("sbps"), RootfsProviderPassthrough: new("sbps:v1:iqn"),
		}},
	}
	if configuration != "" {
		template.CFS = &bos.CFSParameters{Configuration: new(configuration)}
	}
	if _, err := api.PutTemplate(ctx, bos.TenantKey{Name: name}, template); err != nil {
		s.t.Fatal(err)
	}
	if _, err := api.CreateSession(ctx, "", bos.SessionCreate{Name: name, Operation: op, TemplateName: name}); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until a session is complete, asking either server.
func (s *system) await(name string, limit time.Duration) {
	s.t.Helper()
	turn := 0
	until(s.t, limit, "session "+name, func(ctx context.Context) error {
		turn++
		session, err := s.api[turn%len(s.api)].GetSession(ctx, bos.TenantKey{Name: name})
		if err == nil && session.State() != bos.SessionComplete {
			err = fmt.Errorf("%w: it is %s; %s", errNotYet, session.State(), s.unfinished(ctx))
		}
		return err
	})
}

// unfinished tells of one of the components that are still acted on.
func (s *system) unfinished(ctx context.Context) string {
	for c, err := range s.api[0].ListComponents(ctx, bos.ComponentFilter{Enabled: new(true), PageSize: 1}) {
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s is %s, last action %s at %s, error %q; node %s, %v",
			c.ID, c.ComputeStatus(), c.Action(), c.ActionTime(), c.ErrorText(), s.node(c.ID).Phase, s.node(c.ID).Requests)
	}
	return "no component is enabled"
}

// node returns the truth about a node.
func (s *system) node(id bos.ComponentID) fleet.NodeState {
	s.t.Helper()
	n, ok := s.machine.Node(string(id))
	if !ok {
		s.t.Fatalf("no node %s", id)
	}
	return n
}

// tally is what a node has been through.
type tally struct {
	boots           int // times its power came on
	on, soft, force int // times that PCS was asked
	phase           string
}

func (s *system) tally(id bos.ComponentID) tally {
	s.t.Helper()
	n := s.node(id)
	return tally{boots: int(n.Boots), on: n.Requests["On"], soft: n.Requests["Soft-Off"], force: n.Requests["Force-Off"], phase: n.Phase}
}

// hardware returns the longest time that a node's hardware took between two moments.
func (s *system) hardware(from, to time.Time) time.Duration {
	longest := time.Duration(0)
	for _, id := range s.ids {
		spent, _ := s.machine.Spent(string(id), from, to)
		longest = max(longest, spent.Total)
	}
	return longest.Round(time.Millisecond)
}
