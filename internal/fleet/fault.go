package fleet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong, on nodes or with a service.
//
// A node fault hits Nodes, or the given Fraction of all nodes (rounded up, chosen
// by seed), or every node when both are empty. A service fault hits Service, or
// every service when that is empty; the gateway and its token endpoint have faults
// of their own only. Durations in Value that are the hardware's
// (soft_off_slow, reporter_delay …) run on the clock of the machine and are divided
// by its speed; After, For and what a client of a service sees (latency,
// retry_after) run on the wall clock.
type Fault struct {
	ID          string        // given by Inject when empty
	Kind        string        // see [FaultKinds]
	Nodes       []string      // xnames
	Fraction    float64       // of all nodes, 0 to 1
	Service     string        // hsm, pcs, capmc, cfs, bss, ims, s3 or tapms; gateway or auth
	Methods     []string      // of requests to a service; none means all
	Probability float64       // of taking effect each time, or each boot of a node where it lasts; 0 means always
	Count       int           // times it takes effect, per node or service; 0 means no limit; not for what lasts
	After       time.Duration // until it starts
	For         time.Duration // that it lasts; 0 means until cleared
	Value       string        // depends on the kind
}

// faultJSON is a Fault on the wire of the control API.
type faultJSON struct {
	ID          string   `json:"id,omitempty"`
	Kind        string   `json:"kind"`
	Nodes       []string `json:"nodes,omitempty"`
	Fraction    *float64 `json:"fraction,omitempty"`
	Service     string   `json:"service,omitempty"`
	Methods     []string `json:"methods,omitempty"`
	Probability *float64 `json:"probability,omitempty"`
	Count       int      `json:"count,omitempty"`
	After       string   `json:"after,omitempty"`
	For         string   `json:"for,omitempty"`
	Value       string   `json:"value,omitempty"`
}

