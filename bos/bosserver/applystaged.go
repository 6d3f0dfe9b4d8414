package bosserver

import (
	"fmt"

	"github.com/bootorch/bosgo/bos"
)

// stageOutcome is what became of one component.
type stageOutcome int

const (
	stageIgnored stageOutcome = iota
	stageApplied
	stageFailed
)

// applyStage makes the staged state of the component its desired state, the way the session's operation asks for.
// session is nil when it no longer exists. A stage that cannot be applied disables the component and leaves the reason
// in its error. Source: BOS v2 API, applystaged.
func applyStage(c *bos.Component, session *bos.Session, tenant string, clearStage bool, now bos.Timestamp, resolve resolver) stageOutcome {
	name := c.StagedSession()
	if name == "" {
		return stageIgnored
	}
	outcome := stageApplied
	if reason := stageProblem(c.StagedState, session); reason != "" {
		outcome = stageFailed
		c.Error = new(fmt.Sprintf("%s (session: %s, tenant: %s)", reason, name, tenant))
		c.Enabled = new(false)
		if c.Override() == bos.StatusOnHold {
			c.Status.StatusOverride = new(bos.Status("")) // nobody would ever lift it: the component is disabled
		}
	} else {
		desired := &bos.DesiredState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(bos.Value(c.StagedState.Configuration))}
		if staged := c.Clone().StagedState.BootArtifacts; staged != nil {
			desired.BootArtifacts = staged
		}
		c.DesiredState = desired
		if session.Operation == bos.OperationReboot {
			c.ActualState = &bos.ActualState{BootArtifacts: bos.BootArtifacts{}.Fields(), BSSToken: new(bos.BSSToken(""))}
		}
		c.Enabled = new(true)
	}
	c.Session = new(name)
	ensure(&c.LastAction).Action = new(bos.ActionApplyStaged)
	if clearStage {
		c.StagedState = &bos.StagedState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new("")}
	}
	if c.Status != nil {
		c.Status.Status = nil
	}
	autoFields(c, now, resolve)
	return outcome
}

// stageProblem returns why the stage cannot be applied, empty when it can.
func stageProblem(staged *bos.StagedState, session *bos.Session) string {
	if session == nil {
		return "Staged session no longer exists"
	}
	switch session.Operation {
	case bos.OperationShutdown:
		if !staged.BootArtifacts.Artifacts().Empty() {
			return "Staged operation is shutdown but boot artifacts have been specified"
		}
	case bos.OperationBoot, bos.OperationReboot:
		if anyEmpty(staged.BootArtifacts) {
			return fmt.Sprintf("Staged operation is %s but some boot artifacts have not been specified", session.Operation)
		}
	default:
		return fmt.Sprintf("Invalid operation (%s) in staged session", session.Operation)
	}
	return ""
}

// anyEmpty reports whether one of the artifacts that are present is empty. No artifacts at all pass, as in the reference.
func anyEmpty(a *bos.ArtifactFields) bool {
	if a == nil {
		return false
	}
	for _, v := range []*string{a.Kernel, a.KernelParameters, a.Initrd} {
		if v != nil && *v == "" {
			return true
		}
	}
	return false
}
