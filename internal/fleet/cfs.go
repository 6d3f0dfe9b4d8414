package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cfs is the Configuration Framework Service. Its components are the nodes, and
// whatever else it was told about.
type cfs struct {
	list      []*node          // components, ordered by id
	strangers map[string]*node // those that are no nodes
	configs   map[string]*cfsConfig
	options   map[string]any
	groups    map[string]*cfsGroup // what the batcher has to do, by configuration
	sessions  []*cfsSession        // latest, in the order of their start
	seq       int
	// sessionTime is how long every session takes; 0 = drawn.
	sessionTime time.Duration
}

// cfsComponent is what CFS keeps about a node.
type cfsComponent struct {
	given      *cfsAssignment // never nil
	layers     *[]cfsLayer    // applied; nil for none. Shared, never changed in place
	errorCount int32
	enabled    bool
	queued     bool // the batcher has it in a group
	running    bool // in a session
}

// cfsAssignment is what a request gave to components. All of them share it, and it
// never changes.
type cfsAssignment struct {
	config  string
	retries *int
	tags    map[string]string
}

var nothingGiven cfsAssignment

func newCFSComponent() cfsComponent { return cfsComponent{given: &nothingGiven, enabled: true} }

// applied are the layers that sessions applied to the component, or tried to.
func (c *cfsComponent) applied() []cfsLayer {
	if c.layers == nil {
		return nil
	}
	return *c.layers
}

// cfsComponent finds a component; nil when CFS has none of that id. m.mu is held.
func (m *Machine) cfsComponent(id string) *node {
	if n := m.byXname[id]; n != nil {
		return n
	}
	return m.cfs.strangers[id]
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

func newCFS(nodes []node, made string) cfs {
	c := cfs{
		list: make([]*node, len(nodes)), strangers: map[string]*node{},
		configs: map[string]*cfsConfig{}, options: cfsDefaults(), groups: map[string]*cfsGroup{},
	}
	for i := range nodes {
		c.list[i] = &nodes[i]
	}
	slices.SortFunc(c.list, func(a, b *node) int { return strings.Compare(a.xname, b.xname) })
	for _, name := range seedConfigurations {
		c.configs[name] = &cfsConfig{Name: name, LastUpdated: made, Layers: []cfsConfigLayer{
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

// cfsTime is now as CFS writes it. m.mu is held.
func (m *Machine) cfsTime() string { return m.serviceTime("cfs").Format("2006-01-02T15:04:05Z") }

// retryPolicy is how many failures a component gets; negative means any number.
func (m *Machine) retryPolicy(n *node) int {
	if retries := n.cfs.given.retries; retries != nil {
		return *retries
	}
	return m.cfs.option("default_batcher_retry_policy")
}

// cfsStatus computes configuration_status, as CFS does on every read: the worst
// layer decides. m.mu is held.
func (m *Machine) cfsStatus(n *node) string {
	if f := m.has(n, "cfs_status_override"); f != nil {
		return f.Value
	}
	applied := n.cfs.applied()
	config := m.cfs.configs[n.cfs.given.config]
	if n.cfs.given.config == "" || config == nil {
		if len(applied) == 0 {
			return cfsUnconfigured
		}
		return cfsConfigured
	}
	policy := m.retryPolicy(n)
	exhausted := policy >= 0 && int(n.cfs.errorCount) >= policy
	worst := slices.Index(cfsStatuses, cfsConfigured)
	for _, layer := range config.Layers {
		status := cfsPending
		if layer.Commit == "" || layer.CloneURL == "" || layer.Playbook == "" {
			status = cfsUnconfigured
		}
		for _, s := range applied {
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

// inCFS reports whether CFS knows the component, which may be nil. m.mu is held.
func (m *Machine) inCFS(n *node) bool { return n != nil && m.has(n, "cfs_missing") == nil }

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
func (m *Machine) cfsJSON(n *node, stateDetails, configDetails bool) cfsComponentJSON {
	j := cfsComponentJSON{
		ID: n.xname, Config: n.cfs.given.config, ErrorCount: int(n.cfs.errorCount), RetryPolicy: n.cfs.given.retries, Enabled: n.cfs.enabled,
		Status: m.cfsStatus(n), Tags: n.cfs.given.tags,
	}
	if j.Tags == nil {
		j.Tags = noTags
	}
	if stateDetails {
		state := append([]cfsLayer{}, n.cfs.applied()...)
		j.State = &state
	}
	if configDetails {
		desired := []cfsLayer{}
		if config := m.cfs.configs[n.cfs.given.config]; config != nil {
			for _, l := range config.Layers {
				desired = append(desired, cfsLayer{CloneURL: l.CloneURL, Playbook: l.Playbook, Commit: l.Commit})
			}
		}
		j.DesiredState = &desired
	}
	if links, _ := m.cfs.options["include_ara_links"].(bool); links {
		j.Logs = fmt.Sprintf("%v/hosts?name=%s", m.cfs.options["ara_ui_url"], n.xname)
	}
	return j
}

// cfsBooted is the PATCH that a booting node sends for itself; it is false when
// CFS does not know the node. m.mu is held.
func (m *Machine) cfsBooted(n *node) bool {
	if !m.inCFS(n) {
		return false
	}
	m.cfsApply(n, &cfsChange{State: new([]cfsLayer{}), Enabled: yes})
	return true
}
