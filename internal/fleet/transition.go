package fleet

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	transitionStartup = 500 * time.Millisecond // from the request to the first command (estimate)
	confirmInterval   = 15 * time.Second       // between two looks at the cached power states
	confirmFloor      = 5 * time.Millisecond
	defaultDeadline   = 5 // minutes for each tier of a transition
	transitionsKept   = 20000
	transitionLife    = 24 * time.Hour
)

// operations of PCS by their lower-case spelling.
var pcsOperations = map[string]string{
	"on": "On", "off": "Off", "soft-off": "Soft-Off", "soft-restart": "Soft-Restart", "hard-restart": "Hard-Restart",
	"init": "Init", "force-off": "Force-Off",
}

// tier is a step of a transition; all nodes go through the tiers in this order.
type tier uint8

const (
	tierGracefulOff tier = iota
	tierForceOff
	tierRestart
	tierOn
	tierDone
)

var tierCommands = [...]redfish{opGracefulShutdown, opForceOff, opGracefulRestart, opOn}

// transition is one request to PCS and what became of it.
type transition struct {
	id        string
	operation string
	minutes   int // deadline of a tier; 0: do not confirm, negative: wait for ever
	created   time.Time
	asked     time.Duration
	status    string
	tasks     []task
	seen      map[string]bool  // that are in tasks; until it is submitted
	deputies  map[*node]string // keys that came with the request
	tier      tier
	deadline  time.Duration
	abort     bool
	started   chan struct{} // closed when no task is new any more
}

// task is one component of a transition. A machine keeps them by the million.
type task struct {
	n        *node  // perhaps a stranger
	outcome  uint16 // in Machine.outcomes
	status   taskStatus
	next     tier
	reserved bool // by this transition
}

// outcome is what there is to say about a task.
type outcome struct{ description, err string }

type taskStatus uint8

const (
	taskNew taskStatus = iota
	taskInProgress
	taskFailed
	taskSucceeded
	taskUnsupported
)

var taskStatusNames = [...]string{"new", "in-progress", "failed", "succeeded", "unsupported"}

func (s taskStatus) String() string { return taskStatusNames[s] }

// describe notes what there is to say about a task. m.mu is held.
func (m *Machine) describe(t *task, description, err string) {
	t.outcome = m.outcomes.index(outcome{description, err})
}

// end is the end of a task. m.mu is held.
func (m *Machine) end(t *task, status taskStatus, description, err string) {
	t.status, t.next = status, tierDone
	m.describe(t, description, err)
}

func (t *task) open() bool { return t.status == taskNew || t.status == taskInProgress }

// transitionRequest is the body of POST /transitions.
type transitionRequest struct {
	Operation string `json:"operation"`
	Deadline  *int   `json:"taskDeadlineMinutes"`
	Location  []struct {
		Xname  string `json:"xname"`
		Deputy string `json:"deputyKey"`
	} `json:"location"`
}

func (m *Machine) transitionCreate(w http.ResponseWriter, r *http.Request) {
	var req transitionRequest
	if err := decode(r, &req); err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON: %s", err)
		return
	}
	about(w, len(req.Location))
	operation, ok := pcsOperations[strings.ToLower(req.Operation)]
	if !ok {
		problemf(w, http.StatusBadRequest, "invalid operation: %q", req.Operation)
		return
	}
	tr := m.newTransition(operation, defaultDeadline)
	if req.Deadline != nil {
		tr.minutes = *req.Deadline
	}
	m.mu.Lock()
	for _, l := range req.Location {
		m.addTask(tr, l.Xname, l.Deputy)
	}
	lost := m.serviceFault("pcs", "pcs_accept_then_lose") != nil
	failed := m.serviceFault("pcs", "pcs_500_after_execute")
	m.submit(tr, lost)
	m.mu.Unlock()
	if failed != nil {
		if failed.Value == "timeout" {
			m.wait(r, 24*time.Hour)
			abort()
		}
		problem(w, http.StatusInternalServerError, "error storing transition")
		return
	}
	w.Header().Set("Location", "../transitions/"+tr.id)
	writeJSON(w, http.StatusOK, map[string]string{"transitionID": tr.id, "operation": tr.operation})
}

func (m *Machine) newTransition(operation string, minutes int) *transition {
	return &transition{
		id: m.newID(), operation: operation, minutes: minutes, created: m.time(), asked: m.now(), status: "new", started: make(chan struct{}),
		seen: map[string]bool{}, deputies: map[*node]string{},
	}
}

// addTask adds a component to a transition that has not been submitted; the second
// time it is there already. m.mu is held.
func (m *Machine) addTask(tr *transition, xname, deputy string) {
	if tr.seen[xname] {
		return
	}
	tr.seen[xname] = true
	n := m.byXname[xname]
	if n == nil {
		n = stranger(xname)
	}
	if deputy != "" {
		tr.deputies[n] = deputy
	}
	t := task{n: n}
	m.describe(&t, "Gathering data for transition", "")
	tr.tasks = append(tr.tasks, t)
}

