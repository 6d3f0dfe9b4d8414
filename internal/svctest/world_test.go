package svctest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/builtin"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/pcs"
)

// svcCase is a case of section 14. It runs in a synctest bubble of its own.
type svcCase struct {
	name string
	run  func(t *testing.T)
}

func TestSVC(t *testing.T) {
	for _, tc := range slices.Concat(outageCases, hsmCases, powerCases, cfsCases, bootCases, imageCases, reporterCases, scaleCases) {
		t.Run(tc.name, func(t *testing.T) { synctest.Test(t, tc.run) })
	}
}

const (
	template      = "t"
	configuration = "compute-24.7.0"
)

// size is the number of nodes of the cases about scale: that of $SVC_NODES, or the default.
func size(t *testing.T, byDefault int) int {
	text := os.Getenv("SVC_NODES")
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < byDefault {
		t.Fatalf("SVC_NODES=%s: want a number from %d", text, byDefault)
	}
	return n
}

// world is BOS with the real clients of its services, and a simulated machine that provides them, all in memory.
type world struct {
	t       *testing.T
	api     *operatortest.BOS
	machine *fleet.Machine
	deps    builtin.Deps
	ids     []bos.ComponentID
	image   fleet.Image // of template t
	log     *logbook

	mu       sync.Mutex
	requests []request
	meddle   func(r request, send func() (*http.Response, error)) (*http.Response, error)
	answers  []int // to reports
}

// request is one to a service.
type request struct {
	at                    time.Time
	service, method, path string
	body                  []byte
}

// transition is what a POST /transitions says; ok is false for another request.
func (r request) transition() (op pcs.Operation, ids []bos.ComponentID, ok bool) {
	var body struct {
		Operation pcs.Operation
		Location  []struct{ Xname bos.ComponentID }
	}
	if r.service != "pcs" || r.method != http.MethodPost || !strings.HasSuffix(r.path, "/transitions") || json.Unmarshal(r.body, &body) != nil {
		return "", nil, false
	}
	for _, l := range body.Location {
		ids = append(ids, l.Xname)
	}
	return body.Operation, ids, true
}

// newWorld makes a machine of n nodes that BOS knows, and the template t for all of them. Without configure, nothing
// takes time in it.
func newWorld(t *testing.T, n int, configure ...func(*fleet.Config)) *world {
	t.Helper()
	w := &world{t: t, log: new(logbook)}
	cfg := fleet.Config{Nodes: n, Seed: 1, Report: w.report}
	for _, fn := range configure {
		fn(&cfg)
	}
	var err error
	if w.machine, err = fleet.New(cfg); err != nil {
		t.Fatal(err)
	}
	u := app.SimulatedUpstreams("http://machine")
	rc := hsm.Config{Transport: w, Jitter: func(d time.Duration) time.Duration { return d }}
	w.deps = builtin.Deps{
		Inventory: must(hsm.New(u.HSM, rc)),
		Power:     must(pcs.New(u.PCS, rc)),
		Config:    must(cfs.New(u.CFS, rc)),
		Boot:      must(bss.New(u.BSS, rc)),
		Images:    must(ims.New(u.IMS, rc)),
		Manifests: manifest.Reader(must(s3manifest.New(s3manifest.Config{Endpoint: u.S3Endpoint, Transport: w}))),
		Tenants:   must(tapms.New(u.TAPMS, rc)),
	}
	w.api = operatortest.NewBOS(t, func(c *bosserver.Config) {
		c.Tenants, c.Images, c.Manifests, c.Log = w.deps.Tenants, w.deps.Images, w.deps.Manifests, w.logger()
	})
	w.deps.API, w.deps.Log = w.api, w.logger()
	w.deps.Transitions = builtin.NewTransitions(w.deps.Power, w.deps.API)

	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.machine.Run(ctx) })
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	var found []bos.Component
	for _, node := range w.machine.Nodes() {
		id := bos.ComponentID(node.Xname)
		w.ids = append(w.ids, id)
		found = append(found, bos.Component{ID: id, Enabled: new(false)})
	}
	if _, err := w.api.CreateComponents(ctx, found); err != nil {
		t.Fatal(err)
	}
	w.image = w.images("x86_64")[0]
	w.putTemplate(func(*bos.SessionTemplate, *bos.BootSet) {})
	return w
}

