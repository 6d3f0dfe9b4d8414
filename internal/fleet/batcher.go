package fleet

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	sessionsKept = 200
	retryWait    = 100 * time.Millisecond // floor between a failed session and the next
)

// cfsGroup are the components that wait for a session with one configuration.
type cfsGroup struct {
	waiting []candidate   // in the order in which they came
	planned bool          // a batch is on the agenda
	due     time.Duration // of that batch
}

// candidate is a component that waits for a session, or is in one.
type candidate struct {
	*node
	since time.Duration // when it became eligible
}

// cfsSession is one configuration session.
type cfsSession struct {
	Name    string
	Config  string
	Start   string
	Done    string
	Succeed bool
	members []*node
}

// eligible reports whether the batcher would put a component into a session. m.mu
// is held.
func (m *Machine) eligible(c *node) bool {
	if !c.cfs.enabled || c.cfs.running || c.cfs.given.config == "" || !m.inCFS(c) || m.has(c, "cfs_never_runs") != nil {
		return false
	}
	if policy := m.retryPolicy(c); policy >= 0 && int(c.cfs.errorCount) >= policy {
		return false
	}
	return m.cfsStatus(c) == cfsPending
}

// reconsider puts a component that has become eligible into its group. m.mu is
// held.
func (m *Machine) reconsider(c *node) {
	if c.cfs.queued || !m.eligible(c) {
		return
	}
	c.cfs.queued = true
	g := m.cfs.groups[c.cfs.given.config]
	if g == nil {
		g = &cfsGroup{}
		m.cfs.groups[c.cfs.given.config] = g
	}
	g.waiting = append(g.waiting, candidate{c, m.now()})
	m.planBatch(c.cfs.given.config, g)
}

// reconsiderAll does so for every component with a configuration.
func (m *Machine) reconsiderAll(config string) {
	for _, c := range m.cfs.list {
		if c.cfs.given.config == config {
			m.reconsider(c)
		}
	}
}

// planBatch schedules the next look at a group: the first regular check after it
// is full, or after its oldest member has waited for the window. m.mu is held.
func (m *Machine) planBatch(config string, g *cfsGroup) {
	seconds := func(option string) time.Duration {
		return m.scaled(time.Duration(m.cfs.option(option)) * time.Second)
	}
	due := m.now()
	if len(g.waiting) < m.cfs.option("batch_size") {
		due = max(due, g.waiting[0].since+seconds("batch_window"))
	}
	if g.waiting[0].cfs.errorCount > 0 {
		due = max(due, g.waiting[0].since+retryWait)
	}
	if check := seconds("batcher_check_interval"); check > 0 {
		due = (due + check - 1) / check * check
	}
	if g.planned && g.due <= due {
		return
	}
	g.planned, g.due = true, due
	m.at(due, func() {
		if g.planned && g.due == due {
			g.planned = false
			m.batch(config, g)
		}
	})
}

// batch starts sessions for a group: full ones, and one for the rest when its
// oldest member has waited long enough. m.mu is held.
func (m *Machine) batch(config string, g *cfsGroup) {
	if off, _ := m.cfs.options["batcher_disable"].(bool); off {
		for _, c := range g.waiting {
			c.cfs.queued = false // reconsidered when the option changes
		}
		g.waiting = nil
		return
	}
	waiting := g.waiting[:0]
	for _, c := range g.waiting {
		if c.cfs.given.config == config && m.eligible(c.node) {
			waiting = append(waiting, c)
			continue
		}
		c.cfs.queued = false
		m.reconsider(c.node) // for another configuration, perhaps
	}
	g.waiting = waiting
	size := m.cfs.option("batch_size")
	window := m.scaled(time.Duration(m.cfs.option("batch_window")) * time.Second)
	for len(g.waiting) >= size || len(g.waiting) > 0 && m.now() >= g.waiting[0].since+window {
		n := min(size, len(g.waiting))
		m.configure(config, slices.Clone(g.waiting[:n]))
		g.waiting = g.waiting[n:]
	}
	if len(g.waiting) > 0 {
		m.planBatch(config, g)
	} else {
		g.waiting = nil
	}
}