// submit records a transition and, unless it gets lost, runs it. m.mu is held.
func (m *Machine) submit(tr *transition, lost bool) {
	operation := slices.Index(everyOperation[:], tr.operation)
	for i := range tr.tasks {
		tr.tasks[i].n.requests[operation]++
	}
	tr.tasks, tr.seen = slices.Clip(slices.Clone(tr.tasks)), nil
	m.pcs.transitions[tr.id] = tr
	m.pcs.order = append(m.pcs.order, tr)
	for len(m.pcs.order) > transitionsKept || m.time().Sub(m.pcs.order[0].created) > transitionLife {
		delete(m.pcs.transitions, m.pcs.order[0].id)
		m.pcs.order = m.pcs.order[1:]
	}
	if !lost {
		m.after(m.scaled(transitionStartup), func() { m.start(tr) })
	}
}

// start sorts out which tasks need a command, and reserves their nodes.
func (m *Machine) start(tr *transition) {
	tr.status = "in-progress"
	defer close(tr.started)
	hsmUp := m.serviceUp("hsm")
	for i := range tr.tasks {
		t := &tr.tasks[i]
		if tr.abort {
			break
		}
		t.status = taskInProgress
		m.plan(tr, t, hsmUp)
	}
	m.enterTier(tr, tierGracefulOff)
}

// plan decides what one task has to do.
func (m *Machine) plan(tr *transition, t *task, hsmUp bool) {
	n, deputy := t.n, tr.deputies[t.n]
	kind, power := hmsType(n.xname)
	switch {
	case kind == "":
		m.end(t, taskFailed, "Invalid xname", "")
		return
	case !power:
		m.end(t, taskUnsupported, "No power control for component type "+kind, "")
		return
	case !n.known() || !m.inPCS(n):
		m.end(t, taskFailed, "Missing xname", "")
		return
	case !hsmUp:
		m.end(t, taskFailed, "Error retrieving HSM data", "")
		return
	}
	isOff, isOn := n.cached.power == powerOff, n.cached.power == powerOn
	switch {
	case !slices.Contains(m.operations(n), tr.operation):
		m.end(t, taskUnsupported, "Unsupported for transition operation", "")
		return
	case isOn && tr.operation == "On", isOff && (tr.operation == "Off" || tr.operation == "Soft-Off" || tr.operation == "Force-Off"):
		m.end(t, taskSucceeded, "Component already in desired state", "")
		return
	case !isOn && (tr.operation == "Hard-Restart" || tr.operation == "Soft-Restart"):
		m.end(t, taskFailed, "Component must be on for this operation", "")
		return
	}
	switch tr.operation {
	case "On":
		t.next = tierOn
	case "Force-Off":
		t.next = tierForceOff
	case "Soft-Restart":
		t.next = tierRestart
	default: // Soft-Off, Off, Init, Hard-Restart
		t.next = tierGracefulOff
		if m.has(n, "no_soft_off_support") != nil {
			t.next = tierForceOff
		}
		if isOff { // Init
			t.next = tierOn
		}
	}
	if deputy != "" && m.reservedNode(n) && n.reservation != nil && strings.EqualFold(n.reservation.deputy, deputy) {
		m.describe(t, "Reserved", "")
		return
	}
	res, reason := m.reserve(n, 0) // PCS renews its one-minute reservations
	switch {
	case reason == "NotFound":
		m.end(t, taskFailed, "Xname not found in HSM", "")
	case reason != "" && deputy != "":
		m.end(t, taskFailed, "Invalid deputy key and unable to reserve component", "")
	case reason != "":
		m.end(t, taskFailed, "Unable to reserve component", "")
	default:
		res.holder, t.reserved = tr, true
		m.describe(t, "Reserved", "")
	}
}

// enterTier sends the commands of the first tier from the given one that has any,
// and looks at their effect after the confirmation interval.
func (m *Machine) enterTier(tr *transition, from tier) {
	if tr.abort {
		m.finish(tr)
		return
	}
	for tr.tier = from; tr.tier < tierDone; tr.tier++ {
		op, waiting := tierCommands[tr.tier], false
		for i := range tr.tasks {
			t := &tr.tasks[i]
			if !t.open() || t.next != tr.tier {
				continue
			}
			if err := m.command(t.n, op); err != "" {
				m.end(t, taskFailed, "Failed to apply transition, "+op.String(), err)
				continue
			}
			m.describe(t, "Applied transition, "+op.String(), "")
			if tr.minutes == 0 {
				m.advanceTask(tr, t, "Transition accepted, "+op.String())
				continue
			}
			waiting = true
		}
		if waiting {
			tr.deadline = m.now() + m.scaled(time.Duration(tr.minutes)*time.Minute)
			m.after(m.scaled(confirmInterval), func() { m.confirm(tr) })
			return
		}
	}
	m.finish(tr)
}

// advanceTask takes a task to its next tier, or to its end.
func (m *Machine) advanceTask(tr *transition, t *task, description string) {
	if tr.tier < tierOn && (tr.operation == "Init" || tr.operation == "Hard-Restart") {
		t.next = tierOn
		m.describe(t, description, "")
		return
	}
	m.end(t, taskSucceeded, description, "")
}

