package fleet

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// powerState is the power of a component as PCS tells it; empty for what it does not
// know.
type powerState uint8

const (
	powerNone powerState = iota
	powerOn
	powerOff
	powerUndefined
)

var powerNames = [...]string{"", "on", "off", "undefined"}

func (p powerState) String() string { return powerNames[p] }

// The management states of PCS.
const (
	available   = "available"
	unavailable = "unavailable"
)

const (
	defaultSampleInterval = 30 * time.Second // PCS_POWER_SAMPLE_INTERVAL
	sampleFloor           = 5 * time.Millisecond
)

// pcs is what the Power Control Service keeps besides its reading of each node.
type pcs struct {
	// dirty are nodes whose next sample may differ from the last, with the time of the
	// power edge that it will find; negative when it is about something else.
	dirty       map[*node]time.Duration
	sweeping    bool // a sweep is on the agenda
	transitions map[string]*transition
	order       []*transition // by creation

	stampOf   time.Duration // the last moment that was written, see stamp
	stampText string
}

func newPCS() pcs {
	return pcs{dirty: map[*node]time.Duration{}, transitions: map[string]*transition{}}
}

// powerReading is what a sample of a node found.
type powerReading struct {
	power     powerState
	reachable bool // its management controller answers
}

// management is the management state of PCS.
func (r powerReading) management() string {
	if r.reachable {
		return available
	}
	return unavailable
}

// reading is what PCS would find if it asked the management controller now. m.mu
// is held.
func (m *Machine) reading(n *node) powerReading {
	r := powerReading{power: powerOff, reachable: true}
	if n.power {
		r.power = powerOn
	}
	if !n.faulty {
		return r
	}
	if m.has(n, "bmc_garbage") != nil {
		r.power = powerUndefined
	}
	flap := m.has(n, "bmc_flaps")
	if flap != nil && (m.now()-flap.from)/m.pause(flap.duration, retryFloor)%2 == 1 {
		flap = nil
	}
	if flap != nil || m.has(n, "bmc_unreachable") != nil {
		r.power, r.reachable = powerUndefined, false
	}
	return r
}

// sampleInterval is the time between two sweeps on the wall clock; 0 means that
// the cache is always right. m.mu is held.
func (m *Machine) sampleInterval() time.Duration {
	d := defaultSampleInterval
	if f := m.lasting("pcs_sample_interval"); f != nil {
		d = f.duration
	}
	if d = m.scaled(d); d > 0 {
		d = max(d, sampleFloor)
	}
	return d
}

// dirty lets the next sweep look at a node, whose power has just changed or not.
// Sweeps come at fixed times; those that would find nothing new are left out. m.mu is
// held.
func (m *Machine) dirty(n *node, powerEdge bool) {
	if _, ok := m.pcs.dirty[n]; powerEdge {
		m.pcs.dirty[n] = m.now()
	} else if !ok {
		m.pcs.dirty[n] = -1
	}
	interval := m.sampleInterval()
	if interval == 0 {
		m.sweep()
		return
	}
	if !m.pcs.sweeping {
		m.pcs.sweeping = true
		m.at((m.now()/interval+1)*interval, func() {
			m.pcs.sweeping = false
			m.sweep()
		})
	}
}

// sweep brings the cache up to date. m.mu is held.
func (m *Machine) sweep() {
	now := m.now() // of all that it finds: the answers share its text
	if len(m.nodes) > 0 && m.nodes[0].cached.power == powerNone {
		for i := range m.nodes {
			m.sample(&m.nodes[i], now)
		}
	}
	for n, edge := range m.pcs.dirty {
		m.sample(n, now)
		if edge >= 0 {
			m.spend(n, spentPCS, edge)
		}
	}
	if len(m.pcs.dirty) > 1000 {
		m.pcs.dirty = map[*node]time.Duration{} // the old one would stay large
	}
	clear(m.pcs.dirty)
}

func (m *Machine) sample(n *node, now time.Duration) {
	r := m.reading(n)
	if r != n.cached {
		n.cached, n.cachedAt = r, now
	}
}

// inPCS reports whether the node is in the map of PCS. m.mu is held.
func (m *Machine) inPCS(n *node) bool {
	return n.state != stateEmpty && m.has(n, "pcs_missing") == nil && m.has(n, "hsm_empty") == nil && m.inHSM(n)
}

// Operations in the order and spelling in which PCS lists them.
var (
	everyOperation = [...]string{"On", "Force-Off", "Soft-Off", "Off", "Init", "Hard-Restart", "Soft-Restart"}
	noSoftOff      = []string{"On", "Force-Off", "Off", "Init", "Hard-Restart"}
)

func (m *Machine) operations(n *node) []string {
	if m.has(n, "no_soft_off_support") != nil {
		return noSoftOff
	}
	return everyOperation[:]
}