// MarshalJSON writes durations as text, such as "1m30s".
func (f Fault) MarshalJSON() ([]byte, error) {
	j := faultJSON{ID: f.ID, Kind: f.Kind, Nodes: f.Nodes, Service: f.Service, Methods: f.Methods, Count: f.Count, Value: f.Value}
	if f.Fraction != 0 {
		j.Fraction = &f.Fraction
	}
	if f.Probability != 0 {
		j.Probability = &f.Probability
	}
	if f.After != 0 {
		j.After = f.After.String()
	}
	if f.For != 0 {
		j.For = f.For.String()
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes. Nobody and never, said in so many words,
// are errors: left out, the same members mean everybody and always.
func (f *Fault) UnmarshalJSON(data []byte) error {
	var j faultJSON
	if err := unmarshalStrict(data, &j); err != nil {
		return err
	}
	*f = Fault{ID: j.ID, Kind: j.Kind, Nodes: j.Nodes, Service: j.Service, Methods: j.Methods, Count: j.Count, Value: j.Value}
	if j.Nodes != nil && len(j.Nodes) == 0 {
		return errors.New("nodes: want at least one; leave it out for every node")
	}
	if j.Fraction != nil {
		if f.Fraction = *j.Fraction; f.Fraction == 0 {
			return errNoFraction
		}
	}
	if j.Probability != nil {
		if f.Probability = *j.Probability; f.Probability == 0 {
			return errNoProbability
		}
	}
	for _, d := range []struct {
		name string
		text string
		to   *time.Duration
	}{{"after", j.After, &f.After}, {"for", j.For, &f.For}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil {
			return fmt.Errorf("%s: want a duration such as 90s, not %q", d.name, d.text)
		}
		*d.to = v
	}
	return nil
}

// What is written as zero is not meant as the default.
var (
	errNoFraction    = errors.New("fraction 0: want more than 0, up to 1")
	errNoProbability = errors.New("probability 0: want more than 0, up to 1")
)

// Services are the names of the simulated services.
func Services() []string { return []string{"hsm", "pcs", "capmc", "cfs", "bss", "ims", "s3", "tapms"} }

// faultTargets are what a service fault can be about.
func faultTargets() []string { return append(Services(), gateway, keycloak) }

// activeFault is a fault in the machine.
type activeFault struct {
	Fault
	duration, upTo time.Duration // Value, where it is a duration or a span
	number         int           // Value, where it is a number, or begins with one
	status         int           // of the answer, where Value has one
	targets        []*node
	delay          time.Duration        // until it starts: After, and what the kind adds to it
	from, to       time.Duration        // of the machine's wall clock; to 0 is for ever
	used           map[*node]int        // times it took effect; nil key for a service
	tried          map[*node]int        // times that chance decided about a node
	requests       int                  // that auth_401 has seen
	seen           map[string]time.Time // tokens without a date, and when they were first used
}

// check validates f and fills in the parsed value.
func (f *activeFault) check() error {
	k, ok := faultKinds[f.Kind]
	if !ok {
		return unknownKind(f.Kind)
	}
	ofNodes := len(f.Nodes) > 0 || f.Fraction > 0
	f.Value = cmp.Or(f.Value, k.deflt)
	if k.oneOf != nil {
		f.Value = cmp.Or(f.Value, k.oneOf[0])
		if !slices.Contains(k.oneOf, f.Value) {
			return fmt.Errorf("fault %s: value %q, want one of %s", f.Kind, f.Value, strings.Join(k.oneOf, ", "))
		}
	}
	var err error
	switch {
	case k.value == noValue && k.oneOf == nil && f.Value != "":
		return fmt.Errorf("fault %s takes no value, got %q", f.Kind, f.Value)
	case k.value == text && f.Value == "":
		return fmt.Errorf("fault %s needs a value", f.Kind)
	case k.value == duration, k.value == durationSpan:
		low, high, isSpan := strings.Cut(f.Value, "-")
		f.duration, err = time.ParseDuration(low)
		f.upTo = f.duration
		if err == nil && isSpan && k.value == durationSpan {
			f.upTo, err = time.ParseDuration(high)
		}
		if err != nil || f.duration < 0 || f.upTo < f.duration {
			return fmt.Errorf("fault %s: value %q, want a duration such as 90s", f.Kind, f.Value)
		}
	case k.value == offset:
		if f.duration, err = time.ParseDuration(f.Value); err != nil {
			return fmt.Errorf("fault %s: value %q, want a duration such as 90s or -5m", f.Kind, f.Value)
		}
	case k.value == number:
		if f.number, err = strconv.Atoi(f.Value); err != nil || f.number < 0 {
			return fmt.Errorf("fault %s: value %q, want a whole number from 0", f.Kind, f.Value)
		}
	case k.value == secondsStatus:
		seconds, status, both := strings.Cut(f.Value, "/")
		f.status = http.StatusServiceUnavailable
		if f.number, err = strconv.Atoi(seconds); err == nil && both {
			f.status, err = strconv.Atoi(status)
		}
		if err != nil || f.number < 0 || f.status < 400 || f.status > 599 {
			return fmt.Errorf("fault %s: value %q, want seconds such as 5, or seconds and a status from 400 to 599 such as 5/429", f.Kind, f.Value)
		}
	}
	switch {
	case math.IsNaN(f.Fraction) || f.Fraction < 0 || f.Fraction > 1:
		return fmt.Errorf("fault %s: fraction %v, want 0 to 1", f.Kind, f.Fraction)
	case math.IsNaN(f.Probability) || f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("fault %s: probability %v, want 0 to 1", f.Kind, f.Probability)
	case f.Count < 0 || f.After < 0 || f.For < 0:
		return fmt.Errorf("fault %s: count, after and for must not be negative", f.Kind)
	case len(f.Nodes) > 0 && f.Fraction > 0:
		return fmt.Errorf("fault %s: give nodes or a fraction, not both", f.Kind)
	case k.service == "" && f.Service != "":
		return fmt.Errorf("fault %s is about nodes, not about service %q", f.Kind, f.Service)
	case k.service != "" && ofNodes && !k.nodes:
		return fmt.Errorf("fault %s is about a service, not about nodes", f.Kind)
	case k.lasts && f.Count > 0:
		return fmt.Errorf("fault %s lasts: it takes no count; after and for bound it in time", f.Kind)
	case k.lasts && k.service != "" && f.Probability > 0:
		return fmt.Errorf("fault %s lasts: it takes no probability; after and for bound it in time", f.Kind)
	case k.service == "any" && f.Service != "" && !slices.Contains(faultTargets(), f.Service):
		return fmt.Errorf("fault %s: service %q, want one of %s", f.Kind, f.Service, strings.Join(faultTargets(), ", "))
	case f.Service == gateway && slices.Contains(bodyFaults, f.Kind):
		return fmt.Errorf("fault %s: the gateway passes bodies on as they are", f.Kind)
	case f.Service == gateway && f.Kind == "require_auth" && f.Value == "on":
		return errors.New("fault require_auth: the gateway wants a token anyway; the value may be off")
	case f.Service != gateway && f.Service != "" && f.Kind == "require_auth" && f.Value == "off":
		return errors.New("fault require_auth: only the gateway can do without a token")
	case len(f.Methods) > 0 && k.service != "any":
		return fmt.Errorf("fault %s has no methods", f.Kind)
	case k.service != "" && k.service != "any" && f.Service != "" && f.Service != k.service:
		return fmt.Errorf("fault %s is about service %s, not %q", f.Kind, k.service, f.Service)
	}
	if k.service != "" && k.service != "any" {
		f.Service = k.service
	}
	for i, method := range f.Methods {
		if f.Methods[i] = strings.ToUpper(method); !slices.Contains(httpMethods, f.Methods[i]) {
			return fmt.Errorf("fault %s: method %q, want some of %s", f.Kind, method, strings.Join(httpMethods, ", "))
		}
	}
	if f.Kind == "error_rate" && (f.number < 400 || f.number > 599) {
		return fmt.Errorf("fault error_rate: value %d, want a status from 400 to 599", f.number)
	}
	if f.Kind == "image_contention" && f.number == 0 {
		return errors.New("fault image_contention: value 0, want a whole number from 1")
	}
	if f.Kind == "cfs_fail" && f.Count == 0 {
		f.Count = f.number
	}
	return nil
}

// httpMethods are those that a service answers.
var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// ErrNoFault says that there is no fault of that id.
var ErrNoFault = errors.New("no such fault")

// Inject adds a fault and returns its id. It fails on an unknown kind or node, a
// value that does not fit, and an id that is taken.
func (m *Machine) Inject(f Fault) (string, error) {
	f.Methods = slices.Clone(f.Methods)
	a := &activeFault{Fault: f, used: map[*node]int{}, tried: map[*node]int{}, seen: map[string]time.Time{}}
	if err := a.check(); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.ID == "" {
		m.faultSeq++
		a.ID = "fault-" + strconv.Itoa(m.faultSeq)
	}
	if slices.ContainsFunc(m.faults, func(o *activeFault) bool { return o.ID == a.ID }) {
		return "", fmt.Errorf("fault id %q is taken", a.ID)
	}
	if faultKinds[a.Kind].service == "" || len(a.Nodes) > 0 || a.Fraction > 0 {
		if err := m.aim(a); err != nil {
			return "", err
		}
	}
	a.delay = a.After
	if a.Kind == "locked_at" {
		a.delay += m.scaled(a.duration)
	}
	a.from = m.now() + a.delay
	if a.For > 0 {
		a.to = a.from + a.For
	}
	m.faults = append(m.faults, a)
	for _, n := range a.targets {
		m.nodeFaults[n] = append(m.nodeFaults[n], a)
		n.faulty = true
	}
	if a.delay > 0 {
		m.steadily(a.from, func() { m.begin(a) })
	} else {
		m.begin(a)
	}
	if a.to > 0 {
		m.steadily(a.to, func() { m.remove(a) })
	}
	return a.ID, nil
}

// aim finds the nodes of a node fault. A fraction takes those with the smallest
// hash of node and kind: exact, and the same for a seed.
func (m *Machine) aim(a *activeFault) error {
	if len(a.Nodes) > 0 {
		for _, x := range a.Nodes {
			n := m.byXname[canonical(x)]
			if n == nil {
				return fmt.Errorf("fault %s: %w", a.Kind, m.noNode(x))
			}
			if !slices.Contains(a.targets, n) {
				a.targets = append(a.targets, n)
			}
		}
		return nil
	}
	for i := range m.nodes {
		a.targets = append(a.targets, &m.nodes[i])
	}
	if a.Fraction > 0 {
		rank := func(n *node) uint64 {
			x := m.seed ^ n.hash()
			for i := range len(a.Kind) {
				x = mix(x ^ uint64(a.Kind[i]))
			}
			return x
		}
		slices.SortFunc(a.targets, func(x, y *node) int { return cmp.Compare(rank(x), rank(y)) })
		share := a.Fraction * float64(len(a.targets))
		a.targets = a.targets[:max(1, int(math.Ceil(share-1e-6)))] // 7 % of 100 is a little more than 7 in binary
	}
	return nil
}

// begin is the moment a fault starts to act. m.mu is held.
func (m *Machine) begin(a *activeFault) {
	if !slices.Contains(m.faults, a) {
		return
	}
	m.faultEdge(a)
	switch a.Kind {
	case "bmc_flaps":
		m.flap(a)
	case "random_power_loss", "random_crash":
		for _, n := range a.targets {
			m.strike(a, n)
		}
	}
}

// flap lets PCS notice each change of a flapping management controller.
func (m *Machine) flap(a *activeFault) {
	m.steadily(m.now()+m.pause(a.duration, retryFloor), func() {
		if slices.Contains(m.faults, a) {
			m.faultEdge(a)
			m.flap(a)
		}
	})
}

// strike lets a node lose power, or crash, after a time with the mean that the
// fault says, again and again.
func (m *Machine) strike(a *activeFault, n *node) {
	u := m.chance(n, a.ID+strconv.Itoa(a.tried[n])+a.Kind)
	wait := time.Duration(-math.Log(1-u) * float64(a.duration))
	m.steadily(m.now()+m.pause(wait, retryFloor), func() {
		if !slices.Contains(m.faults, a) || a.Count > 0 && a.used[n] >= a.Count {
			return
		}
		a.tried[n]++
		switch {
		case a.Kind == "random_power_loss" && n.power && m.rolled(a, n):
			a.used[n]++
			n.restart = false
			m.down(n, "power lost")
		case a.Kind == "random_crash" && n.osUp() && m.rolled(a, n):
			a.used[n]++
			m.crash(n)
		}
		m.strike(a, n)
	})
}

// Refusing reports whether a service, or the gateway, refuses connections now: during
// an outage of mode refuse that spares no request. Whoever serves it at an address of
// its own closes that address meanwhile; at an address that services share, requests
// break the connection instead. The channel is closed when the answer may have changed.
func (m *Machine) Refusing(service string) (refusing bool, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.faults, func(a *activeFault) bool {
		every := a.Probability == 0 && a.Count == 0 && len(a.Methods) == 0
		return a.Kind == "outage" && a.Value == "refuse" && every && a.isAbout(service, "") && m.active(a)
	}), m.faultsChanged
}

// faultEdge lets PCS look again at nodes whose fault came or went. m.mu is held.
func (m *Machine) faultEdge(a *activeFault) {
	for _, n := range a.targets {
		m.dirty(n, false)
	}
	close(m.faultsChanged)
	m.faultsChanged = make(chan struct{})
	m.faultsOf = map[string]bool{}
	for _, f := range m.faults {
		m.faultsOf[f.Kind] = true
	}
	if strings.HasPrefix(a.Kind, "cfs_") {
		for _, n := range a.targets {
			m.reconsider(n)
		}
	}
}

// Clear ends a fault. What it has already done to nodes stays: a hung node hangs
// until it is power-cycled. It returns [ErrNoFault] for an unknown id.
func (m *Machine) Clear(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.faults, func(a *activeFault) bool { return a.ID == id })
	if i < 0 {
		var ids []string
		for _, a := range m.faults {
			ids = append(ids, a.ID)
		}
		return fmt.Errorf("%w: %q; there are %s", ErrNoFault, id, cmp.Or(strings.Join(ids, ", "), "none"))
	}
	m.remove(m.faults[i])
	return nil
}