// confirm compares the cached power states with what this tier is to achieve.
func (m *Machine) confirm(tr *transition) {
	if tr.abort {
		m.finish(tr)
		return
	}
	op := tierCommands[tr.tier]
	late := tr.minutes > 0 && m.now() >= tr.deadline
	waiting := false
	for i := range tr.tasks {
		t := &tr.tasks[i]
		if !t.open() || t.next != tr.tier {
			continue
		}
		want := powerOff
		if tr.tier >= tierRestart {
			want = powerOn
		}
		switch {
		case t.n.cached.power == want:
			m.advanceTask(tr, t, "Transition confirmed, "+op.String())
		case !late:
			waiting = true
		case tr.tier == tierGracefulOff && tr.operation != "Soft-Off":
			t.next = tierForceOff
		default:
			m.end(t, taskFailed, "Failed to achieve transition", fmt.Sprintf("Timeout waiting for transition, %s.", op))
		}
	}
	if waiting {
		m.after(m.pause(confirmInterval, confirmFloor), func() { m.confirm(tr) })
		return
	}
	m.enterTier(tr, tr.tier+1)
}

// finish ends a transition and gives back all its nodes at once.
func (m *Machine) finish(tr *transition) {
	tr.status = "completed"
	if tr.abort {
		tr.status = "aborted"
	}
	for i := range tr.tasks {
		t := &tr.tasks[i]
		if t.open() {
			m.end(t, taskFailed, "Transition aborted", "Transition aborted")
		}
		if !t.reserved {
			continue
		}
		t.reserved = false
		if r := t.n.reservation; r != nil && r.holder == tr {
			t.n.reservation = nil
		}
		m.spend(t.n, spentPCS, tr.asked)
	}
	tr.deputies = nil
}

// transitionJSON is a transition on the wire; lists of transitions leave out the
// tasks.
type transitionJSON struct {
	ID         string         `json:"transitionID"`
	Operation  string         `json:"operation"`
	Created    string         `json:"createTime"`
	Expires    string         `json:"automaticExpirationTime"`
	Status     string         `json:"transitionStatus"`
	TaskCounts map[string]int `json:"taskCounts"`
	Tasks      []taskJSON     `json:"tasks,omitempty"`
}

type taskJSON struct {
	Xname       string `json:"xname"`
	Status      string `json:"taskStatus"`
	Description string `json:"taskStatusDescription"`
	Error       string `json:"error,omitempty"`
}

// transitionJSON is a transition as PCS shows it. m.mu is held.
func (m *Machine) transitionJSON(tr *transition, withTasks bool) transitionJSON {
	counts := map[string]int{"total": len(tr.tasks), "new": 0, "in-progress": 0, "failed": 0, "succeeded": 0, "un-supported": 0}
	created := tr.created.Add(m.skew("pcs"))
	j := transitionJSON{
		ID: tr.id, Operation: tr.operation, Created: created.Format(time.RFC3339), Status: tr.status, TaskCounts: counts,
		Expires: created.Add(transitionLife).Format(time.RFC3339),
	}
	if tr.abort && tr.status != "aborted" {
		j.Status = "abort-signaled"
	}
	for i := range tr.tasks {
		t := &tr.tasks[i]
		key := t.status.String()
		if t.status == taskUnsupported {
			key = "un-supported" // the count is spelled unlike the task
		}
		counts[key]++
		if withTasks {
			said := m.outcomes.at(t.outcome)
			j.Tasks = append(j.Tasks, taskJSON{t.n.xname, t.status.String(), said.description, said.err})
		}
	}
	return j
}

func (m *Machine) transitionList(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	list := make([]transitionJSON, len(m.pcs.order))
	for i, tr := range m.pcs.order {
		list[i] = m.transitionJSON(tr, false)
	}
	m.mu.Unlock()
	about(w, len(list))
	writeJSON(w, http.StatusOK, map[string]any{"transitions": list})
}

func (m *Machine) transitionGet(w http.ResponseWriter, r *http.Request) {
	id, ok := transitionID(w, r)
	if !ok {
		return
	}
	m.mu.Lock()
	tr := m.pcs.transitions[id]
	var j transitionJSON
	if tr != nil {
		j = m.transitionJSON(tr, true)
	}
	m.mu.Unlock()
	if tr == nil {
		problem(w, http.StatusNotFound, "transitionId could not be found")
		return
	}
	about(w, len(j.Tasks))
	writeJSON(w, http.StatusOK, j)
}

// transitionAbort asks a transition to end; it does so when it next looks.
func (m *Machine) transitionAbort(w http.ResponseWriter, r *http.Request) {
	id, ok := transitionID(w, r)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tr := m.pcs.transitions[id]
	switch {
	case tr == nil:
		problem(w, http.StatusNotFound, "transitionId could not be found")
	case tr.status == "completed":
		problemf(w, http.StatusBadRequest, "transition %s is completed; it cannot be aborted", id)
	default:
		tr.abort = true
		writeJSON(w, http.StatusAccepted, map[string]string{"abortStatus": "Accepted - abort initiated"})
	}
}