// atSpeed makes the machine take its time, divided by speed.
func atSpeed(speed float64) func(*fleet.Config) {
	return func(c *fleet.Config) { c.Speed = speed }
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// images returns the images for an architecture.
func (w *world) images(arch string) []fleet.Image {
	return slices.DeleteFunc(w.machine.Images(), func(i fleet.Image) bool { return i.Arch != arch })
}

// artifacts are those of an image, without a root that needs a tag.
func artifacts(i fleet.Image) bos.BootArtifacts {
	base := "s3://boot-images/" + i.ID
	return bos.BootArtifacts{Kernel: base + "/kernel", Initrd: base + "/initrd", KernelParameters: "quiet bos_update_frequency=4h"}
}

// putTemplate stores template t after fn has changed it, past the rules of the API.
func (w *world) putTemplate(fn func(*bos.SessionTemplate, *bos.BootSet)) {
	w.t.Helper()
	tpl := bos.SessionTemplate{Name: template, CFS: &bos.CFSParameters{Configuration: new(configuration)}}
	set := bos.BootSet{
		Type: "s3", Path: w.image.Link.Path, NodeRolesGroups: []string{"Compute"}, Arch: new(bos.ArchX86),
		RootfsProvider: new("sbps"), RootfsProviderPassthrough: new("sbps:v1:iqn"),
	}
	fn(&tpl, &set)
	tpl.BootSets = map[string]bos.BootSet{"compute": set}
	if err := w.api.Store.Templates().Put(context.Background(), tpl.Key(), tpl); err != nil {
		w.t.Fatal(err)
	}
}

// report is what a node sends.
func (w *world) report(ctx context.Context, xname, token string) (int, error) {
	status := http.StatusOK
	p := bos.ComponentPatch{ActualState: &bos.ActualState{BSSToken: new(bos.BSSToken(token))}}
	if _, err := w.api.PatchComponent(ctx, "", bos.ComponentID(xname), p); err != nil {
		status = bos.AsStatus(err).Status
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = append(w.answers, status)
	return status, nil
}

// RoundTrip is the network between BOS and its services.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	r := request{at: time.Now(), method: req.Method, path: req.URL.Path}
	r.service, _, _ = strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	if req.Body != nil {
		var err error
		if r.body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	w.mu.Lock()
	w.requests = append(w.requests, r)
	meddle := w.meddle
	w.mu.Unlock()
	send := func() (resp *http.Response, err error) {
		in := req.Clone(req.Context())
		in.Body, in.RequestURI, in.RemoteAddr = io.NopCloser(bytes.NewReader(r.body)), req.URL.RequestURI(), "192.0.2.1:1234"
		rec := httptest.NewRecorder()
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				resp, err = nil, io.ErrUnexpectedEOF
				if cause := context.Cause(req.Context()); cause != nil {
					err = cause
				}
			}
		}()
		w.machine.Handler().ServeHTTP(rec, in)
		resp = rec.Result()
		resp.Request = req
		return resp, nil
	}
	if meddle != nil {
		return meddle(r, send)
	}
	return send()
}

// answer is one of a service, made up.
func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// unavailable is the answer of a service that is away.
func unavailable() (*http.Response, error) {
	return answer(http.StatusServiceUnavailable, `{"detail":"away"}`), nil
}

// setMeddle lets fn come between BOS and its services; nil for nobody.
func (w *world) setMeddle(fn func(r request, send func() (*http.Response, error)) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meddle = fn
}

// sent returns the requests so far that fit.
func (w *world) sent(fits func(request) bool) []request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []request
	for _, r := range w.requests {
		if fits(r) {
			found = append(found, r)
		}
	}
	return found
}

// to returns what fits requests of a service with a method, whose path ends as given.
func to(service, method, suffix string) func(request) bool {
	return func(r request) bool {
		return r.service == service && r.method == method && strings.HasSuffix(r.path, suffix)
	}
}

// commands returns the requests for an operation that name the node.
func (w *world) commands(op pcs.Operation, id bos.ComponentID) []request {
	return w.sent(func(r request) bool {
		o, ids, ok := r.transition()
		return ok && o == op && slices.Contains(ids, id)
	})
}

// start runs all operators until the test ends.
func (w *world) start() {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, op := range builtin.All(w.deps) {
		loop := &operator.Loop{
			Operator: op, API: w.api, Holder: "test", Log: w.logger(),
			Jitter: func(d time.Duration) time.Duration { return d - d/10 },
		}
		wg.Go(func() {
			if err := loop.Run(ctx); !errors.Is(err, context.Canceled) {
				w.t.Errorf("%s ended: %v", op.Name(), err)
			}
		})
	}
	w.t.Cleanup(func() {
		stop()
		wg.Wait()
	})
}

// pass makes one full pass of an operator, without a back-off in its way.
func (w *world) pass(name string) error {
	w.t.Helper()
	op, err := builtin.New(name, w.deps)
	if err != nil {
		w.t.Fatal(err)
	}
	tick := w.api.Tick(new(operatortest.Scheduler))
	tick.Log = w.logger()
	return op.Run(bos.WithWriter(w.t.Context(), name), tick)
}

// passes makes one full pass of each operator, which must succeed.
func (w *world) passes(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if err := w.pass(name); err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
	}
}

