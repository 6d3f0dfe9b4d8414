package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
)

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
			l.Commit = fmt.Sprintf("%040x", mix(uint64(len(l.Branch))^uint64(m.now())))
		}
	}
	m.mu.Lock()
	config := &cfsConfig{Name: name, LastUpdated: m.cfsTime(), Layers: body.Layers}
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
		if c.cfs.given.config == name {
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

// leastOption is the smallest value of a numeric option.
func leastOption(name string) float64 {
	switch name {
	case "default_batcher_retry_policy":
		return -1 // any number of tries
	case "batch_window":
		return 0
	}
	return 1
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
		if number, isNumber := v.(float64); isNumber && (number != math.Trunc(number) || number > math.MaxInt32 || number < leastOption(name)) {
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
