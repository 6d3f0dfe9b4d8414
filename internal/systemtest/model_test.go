package systemtest

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/store"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run the history of this seed, or -seeds of them from it on")
	seedsFlag = flag.Int("seeds", 0, "run so many histories; 0 = some")
)

// TestModel runs random histories: sessions, stages, administrators, broken hardware and services, a database that comes
// and goes, and operator processes that crash, sleep and lose their network. Whatever happens, the rules of [rules]
// hold, and once everything works again every session ends.
func TestModel(t *testing.T) {
	t.Parallel()
	first, count := max(*seedFlag, 1), *seedsFlag
	switch {
	case count > 0:
	case *seedFlag > 0:
		count = 1
	case sparse():
		count = 8
	default:
		count = 48
	}
	var failed atomic.Int32
	for i := range count {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			if failed.Load() >= 5 {
				t.Skip("five have failed")
			}
			t.Cleanup(func() {
				if t.Failed() {
					failed.Add(1)
				}
			})
			synctest.Test(t, func(t *testing.T) { newHistory(t, seed).run() })
		})
	}
}

// history is one random history of a world.
type history struct {
	*world
	t     *testing.T
	seed  uint64
	rand  *rand.Rand
	rules *rules
	begin time.Time
	delay time.Duration // longest way of a request

	direct bool // the operators do not speak HTTP with the API

	processes []*process
	started   int
	sessions  []string // created, perhaps deleted since
	locked    map[bos.ComponentID]bool

	mu    sync.Mutex
	naps  map[*process]time.Duration // that are to begin
	awake time.Time                  // when the last nap, cut or outage of the store is over
	log   []string
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), begin: time.Now(), locked: map[bos.ComponentID]bool{}, naps: map[*process]time.Duration{}}
	speed := []float64{0, 20, 60}[h.rand.IntN(3)]
	h.rules = newRules(h.violation, 1+h.rand.IntN(3))
	h.world = newWorld(t, worldConfig{nodes: 6, speed: speed, seed: seed, wrote: h.rules.wrote})
	h.putTemplate("other", 1)
	_, err := h.api.UpdateOptions(t.Context(), bos.OptionsPatch{
		DefaultRetryPolicy: new(h.rules.policy), PollingFrequency: new([]int{1, 5, 15}[h.rand.IntN(3)]),
		MaxBootWaitTime: new(60), MaxPowerOnWaitTime: new(20), MaxPowerOffWaitTime: new(20),
		MaxComponentBatchSize: new([]int{0, 2, 2800}[h.rand.IntN(3)]), ClearStage: new(h.chance(0.5)),
	})
	if err != nil {
		t.Fatal(err)
	}
	maxTime := []int{0, 0, 0, 120}[h.rand.IntN(4)]
	if _, err := h.api.UpdateSettings(t.Context(), bos.SettingsPatch{MaxSessionTime: new(maxTime)}); err != nil {
		t.Fatal(err)
	}
	h.delay = []time.Duration{0, 10 * time.Millisecond, time.Second}[h.rand.IntN(3)]
	h.direct = h.chance(0.75)
	h.note("speed %v, policy %d, direct %t, requests take up to %s, sessions %d s", speed, h.rules.policy, h.direct, h.delay, maxTime)
	return h
}

func (h *history) chance(p float64) bool { return h.rand.Float64() < p }

// note tells a step.
func (h *history) note(format string, args ...any) {
	text := fmt.Sprintf("%9.3fs ", time.Since(h.begin).Seconds()) + fmt.Sprintf(format, args...)
	h.mu.Lock()
	h.log = append(h.log, text)
	h.mu.Unlock()
	if testing.Verbose() && *seedFlag != 0 && *seedsFlag == 0 {
		h.t.Log(text)
	}
}

// violation fails the test, with the seed and what happened so far.
func (h *history) violation(format string, args ...any) {
	h.note("VIOLATION "+format, args...)
	h.mu.Lock()
	log := strings.Join(h.log, "\n")
	h.log = nil
	h.mu.Unlock()
	h.t.Errorf("seed %d: %s\nthe history:\n%s", h.seed, fmt.Sprintf(format, args...), log)
}