// configure runs one session. m.mu is held.
func (m *Machine) configure(config string, members []candidate) {
	m.cfs.seq++
	s := &cfsSession{Name: fmt.Sprintf("batcher-%08x", m.cfs.seq), Config: config, Start: m.cfsTime(), members: make([]*node, len(members))}
	m.cfs.sessions = append(m.cfs.sessions, s)
	if len(m.cfs.sessions) > sessionsKept {
		m.cfs.sessions = m.cfs.sessions[1:]
	}
	boots := make([]uint32, len(members))
	for i, c := range members {
		c.cfs.queued, c.cfs.running = false, true
		s.members[i], boots[i] = c.node, c.boots
	}
	wait := m.scaled(cmp.Or(m.cfs.sessionTime, sessionStart.min+sessionRun.min))
	if n := members[0].node; n.known() && m.cfs.sessionTime == 0 { // its first member decides how long the session takes
		wait = m.draw(n, "session start", sessionStart) + m.draw(n, "session run", sessionRun)
	}
	m.after(wait, func() {
		s.Done, s.Succeed = m.cfsTime(), true
		layers := m.sessionLayers(config, s.Name)
		for i, c := range members {
			c.cfs.running = false
			if !m.configured(c.node, boots[i], layers) {
				s.Succeed = false
			}
			m.spend(c.node, spentCFS, c.since)
			m.reconsider(c.node)
		}
	})
}

// sessionLayers are the layers that a session leaves, by their status. Components
// share them.
func (m *Machine) sessionLayers(config, session string) map[string]*[]cfsLayer {
	out := map[string]*[]cfsLayer{}
	for _, status := range []string{"applied", "failed", "incomplete"} {
		layers := []cfsLayer{}
		if c := m.cfs.configs[config]; c != nil {
			for _, l := range c.Layers {
				layers = append(layers, cfsLayer{l.CloneURL, l.Playbook, l.Commit, status, m.cfsTime(), session})
			}
		}
		out[status] = &layers
	}
	return out
}

// configured records the outcome of a session for one component. A node that was
// rebooted meanwhile has lost what was applied; one that is down fails.
func (m *Machine) configured(c *node, boots uint32, layers map[string]*[]cfsLayer) bool {
	if c.boots != boots {
		return false
	}
	switch {
	case c.known() && (!c.osUp() || m.use(c, "cfs_fail") != nil):
		c.cfs.errorCount++
		c.cfs.layers = layers["failed"]
		return false
	case m.use(c, "cfs_layer_incomplete") != nil:
		c.cfs.errorCount++ // else the batcher would never give up
		c.cfs.layers = layers["incomplete"]
		return false
	}
	c.cfs.layers = layers["applied"]
	return true
}

func (s *cfsSession) json() map[string]any {
	status := map[string]any{"startTime": s.Start, "status": "running", "succeeded": "none"}
	if s.Done != "" {
		status["completionTime"], status["status"], status["succeeded"] = s.Done, "complete", fmt.Sprint(s.Succeed)
	}
	return map[string]any{
		"name": s.Name, "configuration": map[string]string{"name": s.Config, "limit": ""},
		"ansible": map[string]string{"limit": strings.Join(xnamesOf(s.members), ",")}, "target": map[string]any{"definition": "dynamic", "groups": nil},
		"status": map[string]any{"session": status, "artifacts": []any{}}, "tags": map[string]string{},
	}
}

func (m *Machine) cfsSessions(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	list := make([]map[string]any, len(m.cfs.sessions))
	for i, s := range m.cfs.sessions {
		list[i] = s.json()
	}
	m.mu.Unlock()
	about(w, len(list))
	writeJSON(w, http.StatusOK, map[string]any{"sessions": list, "next": nil})
}

func (m *Machine) cfsSessionGet(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.cfs.sessions {
		if s.Name == r.PathValue("name") {
			writeJSON(w, http.StatusOK, s.json())
			return
		}
	}
	problemf(w, http.StatusNotFound, "Session %s could not be found", r.PathValue("name"))
}
