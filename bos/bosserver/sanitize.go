package bosserver

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

// The steps of writing a template are prepareBootSets, a look at the images, checkBootSets, checkTemplate.
// Source: BOS v2 API, session template sanitising.

// prepareBootSets names each boot set, gives it an architecture and removes an empty cfs.
func prepareBootSets(t *bos.SessionTemplate) error {
	for _, name := range slices.Sorted(maps.Keys(t.BootSets)) {
		b := t.BootSets[name]
		if b.Name != nil && *b.Name != name {
			return invalid("boot_sets key (%s) does not match 'name' field of corresponding boot set (%s)", name, *b.Name)
		}
		b.Name = new(name)
		if b.Arch == nil {
			b.Arch = new(bos.ArchX86)
		}
		b.CFS = cleanCFS(b.CFS)
		t.BootSets[name] = b
	}
	return nil
}

// cleanCFS returns nil for parameters without a configuration.
func cleanCFS(p *bos.CFSParameters) *bos.CFSParameters {
	if p == nil || bos.Value(p.Configuration) == "" {
		return nil
	}
	return p
}

// checkBootSets fails for a boot set that no session could use, and brings its nodes to their canonical spelling.
// notes are for the log.
func checkBootSets(t *bos.SessionTemplate, rejectNIDs bool, images map[imageKey]imageReport) (notes []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(t.BootSets)) {
		b := t.BootSets[name]
		report := images[imageOf(&b)]
		if report.artifacts.level != levelNone {
			notes = append(notes, fmt.Sprintf("Boot set %s: %s", name, report.artifacts.text))
		}
		switch report.ims.level {
		case levelError:
			return notes, invalid("%s", report.ims.text)
		case levelWarning:
			notes = append(notes, fmt.Sprintf("Boot set %s: %s", name, report.ims.text))
		}
		if problem := specifierProblem(&b); problem != "" {
			return notes, invalid("Boot set %s: %s", name, problem)
		}
		for i, node := range b.NodeList {
			b.NodeList[i] = bos.CanonicalXname(node)
		}
		if hasNID(&b) {
			if rejectNIDs {
				return notes, invalid("Boot set %s: Has NID in 'node_list'", name)
			}
			notes = append(notes, fmt.Sprintf("Boot set %s: Has NID in 'node_list'", name))
		}
		t.BootSets[name] = b
	}
	return notes, nil
}

// specifierFields are the members that say which nodes a boot set has.
const specifierFields = "{'node_groups', 'node_list', 'node_roles_groups'}"

// specifierProblem returns what is wrong with the choice of nodes, empty when there is one.
func specifierProblem(b *bos.BootSet) string {
	switch {
	case len(b.NodeList)+len(b.NodeRolesGroups)+len(b.NodeGroups) > 0:
		return ""
	case b.NodeList == nil && b.NodeRolesGroups == nil && b.NodeGroups == nil:
		return "No hardware specifier fields (" + specifierFields + ")"
	}
	return "No non-empty hardware specifier fields (" + specifierFields + ")"
}

func hasNID(b *bos.BootSet) bool { return slices.ContainsFunc(b.NodeList, bos.LooksLikeNID) }

// checkTemplate checks the whole record against the API's schema, with the name of each boot set in it, and then takes
// those names out: they are never stored.
func checkTemplate(t *bos.SessionTemplate) error {
	data, err := json.Marshal(t)
	if err != nil {
		return invalid("%v", err)
	}
	if err := schemaOf("V2SessionTemplate").checkRecord(data); err != nil {
		return err
	}
	for name, b := range t.BootSets {
		b.Name = nil
		t.BootSets[name] = b
	}
	return nil
}

// limitNIDs reports whether an item of a session limit looks like a NID.
func limitNIDs(limit string) bool {
	return slices.ContainsFunc(strings.Split(limit, ","), func(item string) bool {
		return strings.HasPrefix(strings.TrimLeft(item, " \t&!"), "nid")
	})
}