func (h *history) run() {
	for range 2 {
		h.startProcess()
	}
	for range 12 + h.rand.IntN(12) {
		h.step()
		time.Sleep(h.pause())
	}
	h.heal()
	h.end()
	for _, p := range h.processes {
		p.reap()
	}
}

// pause is the time between two steps: now and then none, mostly seconds.
func (h *history) pause() time.Duration {
	switch h.rand.IntN(4) {
	case 0:
		return time.Duration(h.rand.IntN(100)) * time.Millisecond
	case 1:
		return time.Duration(h.rand.IntN(30)) * time.Second
	}
	return time.Duration(h.rand.IntN(5000)) * time.Millisecond
}

func (h *history) startProcess() {
	h.started++
	name := fmt.Sprintf("p%d", h.started)
	h.note("start %s", name)
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(h.seed, uint64(h.started)))
	start := h.start
	if h.direct {
		start = h.startDirect
	}
	h.processes = append(h.processes, start(name, watcher{
		sends: func(p *process, r *request) bool {
			h.checkRequest(p, r)
			return true
		},
		answered: func(p *process, r *request, status int) bool {
			if r.asked > 0 && status == http.StatusOK {
				h.rules.knows(p.name+" "+r.operator+" settings", r.asked)
			}
			if r.late != "" && status/100 == 2 {
				h.violation("%s was let write %s, though %s holds the lease", p.name, r, r.late)
			}
			h.mu.Lock()
			d := h.naps[p]
			if d > 0 && r.operator != "" && !strings.HasSuffix(r.path, "/options") && !strings.HasSuffix(r.path, "/settings") {
				delete(h.naps, p)
			} else {
				d = 0
			}
			h.mu.Unlock()
			if d > 0 {
				h.note("%s sleeps for %s, after %s", p.name, d, r)
				p.sleep()
				h.after(d, p.wake)
			}
			return true
		},
		delay: func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(chance.Int64N(int64(h.delay) + 1))
		},
	}))
}

// after ends by f what has just begun.
func (h *history) after(d time.Duration, f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if end := time.Now().Add(d); end.After(h.awake) {
		h.awake = end
	}
	time.AfterFunc(d, f)
}

