package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// bss is the Boot Script Service. What it has for the xname of a node is with the node;
// hosts are all other keys: MAC addresses, nid<N>, role names, Default, strangers.
type bss struct {
	hosts   map[string]*bootEntry
	kernels map[string]*bootEntry // image defaults, by kernel URL
	initrds map[string]*bootEntry
}

// bootEntry is what one request wrote. All its hosts share it, and it never
// changes: a node that has fetched it keeps it.
type bootEntry struct {
	params, kernel, initrd string
	token                  string
	cloudInit              json.RawMessage
}

// joinToken is replaced by a fresh one in every script.
const joinToken = "${SPIRE_JOIN_TOKEN}" //nolint:gosec // a placeholder

func newBSS() bss {
	return bss{hosts: map[string]*bootEntry{}, kernels: map[string]*bootEntry{}, initrds: map[string]*bootEntry{}}
}

// commandLine is the kernel line of a node; join replaces the SPIRE join token.
func (e *bootEntry) commandLine(n *node, join string) string {
	line := e.params
	if e.initrd != "" { // BSS names the initrd itself and cuts out what params say
		if before, rest, found := strings.Cut(line, "initrd"); found {
			_, after, _ := strings.Cut(rest, " ")
			line = before + after
		}
	}
	line = strings.ReplaceAll(line, joinToken, join)
	add := func(prefix, value string) {
		if value != "" && !strings.Contains(e.params, prefix) {
			line += " " + prefix + value
		}
	}
	nid := ""
	if n.nid > 0 {
		nid = strconv.Itoa(int(n.nid))
	}
	add("xname=", n.xname)
	add("nid=", nid)
	add("bss_referral_token=", e.token)
	add("ds=", "nocloud-net;s=http://10.92.100.81:8888/")
	return strings.TrimSpace(line)
}

// bootEntry returns what BSS has under a key; nil when that is nothing. m.mu is held.
func (m *Machine) bootEntry(key string) *bootEntry {
	if n := m.byXname[key]; n != nil {
		return n.boot
	}
	return m.bss.hosts[key]
}

// setBootEntry stores an entry, or with nil deletes it. m.mu is held.
func (m *Machine) setBootEntry(key string, e *bootEntry) {
	if n := m.byXname[key]; n != nil {
		n.boot = e
		return
	}
	if m.bss.hosts[key] = e; e == nil {
		delete(m.bss.hosts, key)
	}
}

// bootKeys are the keys that have an entry, in order. m.mu is held.
func (m *Machine) bootKeys() []string {
	keys := slices.Collect(maps.Keys(m.bss.hosts))
	for i := range m.nodes {
		if m.nodes[i].boot != nil {
			keys = append(keys, m.nodes[i].xname)
		}
	}
	slices.Sort(keys)
	return keys
}

// bssRequest is the body of every bootparameters method.
type bssRequest struct {
	Hosts     []string        `json:"hosts,omitempty"`
	MACs      []string        `json:"macs,omitempty"`
	NIDs      []int           `json:"nids,omitempty"`
	Params    string          `json:"params,omitempty"`
	Kernel    string          `json:"kernel,omitempty"`
	Initrd    string          `json:"initrd,omitempty"`
	CloudInit json.RawMessage `json:"cloud-init,omitempty"`
}

// keys are the storage keys of the hosts a request names.
func (r *bssRequest) keys() []string {
	keys := slices.Clone(r.Hosts)
	for _, mac := range r.MACs {
		keys = append(keys, strings.ToLower(mac))
	}
	for _, nid := range r.NIDs {
		keys = append(keys, "nid"+strconv.Itoa(nid))
	}
	return keys
}

func (e *bootEntry) request(host string) bssRequest {
	r := bssRequest{Params: e.params, Kernel: e.kernel, Initrd: e.initrd, CloudInit: e.cloudInit}
	if host != "" {
		r.Hosts = []string{host}
	}
	return r
}

func (m *Machine) routeBSS(mux *http.ServeMux) {
	const base = "/bss/boot/v1"
	mux.HandleFunc("GET "+base+"/bootparameters", m.bssGet)
	mux.HandleFunc("PUT "+base+"/bootparameters", func(w http.ResponseWriter, r *http.Request) { m.bssWrite(w, r, false) })
	mux.HandleFunc("POST "+base+"/bootparameters", func(w http.ResponseWriter, r *http.Request) { m.bssWrite(w, r, true) })
	mux.HandleFunc("PATCH "+base+"/bootparameters", m.bssPatch)
	mux.HandleFunc("DELETE "+base+"/bootparameters", m.bssDelete)
	mux.HandleFunc("GET "+base+"/bootscript", m.bssScript)
	mux.HandleFunc("GET "+base+"/endpoint-history", m.bssHistory)
	mux.HandleFunc("GET "+base+"/service/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"bss-status": "running"})
	})
}

