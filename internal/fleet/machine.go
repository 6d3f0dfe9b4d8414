package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Config describes a machine. Nodes or Inventory is required; the zero value of
// everything else works.
type Config struct {
	Nodes     int        // compute nodes to generate, see [Generate]; not with Inventory
	Inventory *Inventory // the hardware; not with Nodes

	Seed  uint64  // of every chance the machine takes
	Speed float64 // divides every duration of the machine; 0 means that nothing takes time

	// Manual makes the clock of the machine stand still: time passes, and what is due
	// happens, in [Machine.Advance] and [Machine.AdvanceUntilIdle] alone. Speed divides
	// durations as ever.
	Manual bool

	// BOSURL is what /v2/components/{xname} is appended to for the nodes' reports.
	// Empty, and no Report: nodes boot and report to nobody.
	BOSURL string
	// TokenFile holds the bearer token for reports through BOSURL; it is read for
	// every report. Empty means that they carry none.
	TokenFile string
	// ThroughGateway makes nodes report through [Machine.Gateway] to BOSURL, with the
	// token in TokenFile or, without one, with identity tokens of their own. It needs
	// BOSURL.
	ThroughGateway bool
	// Report sends one report instead of an HTTP request to BOSURL. It is called
	// from up to ReportWorkers goroutines. A status of 2xx ends the node's tries; after
	// any other, and after an error, it tries again as the real reporter does.
	Report func(ctx context.Context, xname, token string) (status int, err error)
	// ReportWorkers bounds the reports under way; default 64.
	ReportWorkers int

	Groups     map[string][]string // HSM groups: label to xnames
	Partitions map[string][]string // HSM partitions: name to xnames
	Tenants    map[string][]string // tenants: name to xnames

	// ExtraComponents adds cabinets, chassis, slots, BMCs and processors to what HSM
	// lists, as a real machine has them; so does a fault of kind hsm_extra_components.
	ExtraComponents bool

	// ConfigureTime is how long every CFS session takes. By default that is drawn: 140 to
	// 660 s, so that how long a node takes depends on whose company it is in.
	ConfigureTime time.Duration

	Faults []Fault       // injected before the machine starts
	NewID  func() string // UUIDs of tokens, transitions and images; safe for concurrent use; default random
	Log    *slog.Logger  // nil means discard
}

// Machine is a simulated machine. It is safe for concurrent use.
type Machine struct {
	seed     uint64
	speed    float64
	epoch    time.Time
	manual   bool
	elapsed  atomic.Int64 // nanoseconds since epoch, on a manual clock
	newID    func() string
	log      *slog.Logger
	handler  http.Handler
	gateway  http.Handler
	services map[string]http.Handler

	advancing sync.Mutex // held by the one who advances a manual clock; taken before mu

	mu            sync.Mutex // guards everything below
	ctx           context.Context
	started       chan struct{} // closed when Run begins
	stopped       chan struct{} // closed when Run ends
	wake          chan struct{}
	agenda        agenda
	rand          *rand.Rand
	nodes         []node
	byXname       map[string]*node
	aliases       map[*node][]string // host names
	steps         words[step]
	outcomes      words[outcome]
	reports       reportQueue
	faults        []*activeFault
	nodeFaults    map[*node][]*activeFault
	faultsOf      map[string]bool // kinds in faults
	faultsChanged chan struct{}   // closed, and replaced, when a fault begins or ends
	faultSeq      int
	count         counters
	calls         callLog

	hsm   hsm
	pcs   pcs
	cfs   cfs
	bss   bss
	ims   ims
	s3    s3
	tapms tapms
}