func (m *Machine) remove(a *activeFault) {
	same := func(o *activeFault) bool { return o == a }
	m.faults = slices.DeleteFunc(m.faults, same)
	for _, n := range a.targets {
		m.nodeFaults[n] = slices.DeleteFunc(m.nodeFaults[n], same)
		if n.faulty = len(m.nodeFaults[n]) > 0; !n.faulty {
			delete(m.nodeFaults, n)
		}
	}
	m.faultEdge(a)
}

// Faults lists the faults in the machine, in the order of their injection.
func (m *Machine) Faults() []Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Fault, len(m.faults))
	for i, a := range m.faults {
		out[i] = a.Fault
	}
	return out
}

// active reports whether the time of the fault has come.
func (m *Machine) active(a *activeFault) bool { return a.delay == 0 || m.now() >= a.from }

// has returns the fault of that kind which a node has now: one that lasts. Its
// probability is decided once per boot of the node. m.mu is held.
func (m *Machine) has(n *node, kind string) *activeFault {
	if !n.faulty {
		return nil
	}
	for _, a := range m.nodeFaults[n] {
		if a.Kind == kind && m.active(a) && !a.spent(n) && (a.Probability == 0 || m.chance(n, a.ID) < a.Probability) {
			return a
		}
	}
	return nil
}