// some returns between one and all nodes, in order.
func (h *history) some() []bos.ComponentID {
	var ids []bos.ComponentID
	for len(ids) == 0 {
		for _, id := range h.ids {
			if h.chance(0.4) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func (h *history) one() bos.ComponentID { return h.ids[h.rand.IntN(len(h.ids))] }

// step is one random event.
func (h *history) step() {
	for _, s := range []struct {
		weight int
		do     func()
	}{
		{8, h.createSession}, {2, h.applyStaged}, {3, h.toggle}, {1, h.changeDesired}, {3, h.lock}, {4, h.breakNodes},
		{4, h.breakService}, {3, h.crash}, {3, h.nap}, {2, h.cutOff}, {2, h.breakStore}, {1, h.deleteSession},
		{3, h.cancelSession}, {2, h.pauseBOS},
	} {
		if h.rand.IntN(41) < s.weight {
			s.do()
			return
		}
	}
	h.createSession()
}

func (h *history) createSession() {
	c := bos.SessionCreate{
		Name: fmt.Sprintf("s%d", len(h.sessions)+1), TemplateName: []string{template, "other"}[h.rand.IntN(2)],
		Operation: []bos.Operation{bos.OperationBoot, bos.OperationReboot, bos.OperationReboot, bos.OperationShutdown}[h.rand.IntN(4)],
		Limit:     join(h.some()), Stage: h.chance(0.15), IncludeDisabled: h.chance(0.2),
	}
	err := h.create(c)
	h.note("create session %s: %s of %s, stage %t, limit %s: %v", c.Name, c.Operation, c.TemplateName, c.Stage, c.Limit, err)
	if err == nil {
		h.sessions = append(h.sessions, c.Name)
	}
}

func (h *history) applyStaged() {
	ids := h.some()
	got, err := h.api.ApplyStaged(context.Background(), "", ids)
	h.note("apply staged: %+v %v", got, err)
}

// toggle is an administrator who takes a node out of the work, or gives it back.
func (h *history) toggle() {
	id, enabled := h.one(), h.chance(0.4)
	_, err := h.api.PatchComponent(context.Background(), "", id, bos.ComponentPatch{Enabled: new(enabled)})
	h.note("%s enabled %t: %v", id, enabled, err)
}

// changeDesired is an administrator who wants something else of a node.
func (h *history) changeDesired() {
	id := h.one()
	d := &bos.DesiredState{Configuration: new("compute-24.11.0")}
	if h.chance(0.5) {
		d = &bos.DesiredState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new("")}
	}
	_, err := h.api.PatchComponent(context.Background(), "", id, bos.ComponentPatch{DesiredState: d})
	h.note("%s desired state by hand, configuration %q: %v", id, *d.Configuration, err)
}

func (h *history) lock() {
	id := h.one()
	h.setLocked(id, !h.locked[id])
}

func (h *history) setLocked(id bos.ComponentID, on bool) {
	fault := "lock of " + string(id)
	h.rules.lock(id, on, func() {
		if on {
			h.inject(fleet.Fault{ID: fault, Kind: "hsm_locked", Nodes: []string{string(id)}})
		} else if err := h.machine.Clear(fault); err != nil {
			h.t.Error(err)
		}
	})
	h.locked[id] = on
	h.note("%s locked %t", id, on)
}

// breakNodes breaks hardware: for a while, or for a number of times.
func (h *history) breakNodes() {
	kinds := []fleet.Fault{
		{Kind: "power_on_fails", Count: 1}, {Kind: "power_on_fails", Count: 1, Value: "transport"}, {Kind: "post_hang", Count: 1},
		{Kind: "kernel_panic", Count: 1}, {Kind: "soft_off_ignored", Count: 1}, {Kind: "soft_off_ignored"}, {Kind: "force_off_fails", Count: 1},
		{Kind: "reporter_delay", Value: "20m"}, {Kind: "reporter_dead", Count: 1}, {Kind: "bmc_unreachable"}, {Kind: "bmc_garbage"},
		{Kind: "bmc_flaps", Value: "30s"}, {Kind: "hsm_reserved_by_other"}, {Kind: "cfs_fail"}, {Kind: "no_soft_off_support"},
		{Kind: "pcs_missing"}, {Kind: "cfs_missing"}, {Kind: "hsm_disabled"}, {Kind: "random_power_loss", Value: "10m", Count: 1},
	}
	f := kinds[h.rand.IntN(len(kinds))]
	f.Nodes = []string{string(h.one())}
	if f.Count == 0 {
		f.For = time.Duration(1+h.rand.IntN(90)) * time.Second
	}
	_, err := h.machine.Inject(f)
	h.note("fault %s %s on %v, %d times, for %s: %v", f.Kind, f.Value, f.Nodes, f.Count, f.For, err)
}

func (h *history) breakService() {
	kinds := []fleet.Fault{
		{Kind: "outage"}, {Kind: "outage", Value: "refuse"}, {Kind: "outage", Value: "blackhole"}, {Kind: "outage", Value: "502html"},
		{Kind: "outage", Value: "reset_mid_body"}, {Kind: "error_rate", Probability: 0.5}, {Kind: "latency", Value: "100ms-6s"},
		{Kind: "malformed", Probability: 0.3}, {Kind: "drop_items", Probability: 0.2}, {Kind: "dup_items", Probability: 0.5}, {Kind: "reorder"},
		{Kind: "pcs_500_after_execute", Service: "pcs", Count: 1}, {Kind: "pcs_accept_then_lose", Service: "pcs", Count: 1},
		{Kind: "no_referral_token", Service: "bss", Count: 1}, {Kind: "null_collections", Probability: 0.2},
	}
	f := kinds[h.rand.IntN(len(kinds))]
	if f.Service == "" {
		f.Service = []string{"pcs", "cfs", "bss", "ims", "s3", "hsm"}[h.rand.IntN(6)]
	}
	if f.Service == "hsm" && (f.Kind == "drop_items" || f.Kind == "null_collections") {
		f.Kind, f.Probability = "outage", 0 // nobody can know of a lock that HSM keeps silent about
	}
	f.For = time.Duration(1+h.rand.IntN(60)) * time.Second
	_, err := h.machine.Inject(f)
	h.note("fault %s %s of %s, probability %v, for %s: %v", f.Kind, f.Value, f.Service, f.Probability, f.For, err)
}

// crash kills a process; another one comes up in its place after a while.
func (h *history) crash() {
	i := h.rand.IntN(len(h.processes))
	p := h.processes[i]
	h.note("kill %s", p.name)
	p.reap()
	h.processes = slices.Delete(h.processes, i, i+1)
	h.startProcess()
}

// nap puts a process to sleep in the middle of its next pass.
func (h *history) nap() {
	p := h.processes[h.rand.IntN(len(h.processes))]
	h.mu.Lock()
	defer h.mu.Unlock()
	h.naps[p] = time.Duration(1+h.rand.IntN(45)) * time.Second
}

func (h *history) cutOff() {
	p := h.processes[h.rand.IntN(len(h.processes))]
	d := time.Duration(h.rand.IntN(40)) * time.Second
	h.note("%s is cut off for %s", p.name, d)
	p.setCut(true)
	h.after(d, func() { p.setCut(false) })
}

func (h *history) breakStore() {
	d := time.Duration(h.rand.IntN(20000)) * time.Millisecond
	h.note("the store is down for %s", d)
	h.setStore(true)
	h.after(d, func() { h.setStore(false) })
}

func (h *history) deleteSession() {
	if len(h.sessions) == 0 {
		return
	}
	name := h.sessions[h.rand.IntN(len(h.sessions))]
	h.note("delete session %s: %v", name, h.api.DeleteSession(context.Background(), bos.TenantKey{Name: name}))
}

func (h *history) cancelSession() {
	if len(h.sessions) == 0 {
		return
	}
	name := h.sessions[h.rand.IntN(len(h.sessions))]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	done, err := h.api.CancelSession(ctx, bos.TenantKey{Name: name}, "by hand")
	h.note("cancel session %s: %+v, %v", name, done, err)
}

// pauseBOS is an administrator who wants nothing to begin for a while.
func (h *history) pauseBOS() {
	if !h.setPaused(true) {
		return
	}
	h.after(time.Duration(1+h.rand.IntN(60))*time.Second, func() { h.setPaused(false) })
}

func (h *history) setPaused(on bool) bool {
	if !on {
		h.rules.pause(false)
	}
	_, err := h.api.UpdateSettings(context.Background(), bos.SettingsPatch{Paused: new(on)})
	h.note("paused %t: %v", on, err)
	if on && err == nil {
		h.rules.pause(true)
	}
	return err == nil
}

// heal repairs everything.
func (h *history) heal() {
	h.note("heal")
	h.mu.Lock()
	clear(h.naps)
	rest := time.Until(h.awake)
	h.mu.Unlock()
	time.Sleep(rest + time.Millisecond)
	for _, id := range h.ids {
		if h.locked[id] {
			h.setLocked(id, false)
		}
	}
	for _, f := range h.machine.Faults() {
		_ = h.machine.Clear(f.ID) // it may have ended by itself meanwhile
	}
	if !h.setPaused(false) {
		h.t.Fatal("BOS stays paused")
	}
}

// end waits until every session has ended and looks at what became of the nodes.
func (h *history) end() {
	open := func() (names []string) {
		for _, name := range h.sessions {
			if s := h.state(name); s != "" && s != bos.SessionComplete && !h.staged(name) {
				names = append(names, name)
			}
		}
		return names
	}
	for end := time.Now().Add(2 * time.Hour); len(open()) > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Second)
	}
	for _, name := range open() {
		h.violation("session %s is %s two hours after everything works again:\n%s", name, h.state(name), h.all())
	}
	for _, id := range h.ids {
		c := h.component(id)
		if c.IsEnabled() { // by hand, or of a session that was deleted: give it time
			h.settle(id)
			c = h.component(id)
		}
		switch {
		case c.IsEnabled():
			h.violation("still enabled: %s", h.describe(id))
		case c.ComputeStatus() == bos.StatusFailed && c.ErrorText() == "" && c.StagedSession() == "": // a stage clears the error
			h.violation("failed without a cause: %s", h.describe(id))
		}
	}
}

