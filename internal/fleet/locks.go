package fleet

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxReservation is the longest service reservation HSM grants, in minutes.
const maxReservation = 15

// reservation is somebody's exclusive hold of a component. The holder of the
// reservation key owns it; the holder of the deputy key may act for the owner.
type reservation struct {
	key, deputy string
	created     time.Time
	expires     time.Time   // zero: never. On the wall clock: its holder's clock
	holder      *transition // of PCS; nil: somebody else
}

// reserve gives the node a reservation, or says why not. m.mu is held.
func (m *Machine) reserve(n *node, d time.Duration) (*reservation, string) {
	switch {
	case !m.inHSM(n):
		return nil, "NotFound"
	case m.lockedNode(n):
		return nil, "Locked"
	case !n.reservations:
		return nil, "Disabled"
	case m.reservedNode(n):
		return nil, "Reserved"
	}
	n.reservation = newReservation(n, m.time(), d)
	return n.reservation, ""
}

func newReservation(n *node, now time.Time, d time.Duration) *reservation {
	r := &reservation{
		key: n.xname + ":rk:" + uuid.NewString(), deputy: n.xname + ":dk:" + uuid.NewString(), created: now,
	}
	if d > 0 {
		r.expires = r.created.Add(d)
	}
	return r
}

// reservedNode reports whether somebody holds the node; it drops a reservation
// whose time is over. m.mu is held.
func (m *Machine) reservedNode(n *node) bool {
	if r := n.reservation; r != nil && !r.expires.IsZero() && !m.time().Before(r.expires) {
		n.reservation = nil
	}
	return n.reservation != nil || m.has(n, "hsm_reserved_by_other") != nil
}

func (m *Machine) routeLocks(mux *http.ServeMux, base string) {
	mux.HandleFunc("GET "+base+"/locks/status", m.lockStatus)
	mux.HandleFunc("POST "+base+"/locks/status", m.lockStatusPost)

	change := func(path string, f func(n *node) string) {
		mux.HandleFunc("POST "+base+path, func(w http.ResponseWriter, r *http.Request) { m.lockChange(w, r, f) })
	}
	setLock := func(locked bool, already string) func(*node) string {
		return func(n *node) string {
			switch {
			case m.reservedNode(n):
				return "Reserved"
			case !n.reservations:
				return "Disabled"
			case m.lockedNode(n) == locked:
				return already
			}
			n.locked = locked
			return ""
		}
	}
	change("/locks/lock", setLock(true, "Locked"))
	change("/locks/unlock", setLock(false, "Unlocked"))
	change("/locks/disable", func(n *node) string {
		n.reservation, n.reservations = nil, false
		return ""
	})
	change("/locks/repair", func(n *node) string {
		n.reservations = true
		return ""
	})
	change("/locks/reservations/remove", func(n *node) string {
		n.reservation = nil
		return ""
	})

	mux.HandleFunc("POST "+base+"/locks/service/reservations", func(w http.ResponseWriter, r *http.Request) { m.reservationCreate(w, r, true) })
	mux.HandleFunc("POST "+base+"/locks/reservations", func(w http.ResponseWriter, r *http.Request) { m.reservationCreate(w, r, false) })
	mux.HandleFunc("POST "+base+"/locks/service/reservations/check", m.reservationCheck)
	release := func(n *node, _ int) { n.reservation = nil }
	mux.HandleFunc("POST "+base+"/locks/service/reservations/release", func(w http.ResponseWriter, r *http.Request) { m.reservationUse(w, r, release) })
	mux.HandleFunc("POST "+base+"/locks/reservations/release", func(w http.ResponseWriter, r *http.Request) { m.reservationUse(w, r, release) })
	mux.HandleFunc("POST "+base+"/locks/service/reservations/renew", func(w http.ResponseWriter, r *http.Request) {
		m.reservationUse(w, r, func(n *node, minutes int) {
			n.reservation.expires = m.time().Add(time.Duration(minutes) * time.Minute)
		})
	})
}

// lockRecord is the lock state of one component.
type lockRecord struct {
	ID                  string `json:"ID"`
	Locked              bool   `json:"Locked"`
	Reserved            bool   `json:"Reserved"`
	CreationTime        string `json:"CreationTime,omitempty"`
	ExpirationTime      string `json:"ExpirationTime,omitempty"`
	ReservationDisabled bool   `json:"ReservationDisabled"`
}

func (m *Machine) lockOf(n *node) lockRecord {
	l := lockRecord{ID: n.xname, Locked: m.lockedNode(n), Reserved: m.reservedNode(n), ReservationDisabled: !n.reservations}
	if r := n.reservation; r != nil {
		skew := m.skew("hsm")
		l.CreationTime = r.created.Add(skew).Format(time.RFC3339)
		if !r.expires.IsZero() {
			l.ExpirationTime = r.expires.Add(skew).Format(time.RFC3339)
		}
	}
	return l
}

