package fleet

import (
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos/reporter"
)

// redfish is a command that a node's management controller understands.
type redfish uint8

const (
	opOn redfish = iota
	opGracefulShutdown
	opForceOff
	opGracefulRestart
	opCount
)

var redfishNames = [opCount]string{"on", "gracefulshutdown", "forceoff", "gracefulrestart"}

func (r redfish) String() string { return redfishNames[r] }

// command is one Redfish reset of a node. The result is the transport error, or
// empty when the management controller accepted the command, which does not mean
// that anything happens. m.mu is held.
func (m *Machine) command(n *node, op redfish) string {
	if !m.reading(n).reachable {
		return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
	}
	if op == opOn && m.hit(n, "power_on_fails", "transport") {
		return "EOF"
	}
	n.commands[op]++
	switch op {
	case opOn:
		m.powerOn(n)
	case opGracefulShutdown:
		m.softOff(n)
	case opForceOff:
		m.forceOff(n)
	case opGracefulRestart:
		n.restart = m.softOff(n)
	}
	return ""
}

func (m *Machine) powerOn(n *node) {
	if n.power || n.phase == PhasePoweringOn || m.hit(n, "power_on_fails", "stays_off") {
		return
	}
	n.life++
	n.boots++
	m.busy(n)
	m.enter(n, PhasePoweringOn, "")
	wait := m.draw(n, "power on", powerOnLiquid)
	if n.air() {
		wait = m.draw(n, "power on", powerOnAir)
	}
	if f := m.use(n, "power_on_slow"); f != nil {
		wait += m.scaled(f.duration)
	}
	m.afterNode(n, wait, (*Machine).powered)
}

// powered is the moment at which a node has power: its firmware starts.
func (m *Machine) powered(n *node) {
	m.setPower(n, true)
	if m.use(n, "post_hang") != nil {
		m.enter(n, PhaseHung, "")
		return
	}
	m.enter(n, PhasePOST, "")
	wait := m.draw(n, "post", postLiquid)
	if n.air() {
		wait = m.draw(n, "post", postAir)
	}
	m.afterNode(n, wait, (*Machine).pxe)
}

func (m *Machine) pxe(n *node) {
	m.enter(n, PhasePXE, "")
	wait := m.draw(n, "pxe", pxeTime)
	if f := m.requestFault("bss", "latency", "GET", nil); f != nil {
		wait += f.duration + time.Duration(m.chance(n, "latency")*float64(f.upTo-f.duration))
	}
	m.afterNode(n, wait, (*Machine).fetchScript)
}

// fetchScript asks BSS what to boot, every 30 s for as long as it takes.
func (m *Machine) fetchScript(n *node) {
	entry, err := m.bootScript(n)
	if err != "" {
		if last := n.history[len(n.history)-1]; m.steps.at(last.step).note != err {
			m.enter(n, PhasePXE, err)
		}
		m.afterNode(n, m.pause(pxeRetry, retryFloor), (*Machine).fetchScript)
		return
	}
	// From here on the node boots this entry and reports this token, whatever
	// is written to BSS meanwhile.
	n.loaded = entry
	m.enter(n, PhaseKernel, entry.kernel)
	wait := m.draw(n, "kernel", kernelTime)
	if f := m.lasting("image_contention"); f != nil {
		wait += wait * time.Duration(m.count.phases[PhaseKernel]) / time.Duration(f.number)
	}
	m.afterNode(n, wait, (*Machine).kernel)
}

func (m *Machine) kernel(n *node) {
	if m.imageDeleted(n, n.loaded.kernel) || m.imageDeleted(n, n.loaded.initrd) {
		n.loaded = nil
		m.enter(n, PhasePXE, "kernel or initrd not found")
		m.afterNode(n, m.pause(pxeRetry, retryFloor), (*Machine).fetchScript)
		return
	}
	if m.use(n, "kernel_panic") != nil {
		m.enter(n, PhasePanic, "")
		return
	}
	m.enter(n, PhaseRootFS, "")
	m.afterNode(n, m.draw(n, "rootfs", rootfsTime), (*Machine).switchRoot)
}

func (m *Machine) switchRoot(n *node) {
	if m.use(n, "rootfs_missing") != nil {
		m.enter(n, PhaseEmergency, "")
		return
	}
	m.enter(n, PhaseStarting, "")
	m.afterNode(n, m.draw(n, "start", startTime), (*Machine).osStarted)
}

func (m *Machine) osStarted(n *node) {
	n.state = stateReady // its heartbeat begins
	m.enter(n, PhaseToken, "")
	m.afterNode(n, m.draw(n, "token", tokenTime), (*Machine).waitToken)
}

// waitToken polls for the identity token that both reporters need.
func (m *Machine) waitToken(n *node) {
	if m.use(n, "spire_unavailable") != nil {
		m.afterNode(n, m.pause(tokenRetry, retryFloor), (*Machine).waitToken)
		return
	}
	m.enter(n, PhaseUp, "")
	m.cfsReport(n, 1)
	m.startReporter(n)
}

// softOff is a GracefulShutdown. A node without an operating system accepts it
// and does nothing. It reports whether the node goes down.
func (m *Machine) softOff(n *node) bool {
	if !n.osUp() || m.use(n, "soft_off_ignored") != nil {
		return false
	}
	n.life++
	m.busy(n)
	m.enter(n, PhaseSoftOff, "")
	wait := m.draw(n, "soft off", softOffTime)
	if f := m.use(n, "soft_off_slow"); f != nil {
		wait += m.scaled(f.duration)
	}
	m.afterNode(n, wait, (*Machine).shutDown)
	return true
}

func (m *Machine) forceOff(n *node) {
	if n.phase == PhaseOff || n.phase == PhaseForceOff || m.use(n, "force_off_fails") != nil {
		return
	}
	n.life++
	n.restart = false
	m.busy(n)
	m.enter(n, PhaseForceOff, "")
	m.afterNode(n, m.draw(n, "force off", forceOffTime), (*Machine).shutDown)
}

func (m *Machine) shutDown(n *node) { m.down(n, "") }

// down is the moment at which the node loses its power.
func (m *Machine) down(n *node, note string) {
	n.life++
	m.idle(n)
	m.setPower(n, false)
	m.enter(n, PhaseOff, note)
	if n.restart {
		n.restart = false
		m.powerOn(n)
	}
}

// crash kills the operating system; power stays on.
func (m *Machine) crash(n *node) {
	n.life++
	n.state = stateStandby
	m.enter(n, PhaseCrashed, "")
}

// cmdline is the kernel line the node booted with, but for the referral token
// and the join token.
func (n *node) cmdline() string {
	if n.loaded == nil {
		return ""
	}
	words := slices.DeleteFunc(n.kernelLine(), func(w string) bool { return strings.HasPrefix(strings.Trim(w, `"`), reporter.ParamToken+"=") })
	return strings.Join(words, " ")
}

// cfsReport is cfs-state-reporter: early in every boot it wipes the node's
// layers and lets CFS act. Its back-off is two seconds per try, 30 s at most.
func (m *Machine) cfsReport(n *node, try int) {
	if m.serviceUp("cfs") && m.cfsBooted(n) {
		return
	}
	wait := min(time.Duration(2*try)*time.Second, 30*time.Second)
	m.afterNode(n, m.pause(wait, retryFloor), func(m *Machine, n *node) { m.cfsReport(n, try+1) })
}