// put stores components that shall boot the artifacts and be configured, after the changes.
func (w *world) put(a bos.BootArtifacts, ids []bos.ComponentID, change ...func(*bos.Component)) {
	w.t.Helper()
	for _, id := range ids {
		w.api.Put(operatortest.Component(id, a, slices.Concat([]func(*bos.Component){func(c *bos.Component) {
			c.DesiredState.Configuration = new(configuration)
			c.LastAction.LastUpdated = new(bos.Stamp(time.Now()))
		}}, change)...))
	}
}

func inPhase(p bos.Phase) func(*bos.Component) {
	return func(c *bos.Component) { c.Status.Phase = new(p) }
}

// inject breaks something in the machine.
func (w *world) inject(kind, value string, ids ...bos.ComponentID) string {
	w.t.Helper()
	f := fleet.Fault{Kind: kind, Value: value}
	for _, id := range ids {
		f.Nodes = append(f.Nodes, string(id))
	}
	return w.fault(f)
}

func (w *world) fault(f fleet.Fault) string {
	w.t.Helper()
	id, err := w.machine.Inject(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) clear(fault string) {
	w.t.Helper()
	if err := w.machine.Clear(fault); err != nil {
		w.t.Fatal(err)
	}
}

// session posts a session.
func (w *world) session(name string, op bos.Operation) {
	w.t.Helper()
	if _, err := w.api.CreateSession(w.t.Context(), "", bos.SessionCreate{Name: name, Operation: op, TemplateName: template}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) getSession(tenant, name string) *bos.Session {
	w.t.Helper()
	s, err := w.api.GetSession(w.t.Context(), bos.TenantKey{Tenant: tenant, Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return &s
}

// await waits until a session is complete and returns its status.
func (w *world) await(name string, limit time.Duration) bos.ExtendedStatus {
	w.t.Helper()
	for end := time.Now().Add(limit); w.getSession("", name).State() != bos.SessionComplete; time.Sleep(time.Second) {
		if time.Now().After(end) {
			w.t.Fatalf("session %s is %s after %s; %s", name, w.getSession("", name).State(), limit, w.describe(w.ids[0]))
		}
	}
	st, err := w.api.SessionStatus(w.t.Context(), bos.TenantKey{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

// boot boots all nodes without a fault and waits for it.
func (w *world) boot() {
	w.t.Helper()
	w.session("first", bos.OperationBoot)
	if st := w.await("first", 2*time.Hour); st.PercentSuccessful != 100 {
		w.t.Fatalf("the first boot: %.1f %% successful; %s", st.PercentSuccessful, w.describe(w.ids[0]))
	}
}

func (w *world) node(id bos.ComponentID) fleet.NodeState {
	w.t.Helper()
	n, ok := w.machine.Node(string(id))
	if !ok {
		w.t.Fatalf("no node %s", id)
	}
	return n
}

// describe tells where a component and its node are.
func (w *world) describe(id bos.ComponentID) string {
	c, n := w.api.Get(id), w.node(id)
	on, graceful, forceful := c.Attempts()
	return fmt.Sprintf("%s: %s, enabled %t, last action %s, attempts %d/%d/%d, error %q; node %s, commands %v",
		id, c.ComputeStatus(), c.IsEnabled(), c.Action(), on, graceful, forceful, c.ErrorText(), n.Phase, n.Commands)
}

// wantStatus checks the status of components.
func (w *world) wantStatus(want bos.Status, ids ...bos.ComponentID) {
	w.t.Helper()
	for _, id := range ids {
		if c := w.api.Get(id); c.ComputeStatus() != want {
			w.t.Errorf("want %s; %s", want, w.describe(id))
		}
	}
}

// wantUp checks that BOS and the machine agree that nodes are as they should be.
func (w *world) wantUp(ids ...bos.ComponentID) {
	w.t.Helper()
	w.wantStatus(bos.StatusStable, ids...)
	for _, id := range ids {
		c, n := w.api.Get(id), w.node(id)
		if n.Phase != "up" || c.IsEnabled() || c.ErrorText() != "" || !c.DesiredArtifacts().Same(c.ActualArtifacts()) || c.ActualArtifacts().Empty() {
			w.t.Errorf("want it up as desired; %s", w.describe(id))
		}
	}
}

// attempts returns the greatest numbers of attempts that were recorded for a component.
func (w *world) attempts(id bos.ComponentID) (on, graceful, forceful int) {
	for _, g := range w.api.Writes() {
		if s := g.Patch.EventStats; g.ID == id && s != nil {
			on = max(on, bos.Value(s.PowerOnAttempts))
			graceful = max(graceful, bos.Value(s.PowerOffGracefulAttempts))
			forceful = max(forceful, bos.Value(s.PowerOffForcefulAttempts))
		}
	}
	return on, graceful, forceful
}

// logbook keeps what is logged, a line each.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

// has returns the lines with all the words.
func (l *logbook) has(words ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			found = append(found, line)
		}
	}
	return found
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
