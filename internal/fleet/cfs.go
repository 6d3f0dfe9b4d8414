package fleet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cfs is the Configuration Framework Service.
type cfs struct {
	list     []*cfsComponent // ordered by id
	byID     map[string]*cfsComponent
	configs  map[string]*cfsConfig
	options  map[string]any
	groups   map[string]*cfsGroup // what the batcher has to do, by configuration
	sessions []*cfsSession        // latest, in the order of their start
	seq      int
}

// cfsComponent is a component record of CFS.
type cfsComponent struct {
	id         string
	n          *node // nil for a component that is not a node of this machine
	config     string
	errorCount int
	retries    *int
	enabled    bool
	tags       map[string]string
	state      []cfsLayer    // applied layers; shared, never changed in place
	queued     bool          // the batcher has it in a group
	running    bool          // in a session
	since      time.Duration // when it last became eligible
}

// cfsLayer is one layer that a session applied, or tried to.
type cfsLayer struct {
	CloneURL    string `json:"clone_url"`
	Playbook    string `json:"playbook"`
	Commit      string `json:"commit"`
	Status      string `json:"status,omitempty"`
	LastUpdated string `json:"last_updated,omitempty"`
	SessionName string `json:"session_name,omitempty"`
}

// cfsConfig is a named list of layers.
type cfsConfig struct {
	Name        string           `json:"name"`
	LastUpdated string           `json:"last_updated"`
	Layers      []cfsConfigLayer `json:"layers"`
}

type cfsConfigLayer struct {
	Name     string `json:"name,omitempty"`
	CloneURL string `json:"clone_url"`
	Playbook string `json:"playbook"`
	Commit   string `json:"commit,omitempty"`
	Branch   string `json:"branch,omitempty"`
}

const (
	cfsUnconfigured = "unconfigured"
	cfsFailed       = "failed"
	cfsPending      = "pending"
	cfsConfigured   = "configured"
	maxConfigName   = 60
)

var cfsStatuses = []string{cfsUnconfigured, cfsFailed, cfsPending, cfsConfigured}

func newCFS(nodes []node) cfs {
	c := cfs{
		list: make([]*cfsComponent, len(nodes)), byID: make(map[string]*cfsComponent, len(nodes)),
		configs: map[string]*cfsConfig{}, options: cfsDefaults(), groups: map[string]*cfsGroup{},
	}
	made := make([]cfsComponent, len(nodes))
	for i := range nodes {
		made[i] = cfsComponent{id: nodes[i].spec.Xname, n: &nodes[i], enabled: true}
		c.list[i], c.byID[made[i].id] = &made[i], &made[i]
	}
	slices.SortFunc(c.list, func(a, b *cfsComponent) int { return strings.Compare(a.id, b.id) })
	for _, name := range seedConfigurations {
		c.configs[name] = &cfsConfig{Name: name, LastUpdated: cfsTime(), Layers: []cfsConfigLayer{
			{Name: "cos", CloneURL: "https://vcs.example/cray/cos-config-management.git", Playbook: "cos-compute.yml", Commit: fmt.Sprintf("%040x", mix(uint64(len(name))^uint64(name[0])))},
			{Name: "site", CloneURL: "https://vcs.example/site/config.git", Playbook: "site.yml", Commit: fmt.Sprintf("%040x", mix(uint64(len(name))*31))},
		}}
	}
	return c
}

// seedConfigurations exist from the start.
var seedConfigurations = []string{"compute-24.7.0", "compute-24.11.0", "uan-24.11.0"}

func cfsDefaults() map[string]any {
	return map[string]any{
		"additional_inventory_source": "", "ara_ui_url": "https://ara.cmn.example", "batch_size": 100.0, "batch_window": 60.0,
		"batcher_check_interval": 10.0, "batcher_disable": false, "batcher_max_backoff": 3600.0, "batcher_pending_timeout": 300.0,
		"debug_wait_time": 3600.0, "default_ansible_config": "cfs-default-ansible-cfg", "default_batcher_retry_policy": 3.0,
		"default_page_size": 1000.0, "default_playbook": "site.yml", "hardware_sync_interval": 10.0, "include_ara_links": false,
		"logging_level": "INFO", "session_ttl": "7d",
	}
}

// option reads a numeric option.
func (c *cfs) option(name string) int { return int(c.options[name].(float64)) }