// staged reports whether a component carries the stage of a session, which keeps that running.
func (h *history) staged(name string) bool {
	return slices.ContainsFunc(h.ids, func(id bos.ComponentID) bool {
		c := h.component(id)
		return c.StagedSession() == name
	})
}

func (h *history) settle(id bos.ComponentID) {
	for end := time.Now().Add(2 * time.Hour); time.Now().Before(end); time.Sleep(5 * time.Second) {
		if c := h.component(id); !c.IsEnabled() {
			return
		}
	}
}

func (h *history) all() string {
	lines := make([]string, len(h.ids))
	for i, id := range h.ids {
		lines[i] = h.describe(id)
	}
	return strings.Join(lines, "\n")
}

func join(ids []bos.ComponentID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return strings.Join(names, ",")
}

// checkRequest holds a request of a process to the rules before it is sent.
func (h *history) checkRequest(p *process, r *request) {
	if r.operator == "" {
		return
	}
	by := p.name + " " + r.operator
	switch {
	case r.service == "bos" && r.method == http.MethodGet && strings.HasSuffix(r.path, "/components"):
		h.rules.look(by + " components")
		return
	case r.service == "bos" && r.method == http.MethodGet && strings.HasSuffix(r.path, "/settings"):
		r.asked = h.rules.now()
		return
	case r.service == "hsm" && strings.HasSuffix(r.path, "/locks/status"):
		h.rules.look(by + " locks")
		return
	case !r.changes():
		return
	case r.service == "bos":
		if rec, err := h.leases(r.operator); err == nil && rec.Holder != p.name && strings.HasSuffix(r.path, "/componentpatches") {
			r.late = rec.Holder
		}
		return
	}
	if holder := h.leader(r.operator); holder != p.name {
		h.violation("%s sent %s, but %q holds the lease", p.name, r, holder)
	}
	op, ids, ok := r.power()
	if !ok {
		return
	}
	h.note("%s sends %s to %s", by, op, join(ids))
	for _, id := range ids {
		h.rules.power(by, op, id)
	}
}