func (m *Machine) routePCS(mux *http.ServeMux) {
	for _, base := range []string{"/pcs", "/pcs/v1"} {
		mux.HandleFunc("POST "+base+"/transitions", m.transitionCreate)
		mux.HandleFunc("GET "+base+"/transitions", m.transitionList)
		mux.HandleFunc("GET "+base+"/transitions/{id}", m.transitionGet)
		mux.HandleFunc("DELETE "+base+"/transitions/{id}", m.transitionAbort)
		mux.HandleFunc("POST "+base+"/power-status", m.powerStatusPost)
		mux.HandleFunc("GET "+base+"/power-status", m.powerStatusGet)
		mux.HandleFunc("GET "+base+"/liveness", noContent)
		mux.HandleFunc("GET "+base+"/readiness", noContent)
		mux.HandleFunc("GET "+base+"/health", func(w http.ResponseWriter, _ *http.Request) {
			const fine = "connected, responsive"
			writeJSON(w, http.StatusOK, map[string]string{
				"KvStore": fine, "DistLocking": fine, "StateManager": fine, "Vault": fine, "TaskRunner": fine + ", local mode",
			})
		})
	}
}

// powerStatus is one entry of a power-status answer. For a component that PCS does
// not know, states are empty, the operations null and the error says so.
type powerStatus struct {
	Xname       string   `json:"xname"`
	Power       string   `json:"powerState"`
	Management  string   `json:"managementState"`
	Error       string   `json:"error"`
	Operations  []string `json:"supportedPowerTransitions"`
	LastUpdated string   `json:"lastUpdated"`
}

// statusRequest is the body of a power-status query; everything is optional.
type statusRequest struct {
	Xname            []string `json:"xname"`
	PowerFilter      string   `json:"powerStateFilter"`
	ManagementFilter string   `json:"managementStateFilter"`
}

func (m *Machine) powerStatusPost(w http.ResponseWriter, r *http.Request) {
	var req statusRequest
	if err := decode(r, &req); err != nil && r.ContentLength != 0 {
		problemf(w, http.StatusBadRequest, "error decoding JSON: %s", err)
		return
	}
	m.powerStatus(w, req)
}

func (m *Machine) powerStatusGet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	m.powerStatus(w, statusRequest{q["xname"], q.Get("powerStateFilter"), q.Get("managementStateFilter")})
}

func (m *Machine) powerStatus(w http.ResponseWriter, req statusRequest) {
	about(w, len(req.Xname))
	power, management := strings.ToLower(req.PowerFilter), strings.ToLower(req.ManagementFilter)
	if !slices.Contains(powerNames[:], power) {
		problemf(w, http.StatusBadRequest, "invalid powerStateFilter: %s", req.PowerFilter)
		return
	}
	if !slices.Contains([]string{"", available, unavailable}, management) {
		problemf(w, http.StatusBadRequest, "invalid managementStateFilter: %s", req.ManagementFilter)
		return
	}
	list, bad := m.powerStatusOf(req.Xname)
	if len(bad) > 0 {
		problemf(w, http.StatusBadRequest, "invalid xnames detected: %s", strings.Join(bad, " "))
		return
	}
	if power != "" || management != "" {
		list = slices.DeleteFunc(list, func(s powerStatus) bool {
			return power != "" && s.Power != power || management != "" && s.Management != management
		})
	}
	writeItems(w, "status", slices.Values(list), appendPowerStatus)
}

// powerStatusOf looks components up, each once; none means all that PCS knows. The
// second result are those that are no xnames: PCS does not normalise.
func (m *Machine) powerStatusOf(xnames []string) (list []powerStatus, bad []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(xnames) == 0 {
		list = make([]powerStatus, 0, len(m.nodes))
		for i := range m.nodes {
			if n := &m.nodes[i]; m.inPCS(n) {
				list = append(list, m.statusOf(n))
			}
		}
		return list, nil
	}
	list = make([]powerStatus, 0, len(xnames))
	seen := make(map[string]bool, len(xnames))
	for _, x := range xnames {
		if seen[x] {
			continue
		}
		seen[x] = true
		n := m.byXname[x]
		if n != nil && m.inPCS(n) {
			list = append(list, m.statusOf(n))
			continue
		}
		if n != nil {
			if f := m.has(n, "pcs_missing"); f != nil && f.Value == "answer" {
				continue
			}
		}
		kind, power := hmsType(x)
		switch {
		case kind == "":
			bad = append(bad, x)
		case power:
			list = append(list, powerStatus{Xname: x, Error: "Component not found in component map."})
		default:
			list = append(list, powerStatus{Xname: x, Error: "Component type " + kind + " can not have power state."})
		}
	}
	return list, bad
}

func (m *Machine) statusOf(n *node) powerStatus {
	return powerStatus{
		Xname: n.xname, Power: n.cached.power.String(), Management: n.cached.management(), Operations: m.operations(n),
		LastUpdated: m.pcs.stamp(m.epoch, n.cachedAt+m.skew("pcs")),
	}
}

// stamp writes the moment of a change. Nodes come in runs that changed together.
func (p *pcs) stamp(epoch time.Time, changed time.Duration) string {
	if p.stampText == "" || p.stampOf != changed {
		p.stampOf, p.stampText = changed, epoch.Add(changed).UTC().Format(time.RFC3339Nano)
	}
	return p.stampText
}

// transitionID reads the id in a path; PCS wants a UUID.
func transitionID(w http.ResponseWriter, r *http.Request) (string, bool) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		problemf(w, http.StatusBadRequest, "invalid UUID: %s", r.PathValue("id"))
		return "", false
	}
	return id.String(), true
}