func cfsTime() string { return time.Now().UTC().Format("2006-01-02T15:04:05Z") }

// retryPolicy is how many failures a component gets; negative means any number.
func (m *Machine) retryPolicy(c *cfsComponent) int {
	if c.retries != nil {
		return *c.retries
	}
	return m.cfs.option("default_batcher_retry_policy")
}

// cfsStatus computes configuration_status, as CFS does on every read: the worst
// layer decides. m.mu is held.
func (m *Machine) cfsStatus(c *cfsComponent) string {
	if c.n != nil {
		if f := m.has(c.n, "cfs_status_override"); f != nil {
			return f.Value
		}
	}
	config := m.cfs.configs[c.config]
	if c.config == "" || config == nil {
		if len(c.state) == 0 {
			return cfsUnconfigured
		}
		return cfsConfigured
	}
	policy := m.retryPolicy(c)
	exhausted := policy >= 0 && c.errorCount >= policy
	worst := slices.Index(cfsStatuses, cfsConfigured)
	for _, layer := range config.Layers {
		status := cfsPending
		if layer.Commit == "" || layer.CloneURL == "" || layer.Playbook == "" {
			status = cfsUnconfigured
		}
		for _, s := range c.state {
			if status == cfsUnconfigured || s.CloneURL != layer.CloneURL || s.Playbook != layer.Playbook || s.Commit != layer.Commit {
				continue
			}
			switch s.Status {
			case "applied", "skipped":
				status = cfsConfigured
			case "failed":
				if exhausted {
					status = cfsFailed
				}
			}
		}
		worst = min(worst, slices.Index(cfsStatuses, status))
	}
	if cfsStatuses[worst] == cfsPending && exhausted {
		return cfsFailed
	}
	return cfsStatuses[worst]
}

func (m *Machine) inCFS(c *cfsComponent) bool {
	return c != nil && (c.n == nil || m.has(c.n, "cfs_missing") == nil)
}

// cfsComponentJSON is a component on the wire of v3.
type cfsComponentJSON struct {
	ID           string            `json:"id"`
	Config       string            `json:"desired_config"`
	ErrorCount   int               `json:"error_count"`
	RetryPolicy  *int              `json:"retry_policy,omitempty"`
	Enabled      bool              `json:"enabled"`
	Status       string            `json:"configuration_status"`
	Tags         map[string]string `json:"tags"`
	State        *[]cfsLayer       `json:"state,omitempty"`
	DesiredState *[]cfsLayer       `json:"desired_state,omitempty"`
	Logs         string            `json:"logs,omitempty"`
}

var noTags = map[string]string{}

// cfsJSON is the record of a component. m.mu is held.
func (m *Machine) cfsJSON(c *cfsComponent, stateDetails, configDetails bool) cfsComponentJSON {
	j := cfsComponentJSON{
		ID: c.id, Config: c.config, ErrorCount: c.errorCount, RetryPolicy: c.retries, Enabled: c.enabled, Status: m.cfsStatus(c), Tags: c.tags,
	}
	if j.Tags == nil {
		j.Tags = noTags
	}
	if stateDetails {
		state := append([]cfsLayer{}, c.state...)
		j.State = &state
	}
	if configDetails {
		desired := []cfsLayer{}
		if config := m.cfs.configs[c.config]; config != nil {
			for _, l := range config.Layers {
				desired = append(desired, cfsLayer{CloneURL: l.CloneURL, Playbook: l.Playbook, Commit: l.Commit})
			}
		}
		j.DesiredState = &desired
	}
	if links, _ := m.cfs.options["include_ara_links"].(bool); links {
		j.Logs = fmt.Sprintf("%v/hosts?name=%s", m.cfs.options["ara_ui_url"], c.id)
	}
	return j
}

// cfsFilter selects components; its members all have to hold.
type cfsFilter struct {
	ids     map[string]bool // nil: any
	status  map[string]bool
	enabled *bool
	config  string
	tags    map[string]string
}

