package fleet

import (
	"hash/fnv"
	"time"
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

// node is the truth about one node and what HSM and PCS keep about it.
type node struct {
	index   int32
	spec    *NodeSpec
	hash    uint64 // of the xname: makes its chances independent of other nodes
	phase   Phase
	power   bool
	restart bool // power on again once it is off

	// life changes whenever what was going to happen to the node no longer is:
	// another command, loss of power, a crash. Events of an old life are void.
	life  uint32
	boots uint32 // times it was powered on

	// HSM
	state        string
	enabled      bool
	locked       bool
	reservations bool // false: reservations are disabled
	role         string
	subRole      string
	nid          int
	software     string
	reservation  *reservation

	// PCS
	cached      powerReading
	cachedDirty bool // differs, perhaps, from what the next sample will find

	// what it booted
	loaded *bootEntry
	script int64 // Unix time of the last boot script; 0 never

	// reporters
	reported   bool
	retry      *retry         // of the report under way; nil while there is none to retry
	commands   [opCount]int32 // Redfish commands received
	spent      []interval
	busySince  time.Duration // start of the boot or shutdown under way; negative when there is none
	powerSince time.Duration // power edge that PCS has not sampled yet; negative when there is none
	history    []moment
	requests   [len(everyOperation)]int32 // PCS transitions that named the node
	faults     []*activeFault
}

// moment is one step of a node's history.
type moment struct {
	at    time.Duration
	phase Phase
	note  string
}

// historyLength bounds the history of a node: about two boots.
const historyLength = 16

func newNode(i int, spec *NodeSpec) node {
	h := fnv.New64a()
	h.Write([]byte(spec.Xname))
	n := node{
		index: int32(i), spec: spec, hash: h.Sum64(), state: spec.State, enabled: !spec.Disabled, locked: spec.Locked, reservations: true,
		role: spec.Role, subRole: spec.SubRole, nid: spec.NID, software: spec.SoftwareStatus, busySince: -1, powerSince: -1,
	}
	if n.state == "" {
		n.state = "Off"
		if spec.Role == "Management" {
			n.state = "Ready"
		}
	}
	switch n.state {
	case "Ready", "On", "Standby":
		n.power, n.phase = true, PhaseUp
	}
	return n
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
	x := m.seed ^ n.hash
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
func (n *node) air() bool { return n.spec.Class == "River" }

// osUp reports whether an operating system runs that would obey a shutdown.
func (n *node) osUp() bool { return n.phase == PhaseToken || n.phase == PhaseUp }

// enter moves the node to a phase and records it. m.mu is held.
func (m *Machine) enter(n *node, p Phase, note string) {
	m.count.phases[n.phase]--
	m.count.phases[p]++
	n.phase = p
	if len(n.history) == historyLength {
		n.history = append(n.history[:0], n.history[1:]...)
	}
	n.history = append(n.history, moment{m.now(), p, note})
}

// setPower changes the power of the node; HSM learns of it from a Redfish event
// a moment later. m.mu is held.
func (m *Machine) setPower(n *node, on bool) {
	n.power, n.powerSince = on, m.now()
	state := "Off"
	if on {
		state = "On"
	} else {
		n.loaded, n.reported, n.retry = nil, false, nil
	}
	m.dirty(n)
	m.after(m.draw(n, "hsm "+state, hsmEventTime), func() {
		if n.power == on && !n.osUp() { // else overtaken: by the next edge, or by the heartbeat
			n.state = state
		}
	})
}
