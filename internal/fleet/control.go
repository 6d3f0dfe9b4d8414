package fleet

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos/reporter"
)

// counters are what /_sim/metrics shows.
type counters struct {
	phases        [phaseCount]int
	events        uint64
	reports       uint64
	reportRetries uint64
	requests      map[callKey]uint64
}

type callKey struct {
	service string
	status  int
}

// Moment is one step of a node's history.
type Moment struct {
	Time  time.Time `json:"time"`
	Phase string    `json:"phase"`
	Note  string    `json:"note,omitempty"`
}

// NodeState is the truth about a node, as the machine knows it.
type NodeState struct {
	Xname    string         `json:"xname"`
	NID      int            `json:"nid,omitempty"`
	Role     string         `json:"role"`
	SubRole  string         `json:"sub_role,omitempty"`
	Aliases  []string       `json:"aliases,omitempty"`
	MAC      string         `json:"mac"`
	Phase    string         `json:"phase"`
	Power    string         `json:"power"`     // on or off, now
	PCSPower string         `json:"pcs_power"` // as PCS last sampled it
	HSMState string         `json:"hsm_state"`
	Boots    uint32         `json:"boots"` // times it was powered on
	Kernel   string         `json:"kernel,omitempty"`
	Initrd   string         `json:"initrd,omitempty"`
	Cmdline  string         `json:"cmdline,omitempty"` // without its tokens
	Token    string         `json:"bss_token,omitempty"`
	Reported bool           `json:"reported"` // BOS accepted a report of this boot
	Config   string         `json:"configuration,omitempty"`
	CFS      string         `json:"configuration_status"`
	Commands map[string]int `json:"commands"` // Redfish commands received
	Requests map[string]int `json:"requests"` // PCS transitions that named it, by operation
	Faults   []string       `json:"faults,omitempty"`
	History  []Moment       `json:"history,omitempty"`
	Hardware HardwareTime   `json:"hardware_seconds"`
}

// HardwareTime is [Spent] in seconds.
type HardwareTime struct {
	Node  float64 `json:"node"`
	PCS   float64 `json:"pcs"`
	CFS   float64 `json:"cfs"`
	Total float64 `json:"total"`
}

// NodeSummary is one line about a node.
type NodeSummary struct {
	Xname    string `json:"xname"`
	Role     string `json:"role"`
	Phase    string `json:"phase"`
	Power    string `json:"power"`
	Reported bool   `json:"reported"`
}

func power(n *node) string {
	if n.power {
		return powerOn.String()
	}
	return powerOff.String()
}

// Nodes lists all nodes by xname.
func (m *Machine) Nodes() []NodeSummary {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]NodeSummary, len(m.nodes))
	for i := range m.nodes {
		n := &m.nodes[i]
		list[i] = NodeSummary{n.xname, n.traits.Value().role, n.phase.String(), power(n), n.reported}
	}
	return list
}

// Node returns the truth about a node; the second result is false when there is no
// such node.
func (m *Machine) Node(xname string) (NodeState, bool) {
	return m.nodeState(xname, time.Time{}, time.Time{})
}

func (m *Machine) nodeState(xname string, from, to time.Time) (NodeState, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.byXname[canonical(xname)]
	if n == nil {
		return NodeState{}, false
	}
	spent, t := m.spentBetween(n, from, to), n.traits.Value()
	s := NodeState{
		Xname: n.xname, NID: int(n.nid), Role: t.role, SubRole: t.subRole, Aliases: m.aliases[n], MAC: macOf(n), Phase: n.phase.String(), Power: power(n),
		PCSPower: n.cached.power.String(), HSMState: n.state.String(), Boots: n.boots, Cmdline: n.cmdline(), Reported: n.reported,
		Commands: map[string]int{}, Requests: map[string]int{},
		Hardware: HardwareTime{spent.Node.Seconds(), spent.PCS.Seconds(), spent.CFS.Seconds(), spent.Total.Seconds()},
	}
	if n.loaded != nil {
		s.Kernel, s.Initrd = n.loaded.kernel, n.loaded.initrd
		s.Token, _ = n.kernelLine().Value(reporter.ParamToken)
	}
	s.Config, s.CFS = n.cfs.given.config, m.cfsStatus(n)
	for op, times := range n.commands {
		if times > 0 {
			s.Commands[redfish(op).String()] = int(times)
		}
	}
	for op, times := range n.requests {
		if times > 0 {
			s.Requests[everyOperation[op]] = int(times)
		}
	}
	for _, h := range n.history {
		at := m.steps.at(h.step)
		s.History = append(s.History, Moment{m.epoch.Add(h.at()).UTC(), at.phase.String(), at.note})
	}
	for _, a := range m.nodeFaults[n] {
		s.Faults = append(s.Faults, a.Kind)
	}
	return s, true
}

// Configurations lists the names of the CFS configurations.
func (m *Machine) Configurations() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.cfs.configs))
}