// parseCFSFilter reads the filter that GET takes as parameters and PATCH as an
// object. Empty texts filter nothing.
func parseCFSFilter(ids, status, config, tags string, enabled *bool) (*cfsFilter, error) {
	f := &cfsFilter{enabled: enabled, config: config}
	if ids != "" {
		f.ids = map[string]bool{}
		for id := range strings.SplitSeq(ids, ",") {
			f.ids[strings.TrimSpace(id)] = true
		}
	}
	if status != "" {
		f.status = map[string]bool{}
		for s := range strings.SplitSeq(status, ",") {
			if !slices.Contains(cfsStatuses, s) {
				return nil, fmt.Errorf("error parsing the status filter: %q", s)
			}
			f.status[s] = true
		}
	}
	if tags != "" {
		f.tags = map[string]string{}
		for tag := range strings.SplitSeq(tags, ",") {
			k, v, ok := strings.Cut(tag, "=")
			if !ok {
				return nil, fmt.Errorf("error parsing the tags filter: %q", tag)
			}
			f.tags[k] = v
		}
	}
	return f, nil
}

func (m *Machine) cfsMatch(f *cfsFilter, c *cfsComponent) bool {
	if f.ids != nil && !f.ids[c.id] || f.enabled != nil && *f.enabled != c.enabled || f.config != "" && f.config != c.config {
		return false
	}
	for k, v := range f.tags {
		if got, ok := c.tags[k]; !ok || got != v {
			return false
		}
	}
	return m.inCFS(c) && (f.status == nil || f.status[m.cfsStatus(c)])
}

// cfsSelect returns the matching components behind an id, at most limit (0: all),
// and whether there are more. m.mu is held.
func (m *Machine) cfsSelect(f *cfsFilter, after string, limit int) (out []*cfsComponent, more bool) {
	take := func(c *cfsComponent) bool {
		if !m.cfsMatch(f, c) {
			return true
		}
		if limit > 0 && len(out) == limit {
			more = true
			return false
		}
		out = append(out, c)
		return true
	}
	if f.ids != nil {
		for _, id := range slices.Sorted(maps.Keys(f.ids)) {
			if c := m.cfs.byID[id]; c != nil && id > after && !take(c) {
				break
			}
		}
		return out, more
	}
	start := 0
	if after != "" {
		i, found := slices.BinarySearchFunc(m.cfs.list, after, func(c *cfsComponent, id string) int { return strings.Compare(c.id, id) })
		if start = i; found {
			start++
		}
	}
	for _, c := range m.cfs.list[start:] {
		if !take(c) {
			break
		}
	}
	return out, more
}

func (m *Machine) routeCFS(mux *http.ServeMux) {
	v3 := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /cfs/v3"+path, func(w http.ResponseWriter, r *http.Request) {
			if m.faultNow("cfs", "cfs_v2_only") != nil {
				problem(w, http.StatusNotFound, "The requested URL was not found on the server.")
				return
			}
			h(w, r)
		})
	}
	v3("GET /components", m.cfsGetAll)
	v3("PATCH /components", m.cfsPatchAll)
	v3("PUT /components", m.cfsPutAll)
	v3("GET /components/{id}", m.cfsGet)
	v3("PATCH /components/{id}", m.cfsPatch)
	v3("PUT /components/{id}", m.cfsPut)
	v3("GET /configurations", m.cfsConfigs)
	v3("GET /configurations/{name}", m.cfsConfigGet)
	v3("PUT /configurations/{name}", m.cfsConfigPut)
	v3("DELETE /configurations/{name}", m.cfsConfigDelete)
	v3("GET /options", m.cfsOptions)
	v3("PATCH /options", m.cfsOptionsPatch)
	v3("GET /sessions", m.cfsSessions)
	v3("GET /sessions/{name}", m.cfsSessionGet)
	healthy := func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"db_status": "ok", "kafka_status": "ok"})
	}
	mux.HandleFunc("GET /cfs/healthz", healthy)
	mux.HandleFunc("GET /cfs/v3/healthz", healthy)
	m.routeCFSv2(mux)
}

// cfsNext is the next object of a page: the parameters of the next request.
type cfsNext struct {
	Limit         int    `json:"limit"`
	AfterID       string `json:"after_id"`
	IDs           string `json:"ids"`
	Status        string `json:"status"`
	Enabled       *bool  `json:"enabled"`
	ConfigName    string `json:"config_name"`
	StateDetails  bool   `json:"state_details"`
	ConfigDetails bool   `json:"config_details"`
	Tags          string `json:"tags"`
}