// rules are what holds at any moment. They see every write to the components and sessions, in order, and every power
// request.
type rules struct {
	report func(format string, args ...any)
	policy int

	mu       sync.Mutex
	clock    int                     // counts what happens
	disabled map[bos.ComponentID]int // since when; nodes that are enabled are missing
	since    map[bos.ComponentID]int // since when it has had its status
	locked   map[bos.ComponentID]int // likewise, in HSM
	owner    map[bos.ComponentID]string
	looked   map[string]int // when "process operator what" last began to look
	before   map[string]int // and the time before
	paused   int            // since when; 0 = it is not
}

func newRules(report func(format string, args ...any), policy int) *rules {
	return &rules{
		report: report, policy: policy, disabled: map[bos.ComponentID]int{}, since: map[bos.ComponentID]int{}, locked: map[bos.ComponentID]int{},
		owner: map[bos.ComponentID]string{}, looked: map[string]int{}, before: map[string]int{},
	}
}

func (r *rules) tick() int {
	r.clock++
	return r.clock
}

// pause notes that BOS is paused from when it was done on, and not from when the end began.
func (r *rules) pause(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paused = 0; on {
		r.paused = r.tick()
	}
}

func (r *rules) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tick()
}

// knows notes what was answered to a look that began at a time.
func (r *rules) knows(what string, began int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked[what] = began
}

func (r *rules) look(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before[what], r.looked[what] = r.looked[what], r.tick()
}

