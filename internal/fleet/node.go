package fleet

import (
	"slices"
	"time"
	"unique"
)

// Phase is where a node is in its life.
type Phase uint8

// The phases of a node, in the order of a boot; then the ways down and the ways
// to get stuck.
const (
	PhaseOff        Phase = iota // no power
	PhasePoweringOn              // command accepted, no power yet
	PhasePOST                    // firmware runs
	PhasePXE                     // wants a boot script from BSS
	PhaseKernel                  // loads kernel and initrd
	PhaseRootFS                  // initrd runs, mounts its root
	PhaseStarting                // operating system starts
	PhaseToken                   // operating system is up, waits for its identity token
	PhaseUp                      // operating system is up, reporters run
	PhaseSoftOff                 // operating system shuts down
	PhaseForceOff                // power is being cut
	PhaseHung                    // firmware never gets further
	PhasePanic                   // kernel panicked; power stays on
	PhaseEmergency               // no root file system; emergency shell
	PhaseCrashed                 // operating system died; power stays on
	phaseCount
)

var phaseNames = [phaseCount]string{"off", "powering_on", "post", "pxe", "kernel", "rootfs", "starting", "token_wait", "up",
	"soft_off", "force_off", "post_hang", "kernel_panic", "emergency_shell", "crashed"}

func (p Phase) String() string { return phaseNames[p] }

// span is a range of durations; a draw is uniform in it. The ranges are
// estimates.
type span struct{ min, max time.Duration }

var (
	powerOnLiquid = span{2 * time.Second, 8 * time.Second}
	powerOnAir    = span{5 * time.Second, 20 * time.Second}
	postLiquid    = span{90 * time.Second, 240 * time.Second}
	postAir       = span{180 * time.Second, 360 * time.Second}
	pxeTime       = span{1 * time.Second, 5 * time.Second}
	kernelTime    = span{10 * time.Second, 40 * time.Second}
	rootfsTime    = span{30 * time.Second, 90 * time.Second}
	startTime     = span{20 * time.Second, 60 * time.Second}
	tokenTime     = span{2 * time.Second, 20 * time.Second}
	softOffTime   = span{20 * time.Second, 90 * time.Second}
	forceOffTime  = span{2 * time.Second, 8 * time.Second}
	hsmEventTime  = span{1 * time.Second, 3 * time.Second}
	sessionStart  = span{20 * time.Second, 60 * time.Second}
	sessionRun    = span{120 * time.Second, 600 * time.Second}
)

const (
	pxeRetry   = 30 * time.Second // the script's "sleep 30; chain"
	tokenRetry = 2 * time.Second  // bos-reporter asks SPIRE again
	retryFloor = 100 * time.Millisecond
)

// traits are what many nodes have in common. Nodes that are alike share one.
type traits struct {
	role, subRole, arch, class, software string
}

// node is the truth about one node and what the services keep about it. There are many
// of them: what nodes share is behind a pointer or a handle, and never changes.
type node struct {
	xname  string
	traits unique.Handle[traits]
	index  int32 // in the machine; strangers have -1
	nid    int32

	// life changes whenever what was going to happen to the node no longer is:
	// another command, loss of power, a crash. Events of an old life are void.
	life  uint32
	boots uint32 // times it was powered on

	// Records; what is small is side by side, to need no padding.
	busySince time.Duration               // start of the boot or shutdown under way; negative when there is none
	spent     []interval                  // at most spentLength
	history   []moment                    // at most historyLength
	commands  [opCount]uint16             // Redfish commands received, modulo 65,536
	requests  [len(everyOperation)]uint16 // PCS transitions that named the node, likewise

	phase    Phase
	power    bool
	restart  bool // power on again once it is off
	reported bool // BOS accepted a report of this boot
	faulty   bool // has faults, see Machine.nodeFaults

	// HSM
	enabled      bool
	locked       bool
	reservations bool // false: reservations are disabled
	state        hsmState
	reservation  *reservation

	// PCS
	cachedAt time.Duration // since when the cache has what it has
	cached   powerReading

	// BSS
	script uint32     // Unix time of the last boot script; 0 never
	boot   *bootEntry // under its xname; nil when there is none
	loaded *bootEntry // what it booted

	cfs cfsComponent
}