// queryBool reads an optional boolean parameter.
func queryBool(q url.Values, name string) (*bool, error) {
	switch strings.ToLower(q.Get(name)) {
	case "":
		return nil, nil
	case "true":
		return yes, nil
	case "false":
		return no, nil
	}
	return nil, fmt.Errorf("Wrong type, expected 'boolean' for query parameter '%s'", name)
}

func (m *Machine) cfsGetAll(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	next := cfsNext{AfterID: q.Get("after_id"), IDs: q.Get("ids"), Status: q.Get("status"), ConfigName: q.Get("config_name"), Tags: q.Get("tags")}
	enabled, err := queryBool(q, "enabled")
	state, err2 := queryBool(q, "state_details")
	config, err3 := queryBool(q, "config_details")
	f, err4 := parseCFSFilter(next.IDs, next.Status, next.ConfigName, next.Tags, enabled)
	if limit := q.Get("limit"); limit != "" {
		if n, bad := strconv.Atoi(limit); bad != nil || n < 1 {
			err = errors.Join(err, fmt.Errorf("%s is less than the minimum of 1 for query parameter 'limit'", limit))
		} else {
			next.Limit = n
		}
	}
	if err = errors.Join(err, err2, err3, err4); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	next.Enabled, next.StateDetails, next.ConfigDetails = enabled, state != nil && *state, config != nil && *config

	m.mu.Lock()
	if next.Limit == 0 {
		next.Limit = m.cfs.option("default_page_size")
	}
	if f := m.serviceFault("cfs", "page_size"); f != nil {
		next.Limit = min(next.Limit, max(1, f.number))
	}
	loops := m.serviceFault("cfs", "page_loop") != nil
	found, more := m.cfsSelect(f, next.AfterID, next.Limit)
	list := make([]cfsComponentJSON, len(found))
	for i, c := range found {
		list[i] = m.cfsJSON(c, next.StateDetails, next.ConfigDetails)
	}
	m.mu.Unlock()

	about(w, len(list))
	answer := map[string]any{"components": list, "next": nil}
	switch {
	case loops && len(list) > 0:
		answer["next"] = next // again
		if next.AfterID == "" {
			next.AfterID = list[len(list)-1].ID
			answer["next"] = next
		}
	case more:
		next.AfterID = list[len(list)-1].ID
		answer["next"] = next
	}
	writeJSON(w, http.StatusOK, answer)
}

// cfsChange is a patch of a component. Unknown members and nulls are refused, as
// the schema of CFS does.
type cfsChange struct {
	ID          *string
	Config      *string
	ErrorCount  *int
	RetryPolicy *int
	Enabled     *bool
	Tags        map[string]string
	State       *[]cfsLayer
	StateAppend *cfsLayer
}

// cfsNames are the member names of a dialect, in the order of cfsChange.
type cfsNames struct{ config, errorCount, retryPolicy, stateAppend string }

var (
	cfsV3 = cfsNames{"desired_config", "error_count", "retry_policy", "state_append"}
	cfsV2 = cfsNames{"desiredConfig", "errorCount", "retryPolicy", "stateAppend"}
)

func (names cfsNames) parse(data json.RawMessage) (*cfsChange, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, errors.New("a component is not of type 'object'")
	}
	p := &cfsChange{}
	for name, raw := range members {
		if bytes.Equal(raw, []byte("null")) {
			return nil, fmt.Errorf("None is not of the type of '%s'", name)
		}
		var err error
		switch name {
		case "id":
			err = json.Unmarshal(raw, &p.ID)
		case names.config:
			err = json.Unmarshal(raw, &p.Config)
			if err == nil && len(*p.Config) > maxConfigName {
				err = fmt.Errorf("longer than %d characters", maxConfigName)
			}
		case names.errorCount:
			err = json.Unmarshal(raw, &p.ErrorCount)
		case names.retryPolicy:
			err = json.Unmarshal(raw, &p.RetryPolicy)
		case "enabled":
			err = json.Unmarshal(raw, &p.Enabled)
		case "tags":
			err = json.Unmarshal(raw, &p.Tags)
		case "state":
			p.State, err = names.layers(raw)
		case names.stateAppend:
			var one *[]cfsLayer
			if one, err = names.layers(json.RawMessage("[" + string(raw) + "]")); err == nil {
				p.StateAppend = &(*one)[0]
			}
		case "configurationStatus", "configuration_status", "desired_state", "desiredState", "logs":
			return nil, fmt.Errorf("Property is read-only - '%s'", name)
		default:
			return nil, fmt.Errorf("Additional properties are not allowed ('%s' was unexpected)", name)
		}
		if err != nil {
			return nil, fmt.Errorf("'%s': %w", name, err)
		}
	}
	return p, nil
}