// use is has for something that happens: probability decides about each time, and each
// time it happens counts. m.mu is held.
func (m *Machine) use(n *node, kind string) *activeFault {
	return m.useIf(n, kind, func(*activeFault) bool { return true })
}

// hit is use for one variant of a fault. m.mu is held.
func (m *Machine) hit(n *node, kind, value string) bool {
	return m.useIf(n, kind, func(a *activeFault) bool { return a.Value == value }) != nil
}

func (m *Machine) useIf(n *node, kind string, fits func(*activeFault) bool) *activeFault {
	if !n.faulty {
		return nil
	}
	for _, a := range m.nodeFaults[n] {
		if a.Kind == kind && m.active(a) && !a.spent(n) && fits(a) && m.rolled(a, n) {
			a.used[n]++
			return a
		}
	}
	return nil
}

// spent reports whether the fault has had all its effects on a node; nil is a service.
func (f *activeFault) spent(n *node) bool { return f.Count > 0 && f.used[n] >= f.Count }

// rolled lets the probability of a fault decide about one time. m.mu is held.
func (m *Machine) rolled(a *activeFault, n *node) bool {
	switch {
	case a.Probability == 0:
		return true
	case n == nil:
		return m.rand.Float64() < a.Probability
	}
	a.tried[n]++
	return m.chance(n, a.ID+" "+strconv.Itoa(a.tried[n])) < a.Probability
}