// New makes a machine: all nodes off, but for those of role Management, which are
// up, and for what an HSM inventory says is on.
func New(cfg Config) (*Machine, error) {
	inv, err := cfg.inventory()
	if err != nil {
		return nil, err
	}
	if math.IsNaN(cfg.Speed) || math.IsInf(cfg.Speed, 0) || cfg.Speed < 0 {
		return nil, fmt.Errorf("speed %v: want 0 or a positive number", cfg.Speed)
	}
	m := &Machine{
		seed: mix(cfg.Seed), speed: cfg.Speed, epoch: time.Now(), manual: cfg.Manual, newID: cfg.NewID, log: cfg.Log,
		started: make(chan struct{}), stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		rand: rand.New(rand.NewPCG(cfg.Seed, 1)), nodeFaults: map[*node][]*activeFault{}, faultsOf: map[string]bool{}, faultsChanged: make(chan struct{}),
	}
	m.reports.idle = sync.NewCond(&m.mu)
	if m.newID == nil {
		m.newID = uuid.NewString
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.reports.max = cfg.ReportWorkers
	if m.reports.max <= 0 {
		m.reports.max = defaultReportWorkers
	}
	m.route()
	if err = m.reporting(cfg); err != nil {
		return nil, err
	}
	m.nodes = make([]node, len(inv.Nodes))
	m.byXname = make(map[string]*node, len(inv.Nodes))
	m.aliases = map[*node][]string{}
	for i := range inv.Nodes {
		m.nodes[i] = newNode(i, &inv.Nodes[i])
		n := &m.nodes[i]
		m.byXname[n.xname] = n
		if inv.Nodes[i].Aliases != nil {
			m.aliases[n] = inv.Nodes[i].Aliases
		}
		m.count.phases[n.phase]++
	}
	m.pcs = newPCS()
	m.bss = newBSS()
	m.cfs = newCFS(m.nodes, m.cfsTime())
	m.cfs.sessionTime = cfg.ConfigureTime
	m.ims, m.s3 = seedImages(m.time())
	if m.hsm, err = newHSM(m, inv, cfg); err != nil {
		return nil, err
	}
	if m.tapms, err = newTAPMS(m, cfg.Tenants); err != nil {
		return nil, err
	}
	for _, f := range cfg.Faults {
		if _, err := m.Inject(f); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	m.sweep() // PCS has been running for a while
	m.mu.Unlock()
	return m, nil
}

func (cfg Config) inventory() (*Inventory, error) {
	switch {
	case cfg.Inventory != nil && cfg.Nodes != 0:
		return nil, errors.New("a machine has a number of nodes or an inventory, not both")
	case cfg.Inventory != nil:
		inv := *cfg.Inventory
		inv.Nodes = append([]NodeSpec(nil), inv.Nodes...)
		if err := inv.complete(); err != nil {
			return nil, fmt.Errorf("inventory: %w", err)
		}
		return &inv, nil
	}
	return Generate(cfg.Nodes)
}

// Run lets time pass in the machine until ctx ends, and returns the cause. It may
// be called once. Without it the services answer, and nothing happens.
func (m *Machine) Run(ctx context.Context) error {
	m.mu.Lock()
	if m.ctx != nil {
		m.mu.Unlock()
		return errors.New("the machine has been run before")
	}
	m.ctx = ctx
	close(m.started)
	m.mu.Unlock()
	m.loop(ctx)
	close(m.stopped)
	m.reports.wg.Wait()
	return context.Cause(ctx)
}

// Handler serves all services, each below its own prefix, and the control API
// below /_sim. The base URLs to give to clients are in [Machine.BaseURLs].
func (m *Machine) Handler() http.Handler { return m.handler }

// Service serves one of [Services] alone, below the same prefix; nil for any
// other name.
func (m *Machine) Service(name string) http.Handler { return m.services[name] }

// BaseURLs returns the base URL of each service when Handler is served at root,
// such as http://127.0.0.1:9100.
func BaseURLs(root string) map[string]string {
	return map[string]string{
		"hsm": root + "/hsm/v2", "pcs": root + "/pcs/v1", "capmc": root + "/capmc/v1", "cfs": root + "/cfs/v3",
		"bss": root + "/bss/boot/v1", "ims": root + "/ims/v3", "s3": root + "/s3", "tapms": root + "/tapms/v1alpha3",
	}
}

// Size is the number of nodes.
func (m *Machine) Size() int { return len(m.nodes) }