// moment is one step of a node's history.
type moment struct {
	seconds uint32 // since the start of the machine
	millis  uint16 // and so many thousandths
	step    uint16 // in Machine.steps
}

// step is a phase that a node came into, and what is to be said about it.
type step struct {
	phase Phase
	note  string
}

func (m moment) at() time.Duration {
	return time.Duration(m.seconds)*time.Second + time.Duration(m.millis)*time.Millisecond
}

// historyLength bounds the history of a node: about two boots.
const historyLength = 16

func newNode(i int, spec *NodeSpec) node {
	n := node{
		xname: spec.Xname, index: int32(i), nid: int32(spec.NID), enabled: !spec.Disabled, locked: spec.Locked, reservations: true,
		traits:    unique.Make(traits{spec.Role, spec.SubRole, spec.Arch, spec.Class, spec.SoftwareStatus}),
		busySince: -1, cfs: newCFSComponent(),
	}
	switch {
	case spec.State != "":
		n.state = hsmState(slices.Index(hsmStates, spec.State))
	case spec.Role == "Management":
		n.state = stateReady
	default:
		n.state = stateOff
	}
	switch n.state {
	case stateReady, stateOn, stateStandby:
		n.power, n.phase = true, PhaseUp
	}
	return n
}

// stranger is something that a service was told about and that is no node of the
// machine.
func stranger(id string) *node { return &node{xname: id, index: -1, cfs: newCFSComponent()} }

// known reports whether the node is one of the machine, not a stranger.
func (n *node) known() bool { return n.index >= 0 }

func xnamesOf(list []*node) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = n.xname
	}
	return out
}

// alter gives the node other traits. m.mu is held.
func (n *node) alter(change func(*traits)) {
	t := n.traits.Value()
	change(&t)
	n.traits = unique.Make(t)
}

// hash of the xname makes the chances of a node independent of other nodes.
func (n *node) hash() uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(n.xname) {
		h = (h ^ uint64(n.xname[i])) * 1099511628211
	}
	return h
}

// mix is the finaliser of SplitMix64: it spreads a number over all 64 bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is a number in [0,1) that depends on the seed, the node, how often it
// booted and what for, and on nothing else: not on the order of events.
func (m *Machine) chance(n *node, what string) float64 {
	x := m.seed ^ n.hash()
	for i := range len(what) {
		x = mix(x ^ uint64(what[i]))
	}
	return float64(mix(x^uint64(n.boots))>>11) / (1 << 53)
}

// draw is a duration of the wall clock in the given span of the machine.
func (m *Machine) draw(n *node, what string, s span) time.Duration {
	return m.scaled(s.min + time.Duration(m.chance(n, what)*float64(s.max-s.min)))
}

// air reports whether the node is cooled by air; such nodes are slower.
func (n *node) air() bool { return n.traits.Value().class == "River" }

// osUp reports whether an operating system runs that would obey a shutdown.
func (n *node) osUp() bool { return n.phase == PhaseToken || n.phase == PhaseUp }

// enter moves the node to a phase and records it. m.mu is held.
func (m *Machine) enter(n *node, p Phase, note string) {
	m.count.phases[n.phase]--
	m.count.phases[p]++
	n.phase = p
	if len(n.history) == historyLength {
		n.history = slices.Delete(n.history, 0, 1)
	}
	now := m.now()
	n.history = append(n.history, moment{uint32(now / time.Second), uint16(now % time.Second / time.Millisecond), m.steps.index(step{p, note})})
}

// setPower changes the power of the node; HSM learns of it from a Redfish event
// a moment later. m.mu is held.
func (m *Machine) setPower(n *node, on bool) {
	n.power = on
	state := stateOff
	if on {
		state = stateOn
	} else {
		n.loaded, n.reported = nil, false
	}
	m.dirty(n, true)
	m.after(m.draw(n, "hsm "+state.String(), hsmEventTime), func() {
		if n.power == on && !n.osUp() { // else overtaken: by the next edge, or by the heartbeat
			n.state = state
		}
	})
}