// route builds the handlers of all services.
func (m *Machine) route() {
	m.count.requests = map[callKey]uint64{}
	m.services = map[string]http.Handler{}
	all := http.NewServeMux()
	for name, add := range map[string]func(*http.ServeMux){
		"hsm": m.routeHSM, "pcs": m.routePCS, "capmc": m.routeCAPMC, "cfs": m.routeCFS,
		"bss": m.routeBSS, "ims": m.routeIMS, "s3": m.routeS3, "tapms": m.routeTAPMS,
	} {
		mux := http.NewServeMux()
		add(mux)
		m.services[name] = m.serve(name, mux)
		all.Handle("/"+name+"/", m.services[name])
	}
	control := http.NewServeMux()
	m.routeControl(control)
	all.Handle("/_sim/", control)
	m.handler = all
}

func (m *Machine) routeControl(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sim/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ok", "nodes": m.Size(), "speed": m.speed})
	})
	mux.HandleFunc("GET /_sim/nodes", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.Nodes()) })
	mux.HandleFunc("GET /_sim/nodes/{xname}", m.controlNode)
	mux.HandleFunc("GET /_sim/nodes/{xname}/token", m.controlToken)
	mux.HandleFunc("GET /_sim/calls", func(w http.ResponseWriter, r *http.Request) {
		service := r.URL.Query().Get("service")
		if service != "" && !slices.Contains(faultTargets(), service) {
			problemf(w, http.StatusBadRequest, "service %q, want one of %s", service, strings.Join(faultTargets(), ", "))
			return
		}
		writeJSON(w, http.StatusOK, m.Calls(service))
	})
	mux.HandleFunc("GET /_sim/metrics", m.controlMetrics)
	mux.HandleFunc("GET /_sim/clock", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.Clock()) })
	mux.HandleFunc("POST /_sim/clock", m.controlAdvance)
	mux.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, m.Faults()) })
	mux.HandleFunc("POST /_sim/faults", m.controlInject)
	mux.HandleFunc("DELETE /_sim/faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := m.Clear(r.PathValue("id")); err != nil {
			problem(w, http.StatusNotFound, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /_sim/tenants/{name}", m.controlTenant)
	mux.HandleFunc("DELETE /_sim/tenants/{name}", func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		delete(m.tapms.tenants, r.PathValue("name"))
		m.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_sim/{$}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"base_urls": BaseURLs("http://" + r.Host), "gateway_paths": GatewayURLs(""), "faults": FaultKinds()})
	})
}

// controlNode is GET /_sim/nodes/{xname}; since and until (RFC 3339) narrow the
// hardware time.
func (m *Machine) controlNode(w http.ResponseWriter, r *http.Request) {
	var window [2]time.Time
	for i, name := range []string{"since", "until"} {
		if text := r.URL.Query().Get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				problemf(w, http.StatusBadRequest, "%s: want an RFC 3339 time, not %q", name, text)
				return
			}
			window[i] = t
		}
	}
	s, ok := m.nodeState(r.PathValue("xname"), window[0], window[1])
	if !ok {
		problem(w, http.StatusNotFound, m.noNode(r.PathValue("xname")).Error())
		return
	}
	writeJSON(w, http.StatusOK, s)
}

// controlInject is POST /_sim/faults with a [Fault].
func (m *Machine) controlInject(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := decode(r, &f); err != nil { // strict by itself
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	id, err := m.Inject(f)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Location", "/_sim/faults/"+id)
	writeJSON(w, http.StatusCreated, map[string]string{"id": id})
}

// controlTenant creates or replaces a tenant: {"xnames":[…],"deploying":false}.
func (m *Machine) controlTenant(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Xnames    []string `json:"xnames"`
		Deploying bool     `json:"deploying"`
	}
	if err := decodeControl(r, &body); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range body.Xnames {
		if m.byXname[x] == nil {
			problem(w, http.StatusBadRequest, m.noNode(x).Error())
			return
		}
	}
	t := newTenant(r.PathValue("name"), body.Xnames)
	t.deploying = body.Deploying
	m.tapms.tenants[t.name] = t
	writeJSON(w, http.StatusOK, t.json())
}

// controlMetrics writes the counters in the Prometheus text format.
func (m *Machine) controlMetrics(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	m.mu.Lock()
	b.WriteString("# TYPE bos_sim_nodes gauge\n")
	for p, n := range m.count.phases {
		fmt.Fprintf(&b, "bos_sim_nodes{phase=%q} %d\n", Phase(p), n)
	}
	b.WriteString("# TYPE bos_sim_requests_total counter\n")
	keys := slices.SortedFunc(maps.Keys(m.count.requests), func(a, b callKey) int {
		if c := strings.Compare(a.service, b.service); c != 0 {
			return c
		}
		return a.status - b.status
	})
	for _, k := range keys {
		fmt.Fprintf(&b, "bos_sim_requests_total{service=%q,code=\"%d\"} %d\n", k.service, k.status, m.count.requests[k])
	}
	fmt.Fprintf(&b, "# TYPE bos_sim_events_total counter\nbos_sim_events_total %d\n", m.count.events)
	fmt.Fprintf(&b, "# TYPE bos_sim_reports_total counter\nbos_sim_reports_total %d\n", m.count.reports)
	fmt.Fprintf(&b, "# TYPE bos_sim_report_retries_total counter\nbos_sim_report_retries_total %d\n", m.count.reportRetries)
	fmt.Fprintf(&b, "# TYPE bos_sim_report_queue gauge\nbos_sim_report_queue %d\n", len(m.reports.queue))
	m.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	w.Write([]byte(b.String()))
}