// bssWrite is PUT, and POST with create. Hosts are written one by one under one
// new token; when storage fails in between, those before have it.
func (m *Machine) bssWrite(w http.ResponseWriter, r *http.Request, create bool) {
	var req bssRequest
	if err := decode(r, &req); err != nil {
		problemf(w, http.StatusBadRequest, "Bad Request: %s", err)
		return
	}
	keys := req.keys()
	about(w, len(keys))
	status := http.StatusOK
	if create {
		status = http.StatusCreated
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(keys) == 0 { // image defaults, or nothing at all: no token
		e := &bootEntry{params: req.Params, kernel: req.Kernel, initrd: req.Initrd}
		if req.Kernel != "" {
			m.bss.kernels[req.Kernel] = e
		}
		if req.Initrd != "" {
			m.bss.initrds[req.Initrd] = e
		}
		w.WriteHeader(status)
		return
	}
	if create {
		for _, k := range keys {
			if m.bootEntry(k) != nil {
				problemf(w, http.StatusBadRequest, "Already exists: %s", k)
				return
			}
		}
	}
	e := &bootEntry{params: req.Params, kernel: req.Kernel, initrd: req.Initrd, token: m.newID(), cloudInit: req.CloudInit}
	partial := m.requestFault("bss", "bss_partial_write", "", func(f *activeFault) bool { return f.number < len(keys) })
	for i, k := range keys {
		if partial != nil && i == partial.number {
			problemf(w, http.StatusInternalServerError, "storage error writing %s", k)
			return
		}
		m.setBootEntry(k, e)
	}
	if m.serviceFault("bss", "no_referral_token") == nil {
		name := "Bss-Referral-Token"
		if f := m.serviceFault("bss", "header_case"); f != nil {
			name = map[string]string{"lower": strings.ToLower(name), "upper": strings.ToUpper(name), "canonical": name}[f.Value]
		}
		w.Header()[name] = []string{e.token}
	}
	w.WriteHeader(status)
}

// bssPatch merges what is not empty; the token stays.
func (m *Machine) bssPatch(w http.ResponseWriter, r *http.Request) {
	var req bssRequest
	if err := decode(r, &req); err != nil {
		problemf(w, http.StatusBadRequest, "Bad Request: %s", err)
		return
	}
	keys := req.keys()
	about(w, len(keys))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if m.bootEntry(k) == nil {
			problemf(w, http.StatusNotFound, "Not Found: %s", k)
			return
		}
	}
	merged := map[*bootEntry]*bootEntry{}
	for _, k := range keys {
		old := m.bootEntry(k)
		if merged[old] == nil {
			or := func(a, b string) string {
				if a != "" {
					return a
				}
				return b
			}
			cloudInit := old.cloudInit
			if req.CloudInit != nil {
				cloudInit = req.CloudInit
			}
			merged[old] = &bootEntry{
				params: or(req.Params, old.params), kernel: or(req.Kernel, old.kernel), initrd: or(req.Initrd, old.initrd),
				token: old.token, cloudInit: cloudInit,
			}
		}
		m.setBootEntry(k, merged[old])
	}
	w.WriteHeader(http.StatusOK)
}

func (m *Machine) bssDelete(w http.ResponseWriter, r *http.Request) {
	var req bssRequest
	if err := decode(r, &req); err != nil {
		problemf(w, http.StatusBadRequest, "Bad Request: %s", err)
		return
	}
	keys := req.keys()
	about(w, len(keys))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if m.bootEntry(k) == nil {
			problemf(w, http.StatusBadRequest, "Key not found: %s", k)
			return
		}
	}
	for _, k := range keys {
		m.setBootEntry(k, nil)
	}
	delete(m.bss.kernels, req.Kernel)
	delete(m.bss.initrds, req.Initrd)
	w.WriteHeader(http.StatusOK)
}