// layers reads applied layers in either dialect.
func (names cfsNames) layers(raw json.RawMessage) (*[]cfsLayer, error) {
	if names == cfsV3 {
		var list []cfsLayer
		err := json.Unmarshal(raw, &list)
		return &list, err
	}
	var old []cfsLayerV2
	if err := json.Unmarshal(raw, &old); err != nil {
		return nil, err
	}
	list := make([]cfsLayer, len(old))
	for i, l := range old {
		list[i] = l.v3()
	}
	return &list, nil
}

// cfsApply changes a component. Giving it a configuration, or wiping its state,
// forgives its failures. m.mu is held.
func (m *Machine) cfsApply(c *cfsComponent, p *cfsChange) {
	if p.Config != nil {
		c.config = *p.Config
	}
	if p.RetryPolicy != nil {
		c.retries = p.RetryPolicy
	}
	if p.Enabled != nil {
		c.enabled = *p.Enabled
	}
	if p.State != nil {
		c.state = *p.State
	}
	if p.StateAppend != nil {
		l := *p.StateAppend
		if l.LastUpdated == "" {
			l.LastUpdated = cfsTime()
		}
		c.state = append(slices.Clip(c.state), l)
	}
	switch {
	case p.ErrorCount != nil:
		c.errorCount = *p.ErrorCount
	case p.Config != nil || p.State != nil && len(*p.State) == 0:
		c.errorCount = 0
	}
	if len(p.Tags) > 0 {
		tags := maps.Clone(c.tags)
		if tags == nil {
			tags = map[string]string{}
		}
		for k, v := range p.Tags {
			if tags[k] = v; v == "" {
				delete(tags, k)
			}
		}
		c.tags = tags
	}
	m.reconsider(c)
}

// cfsBulk is the object form of a bulk PATCH.
type cfsBulk struct {
	Patch   json.RawMessage            `json:"patch"`
	Filters map[string]json.RawMessage `json:"filters"`
}

func (b cfsBulk) filter(configName string) (*cfsFilter, error) {
	var ids, status, config, tags string
	var enabled *bool
	for name, raw := range b.Filters {
		var err error
		switch name {
		case "ids":
			err = json.Unmarshal(raw, &ids)
		case "status":
			err = json.Unmarshal(raw, &status)
		case "enabled":
			err = json.Unmarshal(raw, &enabled)
		case configName:
			err = json.Unmarshal(raw, &config)
		case "tags":
			err = json.Unmarshal(raw, &tags)
		default:
			err = errors.New("additional properties are not allowed")
		}
		if err != nil {
			return nil, fmt.Errorf("filters: '%s': %w", name, err)
		}
	}
	return parseCFSFilter(ids, status, config, tags, enabled)
}

// cfsBulkPatch applies a bulk PATCH in a dialect and returns the components that
// were patched; on an error it has answered.
func (m *Machine) cfsBulkPatch(w http.ResponseWriter, r *http.Request, names cfsNames, configName string) ([]*cfsComponent, bool) {
	var body json.RawMessage
	if err := decode(r, &body); err != nil {
		problemf(w, http.StatusBadRequest, "Request body is not valid JSON: %s", err)
		return nil, false
	}
	switch body[0] {
	case '{':
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		var bulk cfsBulk
		err := dec.Decode(&bulk)
		if err == nil && bulk.Patch == nil {
			err = errors.New("'patch' is a required property")
		}
		var p *cfsChange
		var f *cfsFilter
		if err == nil {
			p, err = names.parse(bulk.Patch)
		}
		if err == nil {
			f, err = bulk.filter(configName)
		}
		if err != nil {
			problem(w, http.StatusBadRequest, err.Error())
			return nil, false
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		found, _ := m.cfsSelect(f, "", 0) // unknown ids are passed over in silence
		for _, c := range found {
			m.cfsApply(c, p)
		}
		return found, true
	case '[':
		return m.cfsListPatch(w, body, names)
	}
	problemf(w, http.StatusBadRequest, "Unexpected data type %c", body[0])
	return nil, false
}

// cfsListPatch applies a list of patches, each with its own id: all or none.
func (m *Machine) cfsListPatch(w http.ResponseWriter, body json.RawMessage, names cfsNames) ([]*cfsComponent, bool) {
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return nil, false
	}
	patches := make([]*cfsChange, len(list))
	for i, raw := range list {
		p, err := names.parse(raw)
		if err == nil && p.ID == nil {
			err = errors.New("'id' is a required property")
		}
		if err != nil {
			problem(w, http.StatusBadRequest, err.Error())
			return nil, false
		}
		patches[i] = p
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]*cfsComponent, len(patches))
	for i, p := range patches {
		if found[i] = m.cfs.byID[*p.ID]; !m.inCFS(found[i]) {
			problemf(w, http.StatusNotFound, "Component %s could not be found", *p.ID)
			return nil, false
		}
	}
	for i, p := range patches {
		m.cfsApply(found[i], p)
	}
	return found, true
}

