package operatortest

import (
	"encoding/json"

	"github.com/bootorch/bosgo/bos"
)

// PatchJSON returns what a patch writes, as JSON on one line with the members in the order of the record.
func PatchJSON(g bos.GuardedPatch) string {
	g.Patch.ID = g.ID
	data, err := json.Marshal(g.Patch)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Component returns a component that is enabled, owned by session "s1" and to boot the artifacts, after the changes.
func Component(id bos.ComponentID, a bos.BootArtifacts, change ...func(*bos.Component)) bos.Component {
	c := bos.Component{
		ID: id, Enabled: new(true), Session: new("s1"), Error: new(""),
		DesiredState: &bos.DesiredState{BootArtifacts: a.Fields(), Configuration: new(""), BSSToken: new(bos.BSSToken(""))},
		ActualState:  &bos.ActualState{BootArtifacts: bos.BootArtifacts{}.Fields(), BSSToken: new(bos.BSSToken(""))},
		StagedState:  &bos.StagedState{},
		LastAction:   &bos.LastAction{Action: new(bos.ActionSessionSetup), Failed: new(false)},
		EventStats:   bos.ZeroEventStats(),
		Status:       &bos.ComponentStatus{Phase: new(bos.PhaseNone), StatusOverride: new(bos.Status(""))},
	}
	for _, fn := range change {
		fn(&c)
	}
	return c
}