// serviceFault returns the fault of that kind that a service shows to this
// request. m.mu is held.
func (m *Machine) serviceFault(service, kind string) *activeFault {
	return m.requestFault(service, kind, "", nil)
}

// requestFault is serviceFault for a request of that method, if the fault has anything
// to do with it: only then does it count. No fits is yes. m.mu is held.
func (m *Machine) requestFault(service, kind, method string, fits func(*activeFault) bool) *activeFault {
	if !m.faultsOf[kind] {
		return nil
	}
	for _, a := range m.faults {
		if a.Kind != kind || !a.isAbout(service, method) || !m.active(a) || a.spent(nil) || fits != nil && !fits(a) {
			continue
		}
		if perItem := kind == "drop_items" || kind == "dup_items"; !perItem && !m.rolled(a, nil) {
			continue
		}
		a.used[nil]++
		return a
	}
	return nil
}

// lasting returns the fault of that kind, one that is a lasting property of a service.
// m.mu is held.
func (m *Machine) lasting(kind string) *activeFault {
	if !m.faultsOf[kind] {
		return nil
	}
	for _, a := range slices.Backward(m.faults) { // the latest counts
		if a.Kind == kind && m.active(a) {
			return a
		}
	}
	return nil
}

// isAbout reports whether a service fault concerns a request. Without a service it is
// about all that BOS talks to.
func (f *activeFault) isAbout(service, method string) bool {
	inside := service != gateway && service != keycloak
	return (f.Service == service || f.Service == "" && inside) && (len(f.Methods) == 0 || slices.Contains(f.Methods, method))
}

// serviceUp reports whether a service answers its neighbours inside the machine.
// m.mu is held.
func (m *Machine) serviceUp(service string) bool { return m.serviceFault(service, "outage") == nil }

// imageDeleted reports whether a URL or an id belongs to an image that is gone: for a
// node, or for a request if that is nil. m.mu is held.
func (m *Machine) imageDeleted(n *node, ref string) bool {
	if !m.faultsOf["image_deleted"] {
		return false
	}
	for _, a := range m.faults {
		ofNode := a.targets != nil
		if a.Kind != "image_deleted" || !m.active(a) || ofNode && (n == nil || !slices.Contains(a.targets, n)) {
			continue
		}
		who := n
		if !ofNode {
			who = nil
		}
		if !a.spent(who) && m.isImage(ref, a.Value) && m.rolled(a, who) {
			a.used[who]++
			return true
		}
	}
	return false
}

// isImage reports whether a URL or an id belongs to the image of this id or name, or
// to any when that is empty. m.mu is held.
func (m *Machine) isImage(ref, image string) bool {
	for _, img := range m.ims.images {
		if strings.Contains(ref, img.ID) && (image == "" || image == img.ID || image == img.Name) {
			return true
		}
	}
	return false
}

// serviceTime is what the clock of a service shows. m.mu is held.
func (m *Machine) serviceTime(service string) time.Time { return m.time().Add(m.skew(service)) }

// skew is by how much the clock of a service is wrong. m.mu is held.
func (m *Machine) skew(service string) time.Duration {
	if !m.faultsOf["clock_skew"] {
		return 0
	}
	for _, a := range slices.Backward(m.faults) {
		if a.Kind == "clock_skew" && a.isAbout(service, "") && m.active(a) {
			return a.duration
		}
	}
	return 0
}

// noNode says which nodes there are instead.
func (m *Machine) noNode(xname string) error {
	return fmt.Errorf("no node %q; the machine has %d, from %s to %s", xname, len(m.nodes), m.nodes[0].xname, m.nodes[len(m.nodes)-1].xname)
}