func componentIDs(list []*cfsComponent) map[string][]string {
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.id
	}
	return map[string][]string{"component_ids": ids}
}

func (m *Machine) cfsPatchAll(w http.ResponseWriter, r *http.Request) {
	if found, ok := m.cfsBulkPatch(w, r, cfsV3, "config_name"); ok {
		about(w, len(found))
		writeJSON(w, http.StatusOK, componentIDs(found))
	}
}

// cfsPutAll replaces or creates components.
func (m *Machine) cfsPutAll(w http.ResponseWriter, r *http.Request) {
	var list []json.RawMessage
	if err := decode(r, &list); err != nil {
		problemf(w, http.StatusBadRequest, "Request body is not valid JSON: %s", err)
		return
	}
	patches := make([]*cfsChange, len(list))
	for i, raw := range list {
		p, err := cfsV3.parse(raw)
		if err == nil && (p.ID == nil || *p.ID == "") {
			err = errors.New("'id' is a required property")
		}
		if err != nil {
			problem(w, http.StatusBadRequest, err.Error())
			return
		}
		patches[i] = p
	}
	about(w, len(patches))
	m.mu.Lock()
	found := make([]*cfsComponent, len(patches))
	for i, p := range patches {
		found[i] = m.cfsReplace(*p.ID, p)
	}
	m.mu.Unlock()
	writeJSON(w, http.StatusOK, componentIDs(found))
}

// cfsReplace makes a component as new, with what the change says. m.mu is held.
func (m *Machine) cfsReplace(id string, p *cfsChange) *cfsComponent {
	c := m.cfs.byID[id]
	if c == nil {
		c = &cfsComponent{id: id, n: m.byXname[id]}
		m.cfs.byID[id] = c
		i, _ := slices.BinarySearchFunc(m.cfs.list, id, func(c *cfsComponent, id string) int { return strings.Compare(c.id, id) })
		m.cfs.list = slices.Insert(m.cfs.list, i, c)
	}
	c.config, c.errorCount, c.retries, c.enabled, c.tags, c.state = "", 0, nil, true, nil, nil
	m.cfsApply(c, p)
	return c
}

// withComponent finds the component of the path and holds the lock meanwhile.
func (m *Machine) withComponent(w http.ResponseWriter, r *http.Request, h func(*cfsComponent)) {
	about(w, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.cfs.byID[r.PathValue("id")]
	if !m.inCFS(c) {
		problemf(w, http.StatusNotFound, "Component %s could not be found", r.PathValue("id"))
		return
	}
	h(c)
}

func (m *Machine) cfsGet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	state, err := queryBool(q, "state_details")
	config, err2 := queryBool(q, "config_details")
	if err = errors.Join(err, err2); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	m.withComponent(w, r, func(c *cfsComponent) {
		writeJSON(w, http.StatusOK, m.cfsJSON(c, state != nil && *state, config != nil && *config))
	})
}

func (m *Machine) cfsPatch(w http.ResponseWriter, r *http.Request) {
	p, ok := cfsBody(w, r, cfsV3)
	if !ok {
		return
	}
	m.withComponent(w, r, func(c *cfsComponent) {
		m.cfsApply(c, p)
		writeJSON(w, http.StatusOK, m.cfsJSON(c, true, false))
	})
}

func (m *Machine) cfsPut(w http.ResponseWriter, r *http.Request) {
	about(w, 1)
	p, ok := cfsBody(w, r, cfsV3)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	writeJSON(w, http.StatusOK, m.cfsJSON(m.cfsReplace(r.PathValue("id"), p), true, false))
}