// lockTargets are the nodes a lock request is about, and the ids HSM does not
// know. m.mu is held.
func (m *Machine) lockTargets(q url.Values) (nodes []*node, missing []string, err error) {
	f, err := m.filter(q)
	if err != nil {
		return nil, nil, err
	}
	var candidates []*node
	if ids := q["componentids"]; len(ids) > 0 {
		for _, id := range ids {
			if n := m.byXname[canonical(id)]; n != nil && m.inHSM(n) {
				candidates = append(candidates, n)
			} else {
				missing = append(missing, canonical(id))
			}
		}
	} else {
		for i := range m.nodes {
			if n := &m.nodes[i]; m.inHSM(n) {
				candidates = append(candidates, n)
			}
		}
	}
	for _, n := range candidates {
		if c := m.record(n); !f.match(&c) {
			continue
		}
		if reserved := q.Get("reserved"); reserved != "" && strings.EqualFold(hsmBool(reserved), "true") != m.reservedNode(n) {
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, missing, nil
}

func (m *Machine) lockStatus(w http.ResponseWriter, r *http.Request) {
	m.lockReport(w, lowerKeys(r.URL.Query()), false)
}

func (m *Machine) lockStatusPost(w http.ResponseWriter, r *http.Request) {
	q, err := hsmParams(r)
	if err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON %s", err)
		return
	}
	m.lockReport(w, q, true)
}

func (m *Machine) lockReport(w http.ResponseWriter, q url.Values, withMissing bool) {
	m.mu.Lock()
	nodes, missing, err := m.lockTargets(q)
	list := make([]lockRecord, 0, len(nodes))
	for _, n := range nodes {
		list = append(list, m.lockOf(n))
	}
	old := err == nil && len(list) == 0 && m.serviceFault("hsm", "hsm_old_lock_400") != nil
	m.mu.Unlock()
	about(w, len(list))
	switch {
	case err != nil:
		problem(w, http.StatusBadRequest, err.Error())
		return
	case old:
		problem(w, http.StatusBadRequest, "Component not found")
		return
	}
	answer := map[string]any{"Components": list}
	if withMissing {
		answer["NotFound"] = append([]string{}, missing...)
	}
	writeJSON(w, http.StatusOK, answer)
}

// lockFailure names a component that a lock request could not change.
type lockFailure struct {
	ID     string `json:"ID"`
	Reason string `json:"Reason"`
}

// lockOutcome is the answer to a change of locks or reservations.
func lockOutcome(done []string, failed []lockFailure) map[string]any {
	return map[string]any{
		"Counts":  map[string]int{"Total": len(done) + len(failed), "Success": len(done), "Failure": len(failed)},
		"Success": map[string]any{"ComponentIDs": append([]string{}, done...)},
		"Failure": append([]lockFailure{}, failed...),
	}
}

// lockRequest decodes a lock request and finds its nodes; it answers and returns
// false when there is nothing to go on with. m.mu is held afterwards if it is true.
func (m *Machine) lockRequest(w http.ResponseWriter, r *http.Request) (nodes []*node, failed []lockFailure, q url.Values, ok bool) {
	q, err := hsmParams(r)
	if err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON %s", err)
		return nil, nil, nil, false
	}
	m.mu.Lock()
	nodes, missing, err := m.lockTargets(q)
	about(w, len(nodes)+len(missing))
	switch {
	case err != nil:
	case len(nodes) == 0, len(missing) > 0 && rigid(q):
		err = errNoComponent
	}
	if err != nil {
		m.mu.Unlock()
		problem(w, http.StatusBadRequest, err.Error())
		return nil, nil, nil, false
	}
	for _, id := range missing {
		failed = append(failed, lockFailure{id, "NotFound"})
	}
	return nodes, failed, q, true
}

// rigid reports whether a request is all or nothing, which is the default.
func rigid(q url.Values) bool { return !strings.EqualFold(q.Get("processingmodel"), "flexible") }

var errNoComponent = errors.New("Component not found") //nolint:staticcheck // the words of HSM

// lockChange applies a change to each node; a text is why it did not work. In a
// rigid request the first obstacle undoes what came before.
func (m *Machine) lockChange(w http.ResponseWriter, r *http.Request, change func(*node) string) {
	nodes, failed, q, ok := m.lockRequest(w, r)
	if !ok {
		return
	}
	defer m.mu.Unlock()
	type before struct {
		locked, reservations bool
		reservation          *reservation
	}
	saved := make([]before, len(nodes))
	var done []string
	for i, n := range nodes {
		saved[i] = before{n.locked, n.reservations, n.reservation}
		reason := change(n)
		if reason == "" {
			done = append(done, n.xname)
			continue
		}
		failed = append(failed, lockFailure{n.xname, reason})
		if rigid(q) {
			for j, b := range saved[:i] {
				nodes[j].locked, nodes[j].reservations, nodes[j].reservation = b.locked, b.reservations, b.reservation
			}
			problemf(w, http.StatusBadRequest, "%s: %s", n.xname, reason)
			return
		}
	}
	writeJSON(w, http.StatusOK, lockOutcome(done, failed))
}

