package systemtest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/manifest/s3manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/internal/app"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/operator/builtin"
	"github.com/bootorch/bosgo/pcs"
)

// The hosts of the network.
const (
	bosHost     = "bos"
	machineHost = "machine"
)

// must is for constructors that fail on bad configuration alone.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// clients are those of one process over a transport.
func clients(rt http.RoundTripper) builtin.Deps {
	u := app.SimulatedUpstreams("http://" + machineHost)
	cfg := hsm.Config{Transport: rt, Jitter: func(d time.Duration) time.Duration { return d }}
	return builtin.Deps{
		Inventory: must(hsm.New(u.HSM, cfg)),
		Power:     must(pcs.New(u.PCS, cfg)),
		Config:    must(cfs.New(u.CFS, cfg)),
		Boot:      must(bss.New(u.BSS, cfg)),
		Images:    must(ims.New(u.IMS, cfg)),
		Manifests: must(s3manifest.New(s3manifest.Config{Endpoint: u.S3Endpoint, Transport: rt})),
		Tenants:   tapms.Cached(must(tapms.New(u.TAPMS, cfg)), 0),
	}
}

// watcher sees what a process sends. Its functions may be nil; they are called by the goroutine that makes the request.
type watcher struct {
	// sends is asked before a request leaves the process. When it returns false, the process dies first.
	sends func(p *process, r *request) bool
	// answered is asked when a request has been carried out. When it returns false, the process dies before it learns.
	answered func(p *process, r *request, status int) bool
	// delay is how long a request travels.
	delay func() time.Duration
}

// process is a bos-operator with all ten operators. When it dies, nothing of it reaches the network any more.
type process struct {
	name  string
	world *world
	watch watcher
	stop  context.CancelFunc
	wg    sync.WaitGroup
	died  chan struct{}

	mu     sync.Mutex
	dead   bool
	asleep chan struct{} // closed when it wakes; nil = awake
	isCut  bool          // from the network
}

var (
	errDead = errors.New("the process is dead")
	errCut  = errors.New("connection reset by peer")
)

// start runs a process that speaks HTTP with the API until it is killed or shut down.
func (w *world) start(name string, watch watcher) *process {
	p := &process{name: name, world: w, watch: watch, died: make(chan struct{})}
	return p.run(must(bosclient.New("http://"+bosHost, bosclient.Config{Transport: p})))
}

// startDirect is start for operators in the process of the API's server.
func (w *world) startDirect(name string, watch watcher) *process {
	p := &process{name: name, world: w, watch: watch, died: make(chan struct{})}
	return p.run(directAPI{p, w.api})
}

// run starts the operators.
func (p *process) run(api interface {
	builtin.API
	operator.API
}) *process {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	deps := clients(p)
	deps.API = api
	for _, op := range builtin.All(deps) {
		loop := &operator.Loop{
			Operator: op, API: api, Holder: p.name, Log: p.world.log.With("process", p.name),
			Jitter: func(d time.Duration) time.Duration { return d - d/10 },
		}
		p.wg.Go(func() { _ = loop.Run(ctx) })
	}
	return p
}

// kill ends the process where it is: no lease is given up, no record written.
func (p *process) kill() {
	p.mu.Lock()
	if !p.dead {
		p.dead = true
		close(p.died)
	}
	p.mu.Unlock()
	p.stop()
}

// reap kills the process and waits for what is left of it.
func (p *process) reap() {
	p.wake()
	p.kill()
	p.wg.Wait()
}

// setCut cuts the process off the network, or joins it again. What is on its way gets lost.
func (p *process) setCut(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = on
}

func (p *process) cut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isCut
}

// livesUntil waits until the process is dead or done says so.
func (p *process) livesUntil(done func() bool) {
	for !done() {
		select {
		case <-p.died:
			return
		case <-time.After(time.Second):
		}
	}
}

// shutDown lets the process end as it would on SIGTERM.
func (p *process) shutDown() {
	p.stop()
	p.wg.Wait()
}

// sleep stops the process as SIGSTOP does: requests that have been sent are carried out, and it takes no notice of
// their answers, nor sends anything, before it wakes.
func (p *process) sleep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asleep == nil {
		p.asleep = make(chan struct{})
	}
}

// wake ends the sleep.
func (p *process) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asleep != nil {
		close(p.asleep)
		p.asleep = nil
	}
}

// rest waits while the process sleeps, and fails when it is dead.
func (p *process) rest() error {
	for {
		p.mu.Lock()
		asleep, dead := p.asleep, p.dead
		p.mu.Unlock()
		switch {
		case dead:
			return errDead
		case asleep == nil:
			return nil
		}
		select {
		case <-asleep:
		case <-p.died:
		}
	}
}

// carry takes a request through the network as the process sees it. do hands it over and returns the status of the
// answer, or why there is none.
func (p *process) carry(r *request, do func() (status int, err error)) error {
	if p.watch.sends != nil && !p.watch.sends(p, r) {
		p.kill()
	}
	if err := p.rest(); err != nil { // what is on its way when the process falls asleep leaves it later
		return err
	}
	if p.cut() {
		return errCut
	}
	if p.watch.delay != nil {
		time.Sleep(p.watch.delay())
	}
	status, err := do()
	if p.cut() {
		return errCut
	}
	if err == nil && p.watch.answered != nil && !p.watch.answered(p, r, status) {
		p.kill()
	}
	if restErr := p.rest(); restErr != nil {
		return restErr
	}
	return err
}

// RoundTrip carries an HTTP request.
func (p *process) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := readRequest(req)
	if err != nil {
		return nil, err
	}
	var resp *http.Response
	err = p.carry(r, func() (int, error) {
		var err error
		if resp, err = p.world.net.send(req); err != nil {
			return 0, err
		}
		return resp.StatusCode, nil
	})
	if err != nil {
		if resp != nil {
			resp.Body.Close()
		}
		return nil, err
	}
	return resp, nil
}

// leader returns who holds the lease of an operator.
func (w *world) leader(name string) string {
	rec, err := w.leases(name)
	if err != nil || time.Now().UnixMilli() >= rec.Expires {
		return ""
	}
	return rec.Holder
}
