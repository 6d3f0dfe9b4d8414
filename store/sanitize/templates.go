package sanitize

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

func runes(s string) int { return utf8.RuneCountInString(s) }

// The limits of V2SessionTemplate and V2BootSet. Source: BOS v2 API.
const (
	maxDescription   = 1023
	maxConfiguration = 127
	maxBootSets      = 127
	maxName          = 127
)

// Templates returns what to do about session templates: members that the API does not know are dropped, empty ones
// removed and defaults filled in; a template with a name that is not legal is renamed; one that cannot be repaired is
// deleted.
func Templates(all Records) []Action {
	d := &decider{bucket: store.BucketTemplates}
	taken := map[string]bool{}
	for key := range all {
		taken[key] = true
	}
	d.each(all, func(key string, raw []byte, record map[string]any) {
		fixed, problem := repair(record)
		if problem != "" {
			d.drop(key, raw, problem)
			return
		}
		name := fixed["name"].(string)
		tenant, _ := tenantOf(fixed)
		reason := "it has members or values that the API does not accept"
		if !bos.ValidName(name) {
			newName := rename(name, func(name string) bool { return taken[bos.TenantKey{Tenant: tenant, Name: name}.DatabaseKey()] })
			if newName == "" {
				d.drop(key, raw, fmt.Sprintf("its name %q is not legal, and no other is left", name))
				return
			}
			reason = fmt.Sprintf("its name %q is not legal; it becomes %q", name, newName)
			describeRename(fixed, name)
			fixed["name"], name = newName, newName
		}
		newKey := bos.TenantKey{Tenant: tenant, Name: name}.DatabaseKey()
		switch {
		case newKey != key && taken[newKey]:
			d.drop(key, raw, fmt.Sprintf("its key is not that of its name %q and tenant %q, which is taken", name, tenant))
			return
		case newKey != key && name == record["name"]:
			reason = fmt.Sprintf("its key is not that of its name %q and tenant %q", name, tenant)
		}
		if problem := invalid(fixed); problem != "" {
			d.drop(key, raw, problem)
			return
		}
		if newKey == key && reflect.DeepEqual(fixed, record) {
			return
		}
		data, err := json.Marshal(fixed)
		if err != nil {
			d.drop(key, raw, "it cannot be written again")
			return
		}
		taken[newKey] = true
		d.actions = append(d.actions, Action{Bucket: store.BucketTemplates, Key: key, Old: raw, NewKey: newKey, New: data, Reason: reason})
	})
	return d.actions
}

// repair returns a copy without what the API does not know, or why there is none.
func repair(record map[string]any) (fixed map[string]any, problem string) {
	if name, ok := record["name"].(string); !ok || name == "" {
		return nil, "it has no name"
	}
	if _, ok := tenantOf(record); !ok {
		return nil, "its tenant is not legal"
	}
	sets, ok := record["boot_sets"].(map[string]any)
	if !ok || len(sets) == 0 {
		return nil, "it has no boot sets"
	}
	fixed = only(record, "name", "tenant", "description", "enable_cfs", "cfs", "boot_sets")
	fixedSets := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		set, ok := sets[name].(map[string]any)
		if !ok {
			return nil, fmt.Sprintf("its boot set %q is not an object", name)
		}
		fixedSet, problem := repairBootSet(set)
		if problem != "" {
			return nil, fmt.Sprintf("its boot set %q %s", name, problem)
		}
		fixedSets[name] = fixedSet
	}
	fixed["boot_sets"] = fixedSets
	switch text, isString := fixed["description"].(string); {
	case !isString || text == "":
		delete(fixed, "description")
	case runes(text) > maxDescription:
		fixed["description"] = cut(text, maxDescription)
	}
	if !repairCFS(fixed) {
		return nil, "its cfs is not an object"
	}
	return fixed, ""
}

func repairBootSet(set map[string]any) (fixed map[string]any, problem string) {
	if path, ok := set["path"].(string); !ok || path == "" || runes(path) > 4095 {
		return nil, "has no path of 1 to 4095 characters"
	}
	fixed = only(set, "path", "etag", "cfs", "kernel_parameters", "node_list", "node_roles_groups", "node_groups", "arch", "rootfs_provider", "rootfs_provider_passthrough")
	if !repairCFS(fixed) {
		return nil, "has a cfs that is not an object"
	}
	for name, value := range fixed {
		if value == nil {
			delete(fixed, name)
		}
	}
	fixed["type"] = "s3"
	if _, ok := fixed["arch"]; !ok {
		fixed["arch"] = string(bos.ArchX86)
	}
	if fixed["rootfs_provider"] == "" {
		delete(fixed, "rootfs_provider")
	}
	nodes := false
	for _, name := range []string{"node_list", "node_roles_groups", "node_groups"} {
		value, ok := fixed[name]
		if list, isList := value.([]any); isList && len(list) == 0 || value == "" {
			delete(fixed, name)
			ok = false
		}
		nodes = nodes || ok
	}
	if !nodes {
		return nil, "names no nodes, groups or roles"
	}
	return fixed, ""
}