// bssGet lists everything, or what name, mac and nid (comma lists) or a body say.
func (m *Machine) bssGet(w http.ResponseWriter, r *http.Request) {
	var req bssRequest
	if r.ContentLength > 0 {
		if err := decode(r, &req); err != nil {
			problemf(w, http.StatusBadRequest, "Bad Request: %s", err)
			return
		}
	}
	for k, values := range lowerKeys(r.URL.Query()) {
		for v := range strings.SplitSeq(strings.Join(values, ","), ",") {
			switch k {
			case "name":
				req.Hosts = append(req.Hosts, v)
			case "mac":
				req.MACs = append(req.MACs, v)
			case "nid":
				nid, err := strconv.Atoi(v)
				if err != nil {
					problemf(w, http.StatusBadRequest, "Bad Request: invalid nid %q", v)
					return
				}
				req.NIDs = append(req.NIDs, nid)
			}
		}
	}
	list := []bssRequest{}
	m.mu.Lock()
	if keys := req.keys(); len(keys) > 0 || req.Kernel != "" || req.Initrd != "" {
		for _, k := range keys {
			if e := m.bootEntry(k); e != nil {
				list = append(list, e.request(k))
			}
		}
		for _, e := range []*bootEntry{m.bss.kernels[req.Kernel], m.bss.initrds[req.Initrd]} {
			if e != nil {
				list = append(list, e.request(""))
			}
		}
	} else {
		for _, images := range []map[string]*bootEntry{m.bss.kernels, m.bss.initrds} {
			for _, k := range slices.Sorted(maps.Keys(images)) {
				list = append(list, images[k].request(""))
			}
		}
		for _, k := range m.bootKeys() {
			list = append(list, m.bootEntry(k).request(k))
		}
	}
	m.mu.Unlock()
	about(w, len(list))
	if len(list) == 0 {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	writeJSON(w, http.StatusOK, list)
}

// lookup finds the entry that a node boots: its own, its NID's, its role's, or the
// default one. m.mu is held.
func (m *Machine) lookup(n *node) *bootEntry {
	keys := []string{n.xname, "nid" + strconv.Itoa(int(n.nid)), n.traits.Value().role, "Default"}
	for _, k := range keys {
		if e := m.bootEntry(k); e != nil {
			return e
		}
	}
	return nil
}

// bootScript is a node's request for its boot script: what it has to boot, or why
// it has to ask again. m.mu is held.
func (m *Machine) bootScript(n *node) (*bootEntry, string) {
	switch {
	case m.use(n, "pxe_no_dhcp") != nil:
		return nil, "no DHCP offer"
	case !m.serviceUp("bss"):
		return nil, "bootscript: no answer from BSS"
	case m.use(n, "bootscript_404") != nil:
		return nil, "bootscript: 404"
	}
	e := m.lookup(n)
	if e == nil || e.kernel == "" {
		return nil, "bootscript: 404, not configured for booting"
	}
	if strings.Contains(e.params, joinToken) && m.has(n, "spire_unavailable") != nil {
		return nil, "bootscript: 404, no join token"
	}
	n.script = uint32(m.time().Unix())
	return e, ""
}

// bssScript is GET bootscript, as iPXE on a node sends it.
func (m *Machine) bssScript(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	q := r.URL.Query()
	m.mu.Lock()
	defer m.mu.Unlock()
	var n *node
	selector := ""
	switch {
	case q.Get("name") != "":
		selector = "name=" + q.Get("name")
		n = m.byXname[canonical(q.Get("name"))]
	case q.Get("nid") != "":
		selector = "nid=" + q.Get("nid")
		for i := range m.nodes {
			if nid, err := strconv.Atoi(q.Get("nid")); err == nil && nid > 0 && int(m.nodes[i].nid) == nid {
				n = &m.nodes[i]
			}
		}
	case q.Get("mac") != "":
		selector = "mac=" + q.Get("mac")
		n = m.byMAC(q.Get("mac"))
	default:
		problem(w, http.StatusBadRequest, "Need a mac=, name=, or nid= parameter")
		return
	}
	if n == nil {
		problem(w, http.StatusNotFound, "boot script: this host not configured for booting.")
		return
	}
	e, fault := m.bootScript(n)
	if e == nil {
		problemf(w, http.StatusNotFound, "boot script: this host not configured for booting: %s", fault)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	var b bytes.Buffer
	b.WriteString("#!ipxe\n")
	initrd := ""
	if e.initrd != "" {
		initrd = " initrd=initrd"
	}
	fmt.Fprintf(&b, "kernel --name kernel %s%s %s || goto boot_retry\n", presigned(r, e.kernel), initrd, e.commandLine(n, uuid.NewString()))
	if e.initrd != "" {
		fmt.Fprintf(&b, "initrd --name initrd %s || goto boot_retry\n", presigned(r, e.initrd))
	}
	fmt.Fprintf(&b, "imgstat || echo Could not show image information.\nboot || goto boot_retry\n:boot_retry\nsleep 30\n"+
		"chain https://api-gw-service-nmn.local/apis/bss/boot/v1/bootscript?%s&retry=1\n", selector)
	w.Write(b.Bytes())
}

// presigned turns an S3 URL into one that a node can fetch, on this machine.
func presigned(r *http.Request, url string) string {
	path, ok := strings.CutPrefix(url, "s3://")
	if !ok {
		return url
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host + "/s3/" + path + "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=86400"
}

// macOf is the MAC address of the node's boot interface: 02:00 and its index.
func macOf(n *node) string {
	i := n.index
	return fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", byte(i>>24), byte(i>>16), byte(i>>8), byte(i))
}

func (m *Machine) byMAC(mac string) *node {
	for i := range m.nodes {
		if strings.EqualFold(macOf(&m.nodes[i]), mac) {
			return &m.nodes[i]
		}
	}
	return nil
}

// bssHistory tells when nodes last fetched something.
func (m *Machine) bssHistory(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	type access struct {
		Name     string `json:"name"`
		Endpoint string `json:"endpoint"`
		Last     int64  `json:"last_epoch"`
	}
	list := []access{}
	if e := q.Get("endpoint"); e != "" && e != "bootscript" && e != "user-data" {
		problemf(w, http.StatusBadRequest, "unknown endpoint %q", e)
		return
	}
	m.mu.Lock()
	for i := range m.nodes {
		n := &m.nodes[i]
		if n.script != 0 && q.Get("endpoint") != "user-data" && (q.Get("name") == "" || q.Get("name") == n.xname) {
			list = append(list, access{n.xname, "bootscript", int64(n.script)})
		}
	}
	m.mu.Unlock()
	about(w, len(list))
	writeJSON(w, http.StatusOK, list)
}