// reservationRecord is a reservation in the answer to create and check.
type reservationRecord struct {
	ID             string `json:"ID"`
	DeputyKey      string `json:"DeputyKey"`
	ReservationKey string `json:"ReservationKey,omitempty"`
	CreationTime   string `json:"CreationTime,omitempty"`
	ExpirationTime string `json:"ExpirationTime,omitempty"`
}

func (r *reservation) record(id string, withKey bool, skew time.Duration) reservationRecord {
	out := reservationRecord{ID: id, DeputyKey: r.deputy, CreationTime: r.created.Add(skew).Format(time.RFC3339)}
	if withKey {
		out.ReservationKey = r.key
	}
	if !r.expires.IsZero() {
		out.ExpirationTime = r.expires.Add(skew).Format(time.RFC3339)
	}
	return out
}

// reservationCreate makes reservations: a service's on unlocked nodes and for a
// time, an administrator's on locked ones and without end.
func (m *Machine) reservationCreate(w http.ResponseWriter, r *http.Request, service bool) {
	nodes, failed, q, ok := m.lockRequest(w, r)
	if !ok {
		return
	}
	defer m.mu.Unlock()
	minutes, err := strconv.Atoi(q.Get("reservationduration"))
	if q.Get("reservationduration") == "" {
		minutes, err = 0, nil
	}
	if err != nil || minutes < 0 || minutes > maxReservation || service && minutes < 1 {
		problemf(w, http.StatusBadRequest, "invalid ReservationDuration: want 1 to %d minutes", maxReservation)
		return
	}
	done := []reservationRecord{}
	for _, n := range nodes {
		reason := ""
		if service || minutes > 0 {
			_, reason = m.reserve(n, time.Duration(minutes)*time.Minute)
		} else {
			reason = m.reserveLocked(n)
		}
		if reason == "" {
			done = append(done, n.reservation.record(n.xname, true, m.skew("hsm")))
			continue
		}
		failed = append(failed, lockFailure{n.xname, reason})
		if rigid(q) {
			for _, d := range done {
				m.byXname[d.ID].reservation = nil
			}
			problemf(w, http.StatusBadRequest, "%s: %s", n.xname, reason)
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"Success": done, "Failure": append([]lockFailure{}, failed...)})
}

// reserveLocked is an administrator's reservation, for which the node has to be
// locked first.
func (m *Machine) reserveLocked(n *node) string {
	switch {
	case !m.lockedNode(n):
		return "Unlocked"
	case !n.reservations:
		return "Disabled"
	case m.reservedNode(n):
		return "Reserved"
	}
	n.reservation = newReservation(n, m.time(), 0)
	return ""
}

// keyRequest is the body of check, renew and release.
type keyRequest struct {
	DeputyKeys, ReservationKeys []struct{ ID, Key string }
	ProcessingModel             string
	ReservationDuration         int
}

func (m *Machine) reservationCheck(w http.ResponseWriter, r *http.Request) {
	var req keyRequest
	if err := decode(r, &req); err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON %s", err)
		return
	}
	about(w, len(req.DeputyKeys))
	if len(req.DeputyKeys) == 0 {
		problem(w, http.StatusBadRequest, "no DeputyKeys")
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	done, failed := []reservationRecord{}, []lockFailure{}
	for _, k := range req.DeputyKeys {
		n := m.byXname[canonical(k.ID)]
		if n != nil && m.reservedNode(n) && n.reservation != nil && strings.EqualFold(n.reservation.deputy, k.Key) {
			done = append(done, n.reservation.record(n.xname, false, m.skew("hsm")))
		} else {
			failed = append(failed, lockFailure{canonical(k.ID), "NotFound"})
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"Success": done, "Failure": failed})
}

// reservationUse renews or releases reservations by their keys.
func (m *Machine) reservationUse(w http.ResponseWriter, r *http.Request, use func(n *node, minutes int)) {
	var req keyRequest
	if err := decode(r, &req); err != nil {
		problemf(w, http.StatusBadRequest, "error decoding JSON %s", err)
		return
	}
	about(w, len(req.ReservationKeys))
	if len(req.ReservationKeys) == 0 {
		problem(w, http.StatusBadRequest, "no ReservationKeys")
		return
	}
	minutes := req.ReservationDuration
	if minutes < 0 || minutes > maxReservation {
		problemf(w, http.StatusBadRequest, "invalid ReservationDuration: want 1 to %d minutes", maxReservation)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var done []string
	var failed []lockFailure
	for _, k := range req.ReservationKeys {
		n := m.byXname[canonical(k.ID)]
		if n != nil && m.reservedNode(n) && n.reservation != nil && strings.EqualFold(n.reservation.key, k.Key) {
			done = append(done, n.xname)
		} else {
			failed = append(failed, lockFailure{canonical(k.ID), "NotFound"})
		}
	}
	if len(failed) > 0 && !strings.EqualFold(req.ProcessingModel, "flexible") {
		problemf(w, http.StatusBadRequest, "%s: %s", failed[0].ID, failed[0].Reason)
		return
	}
	for _, id := range done {
		use(m.byXname[id], max(1, minutes))
	}
	writeJSON(w, http.StatusOK, lockOutcome(done, failed))
}