// repairCFS removes an empty cfs from m, and what cfs does not have. It reports false for a cfs that is no object.
func repairCFS(m map[string]any) bool {
	switch cfs := m["cfs"].(type) {
	case nil:
		delete(m, "cfs")
	case map[string]any:
		fixed := only(cfs, "configuration")
		if c := fixed["configuration"]; c == nil || c == "" {
			delete(m, "cfs")
		} else {
			m["cfs"] = fixed
		}
	default:
		return false
	}
	return true
}

// only returns a copy with the named members.
func only(m map[string]any, names ...string) map[string]any {
	c := map[string]any{}
	for _, name := range names {
		if value, ok := m[name]; ok {
			c[name] = value
		}
	}
	return c
}

func cut(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}
	return text
}

const alphanumerics = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// rename returns a legal name made from one that is not, or "" if there is none that is free.
func rename(old string, taken func(string) bool) string {
	legal := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '_'
		case r < utf8.RuneSelf && (strings.ContainsRune(alphanumerics, r) || strings.ContainsRune("-._", r)):
			return r
		}
		return -1
	}, old)
	if strings.Trim(legal, "_") == "" && !strings.Contains(old, "_") {
		return "" // no character of it was legal
	}
	base := cut("auto_renamed_"+legal, maxName)
	if bos.ValidName(base) && !taken(base) {
		return base
	}
	try := func(suffix string) bool { return !taken(cut(base, maxName-1-len(suffix)) + "_" + suffix) }
	for i := range alphanumerics {
		if suffix := alphanumerics[i : i+1]; try(suffix) {
			return cut(base, maxName-2) + "_" + suffix
		}
	}
	for i := range alphanumerics {
		for j := i; j < len(alphanumerics); j++ {
			if suffix := alphanumerics[i:i+1] + alphanumerics[j:j+1]; try(suffix) {
				return cut(base, maxName-3) + "_" + suffix
			}
		}
	}
	return ""
}

// describeRename notes the former name in the description, as far as there is room.
func describeRename(template map[string]any, old string) {
	text, _ := template["description"].(string)
	for _, note := range []string{"Former name: " + old, "Renamed; former name too long for this text", "Renamed"} {
		long := note
		if text != "" {
			long = text + "; " + note
		}
		if runes(long) <= maxDescription {
			template["description"] = long
			return
		}
	}
}

// invalid returns why the API would not accept a template, empty if it would.
func invalid(template map[string]any) string {
	if enable, ok := template["enable_cfs"]; ok {
		if _, isBool := enable.(bool); !isBool {
			return "its enable_cfs is neither true nor false"
		}
	}
	if problem := invalidCFS(template); problem != "" {
		return problem
	}
	sets := template["boot_sets"].(map[string]any)
	if len(sets) > maxBootSets {
		return "it has more than 127 boot sets"
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		set := sets[name].(map[string]any)
		problem := invalidCFS(set)
		switch {
		case !bos.ValidName(name):
			problem = "has a name that is not legal"
		case problem != "":
		default:
			problem = invalidBootSet(set)
		}
		if problem != "" {
			return fmt.Sprintf("its boot set %q %s", name, problem)
		}
	}
	return ""
}

func invalidCFS(m map[string]any) string {
	cfs, ok := m["cfs"].(map[string]any)
	if !ok {
		return ""
	}
	if c, isString := cfs["configuration"].(string); !isString || runes(c) > maxConfiguration {
		return "has a configuration that is no text of up to 127 characters"
	}
	return ""
}

func invalidBootSet(set map[string]any) string {
	for name, limit := range map[string]int{"etag": 65536, "kernel_parameters": 4096, "rootfs_provider": 511, "rootfs_provider_passthrough": 4096} {
		if value, ok := set[name]; ok {
			if text, isString := value.(string); !isString || runes(text) > limit {
				return fmt.Sprintf("has a %s that is no text of up to %d characters", name, limit)
			}
		}
	}
	for name, limit := range map[string]int{"node_list": 65535, "node_roles_groups": 1023, "node_groups": 4095} {
		if value, ok := set[name]; ok && !isNameList(value, limit) {
			return fmt.Sprintf("has a %s that is no list of up to %d names", name, limit)
		}
	}
	switch arch, _ := set["arch"].(string); bos.Arch(arch) {
	case bos.ArchX86, bos.ArchARM, bos.ArchOther, bos.ArchUnknown:
		return ""
	}
	return "has an unknown arch"
}

func isNameList(value any, limit int) bool {
	list, ok := value.([]any)
	return ok && len(list) <= limit && !slices.ContainsFunc(list, func(item any) bool {
		name, isString := item.(string)
		return !isString || name == "" || runes(name) > 127
	})
}