// lock notes that a node is locked from when it was done on, and free from when it began.
func (r *rules) lock(id bos.ComponentID, on bool, do func()) {
	if !on {
		r.mu.Lock()
		delete(r.locked, id)
		r.mu.Unlock()
	}
	do()
	if on {
		r.mu.Lock()
		r.locked[id] = r.tick()
		r.mu.Unlock()
	}
}

// power checks a power request: the operator looked at the node and its lock, and found it enabled, owned and free. What
// changed since it looked it cannot know.
func (r *rules) power(by, op string, id bos.ComponentID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	components, locks := r.looked[by+" components"], r.looked[by+" locks"]
	if since, disabled := r.disabled[id]; disabled && since < components {
		r.report("%s sends %s to %s, which has been disabled since before it looked", by, op, id)
	}
	if r.paused > 0 && r.paused < r.looked[by+" settings"] {
		r.report("%s sends %s to %s, and knows that BOS is paused", by, op, id)
	}
	if since, locked := r.locked[id]; locked && since < locks || locks == 0 {
		r.report("%s sends %s to %s, which has been locked since before it looked", by, op, id)
	}
	if r.owner[id] == "" {
		r.report("%s sends %s to %s, which neither a session nor an administrator ever asked for", by, op, id)
	}
}

// wrote checks a write.
func (r *rules) wrote(m store.Mutation) {
	switch {
	case m.Change == nil:
	case m.Bucket == store.BucketComponents && m.New != nil:
		r.wroteComponent(m)
	case m.Bucket == store.BucketSessions:
		r.wroteSession(m)
	}
}

func (r *rules) wroteComponent(m store.Mutation) {
	var before, after bos.Component
	r.decode(m, &before, &after)
	id := bos.ComponentID(m.Key)
	enabled := slices.Contains(m.Change.Fields, "enabled") || slices.Contains(m.Change.Fields, "status.status_override") && after.Override() == onHold
	r.mu.Lock()
	now := r.tick()
	switch {
	case after.IsEnabled():
		delete(r.disabled, id)
	case before.IsEnabled() || m.Old == nil:
		r.disabled[id] = now
	}
	if after.IsEnabled() && !before.IsEnabled() {
		r.owner[id] = cmp.Or(after.SessionName(), "an administrator")
	}
	looks := r.looked
	if strings.HasPrefix(m.Change.Writer, "power-") {
		looks = r.before // just before a command it looks again, only whether the component is still its own
	}
	looked := 0 // when the writer looked what it has to do, in whichever process
	for what, when := range looks {
		if strings.HasSuffix(what, " "+m.Change.Writer+" components") {
			looked = max(looked, when)
		}
	}
	unseen := r.since[id] > looked
	if after.ComputeStatus() != before.ComputeStatus() {
		r.since[id] = now
	}
	r.mu.Unlock()
	broken := mayWrite(m.Change.Writer, &before, &after, m.Change, r.policy, unseen)
	if m.Old == nil {
		broken = mayCreate(&after)
	} else {
		broken = append(broken, mayMove(m.Change.Writer, &before, &after, enabled)...)
	}
	for _, text := range broken {
		r.report("%s wrote %v of %s (%s → %s, last action %s): %s", cmp.Or(m.Change.Writer, "an administrator"), m.Change.Fields, id, before.ComputeStatus(), after.ComputeStatus(), before.Action(), text)
	}
}

func (r *rules) wroteSession(m store.Mutation) {
	var before, after *bos.Session
	if m.Old != nil {
		before = new(bos.Session)
	}
	if m.New != nil {
		after = new(bos.Session)
	}
	r.decode(m, before, after)
	for _, text := range mayProgress(m.Change.Writer, before, after) {
		r.report("%s wrote session %s: %s", cmp.Or(m.Change.Writer, "an administrator"), m.Change.ID, text)
	}
}

// decode reads what a write found and what it left.
func (r *rules) decode(m store.Mutation, before, after any) {
	for _, side := range []struct {
		data []byte
		into any
	}{{m.Old, before}, {m.New, after}} {
		if len(side.data) == 0 {
			continue
		}
		if err := json.Unmarshal(side.data, side.into); err != nil {
			r.report("%s: %v", m.Key, err)
		}
	}
}