// cfsBody reads the patch of one component.
func cfsBody(w http.ResponseWriter, r *http.Request, names cfsNames) (*cfsChange, bool) {
	var raw json.RawMessage
	err := decode(r, &raw)
	var p *cfsChange
	if err == nil {
		p, err = names.parse(raw)
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return nil, false
	}
	return p, true
}

// cfsBooted is the PATCH that a booting node sends for itself; it is false when
// CFS does not know the node. m.mu is held.
func (m *Machine) cfsBooted(n *node) bool {
	c := m.cfs.byID[n.spec.Xname]
	if !m.inCFS(c) {
		return false
	}
	m.cfsApply(c, &cfsChange{State: new([]cfsLayer{}), Enabled: yes})
	return true
}

func (m *Machine) cfsConfigs(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	list := slices.SortedFunc(maps.Values(m.cfs.configs), func(a, b *cfsConfig) int { return cmp.Compare(a.Name, b.Name) })
	m.mu.Unlock()
	about(w, len(list))
	writeJSON(w, http.StatusOK, map[string]any{"configurations": list, "next": nil})
}

func (m *Machine) cfsConfigGet(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	config := m.cfs.configs[r.PathValue("name")]
	m.mu.Unlock()
	if config == nil {
		problemf(w, http.StatusNotFound, "Configuration %s could not be found", r.PathValue("name"))
		return
	}
	writeJSON(w, http.StatusOK, config)
}

// cfsConfigPut creates or replaces a configuration; components that have it, with
// other commits, are pending again.
func (m *Machine) cfsConfigPut(w http.ResponseWriter, r *http.Request) {
	var body struct{ Layers []cfsConfigLayer }
	name := r.PathValue("name")
	if err := decode(r, &body); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if len(name) > maxConfigName || body.Layers == nil {
		problemf(w, http.StatusBadRequest, "a configuration has a name of at most %d characters and layers", maxConfigName)
		return
	}
	for i := range body.Layers {
		l := &body.Layers[i]
		if l.CloneURL == "" {
			problem(w, http.StatusBadRequest, "layers: 'clone_url' is a required property")
			return
		}
		if l.Commit == "" && l.Branch != "" { // CFS resolves a branch once, here
			l.Commit = fmt.Sprintf("%040x", mix(uint64(len(l.Branch))^uint64(time.Now().UnixNano())))
		}
	}
	config := &cfsConfig{Name: name, LastUpdated: cfsTime(), Layers: body.Layers}
	m.mu.Lock()
	m.cfs.configs[name] = config
	m.reconsiderAll(name)
	m.mu.Unlock()
	writeJSON(w, http.StatusOK, config)
}

func (m *Machine) cfsConfigDelete(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfs.configs[name] == nil {
		problemf(w, http.StatusNotFound, "Configuration %s could not be found", name)
		return
	}
	for _, c := range m.cfs.list {
		if c.config == name {
			problemf(w, http.StatusBadRequest, "Configuration %s is referenced by the desired state of some components", name)
			return
		}
	}
	delete(m.cfs.configs, name)
	w.WriteHeader(http.StatusNoContent)
}

func (m *Machine) cfsOptions(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	options := maps.Clone(m.cfs.options)
	m.mu.Unlock()
	writeJSON(w, http.StatusOK, options)
}

func (m *Machine) cfsOptionsPatch(w http.ResponseWriter, r *http.Request) {
	var patch map[string]any
	if err := decode(r, &patch); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, v := range patch {
		old, ok := m.cfs.options[name]
		if !ok || fmt.Sprintf("%T", old) != fmt.Sprintf("%T", v) {
			problemf(w, http.StatusBadRequest, "option '%s' is unknown or of another type", name)
			return
		}
		if number, isNumber := v.(float64); isNumber && (number != float64(int(number)) || number < 1 && name != "default_batcher_retry_policy" && name != "batch_window") {
			problemf(w, http.StatusBadRequest, "option '%s' is out of range", name)
			return
		}
	}
	maps.Copy(m.cfs.options, patch)
	for _, c := range m.cfs.list {
		m.reconsider(c)
	}
	writeJSON(w, http.StatusOK, maps.Clone(m.cfs.options))
}
