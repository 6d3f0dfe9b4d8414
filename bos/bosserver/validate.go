package bosserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bootorch/bosgo/bos"
)

// validTemplate is what validation says of a template that has nothing wrong with it.
const validTemplate = "Valid"

// validateTemplate says whether a session of the operation could be set up with the template. An error is the first one
// there is; otherwise the text holds all warnings. Source: BOS v2 API, boot set validation.
func validateTemplate(t *bos.SessionTemplate, op bos.Operation, rejectNIDs bool, images map[imageKey]imageReport) finding {
	if len(t.BootSets) == 0 {
		return failure("Session template '%s' requires at least 1 boot set.", t.Name)
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(t.BootSets)) {
		b := t.BootSets[name]
		prefix := fmt.Sprintf("Session template: '%s' boot set: '%s': ", t.Name, name)
		for _, f := range bootSetFindings(&b, op, rejectNIDs, images) {
			switch f.level {
			case levelError:
				return failure("%s%s", prefix, f.text)
			case levelWarning:
				warnings = append(warnings, prefix+f.text)
			}
		}
	}
	if len(warnings) > 0 {
		return warning("%s", strings.Join(warnings, "; "))
	}
	return finding{text: validTemplate}
}

// bootSetFindings returns what there is to say, in the order of the checks.
func bootSetFindings(b *bos.BootSet, op bos.Operation, rejectNIDs bool, images map[imageKey]imageReport) []finding {
	var all []finding
	if problem := specifierProblem(b); problem != "" {
		all = append(all, failure("%s", problem))
	}
	if b.RootfsProvider != nil && *b.RootfsProvider != "sbps" {
		all = append(all, warning("Unsupported rootfs_provider ('%s') will cause boot/reboot sessions to fail", *b.RootfsProvider))
	}
	if hasNID(b) {
		level := levelWarning
		if rejectNIDs {
			level = levelError
		}
		all = append(all, finding{level, "Has NID in 'node_list'"})
	}
	if op != bos.OperationShutdown {
		report := images[imageOf(b)]
		all = append(all, report.artifacts, report.ims)
	}
	return all
}
