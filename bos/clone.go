package bos

import (
	"maps"
	"slices"
)

// Components are copied by the ten thousand, so each part of one is a single allocation, with the values that it points
// to behind it.

// put copies what p points to into slot, and returns where that is now; nil for nil.
func put[T any](slot, p *T) *T {
	if p == nil {
		return nil
	}
	*slot = *p
	return slot
}

// Clone returns a copy that shares nothing with the component.
func (c Component) Clone() Component {
	c.ActualState = c.ActualState.clone()
	c.DesiredState = c.DesiredState.clone()
	c.StagedState = c.StagedState.clone()
	c.LastAction = c.LastAction.clone()
	c.EventStats = c.EventStats.clone()
	c.Status = c.Status.clone()
	if c.Enabled != nil || c.Error != nil || c.Session != nil || c.RetryPolicy != nil {
		v := new(struct {
			enabled        bool
			error, session string
			retryPolicy    int
		})
		c.Enabled, c.Error, c.Session, c.RetryPolicy = put(&v.enabled, c.Enabled), put(&v.error, c.Error), put(&v.session, c.Session), put(&v.retryPolicy, c.RetryPolicy)
	}
	c.Extra = c.Extra.Clone()
	return c
}

// Clone returns a copy that shares nothing with the patch.
func (p ComponentPatch) Clone() ComponentPatch { return ComponentPatch(Component(p).Clone()) }

func (f *ArtifactFields) clone() *ArtifactFields {
	if f == nil {
		return nil
	}
	n := new(struct {
		ArtifactFields
		kernel, parameters, initrd string
		timestamp                  Timestamp
	})
	n.ArtifactFields = ArtifactFields{
		Kernel: put(&n.kernel, f.Kernel), KernelParameters: put(&n.parameters, f.KernelParameters), Initrd: put(&n.initrd, f.Initrd),
		Timestamp: put(&n.timestamp, f.Timestamp), Extra: f.Extra.Clone(),
	}
	return &n.ArtifactFields
}

func (s *ActualState) clone() *ActualState {
	if s == nil {
		return nil
	}
	n := new(struct {
		ActualState
		token   BSSToken
		updated Timestamp
	})
	n.ActualState = ActualState{
		BootArtifacts: s.BootArtifacts.clone(), BSSToken: put(&n.token, s.BSSToken), LastUpdated: put(&n.updated, s.LastUpdated), Extra: s.Extra.Clone(),
	}
	return &n.ActualState
}

func (s *DesiredState) clone() *DesiredState {
	if s == nil {
		return nil
	}
	n := new(struct {
		DesiredState
		configuration string
		token         BSSToken
		updated       Timestamp
	})
	n.DesiredState = DesiredState{
		BootArtifacts: s.BootArtifacts.clone(), Configuration: put(&n.configuration, s.Configuration), BSSToken: put(&n.token, s.BSSToken),
		LastUpdated: put(&n.updated, s.LastUpdated), Extra: s.Extra.Clone(),
	}
	return &n.DesiredState
}

func (s *StagedState) clone() *StagedState {
	if s == nil {
		return nil
	}
	n := new(struct {
		StagedState
		configuration, session string
		updated                Timestamp
	})
	n.StagedState = StagedState{
		BootArtifacts: s.BootArtifacts.clone(), Configuration: put(&n.configuration, s.Configuration), Session: put(&n.session, s.Session),
		LastUpdated: put(&n.updated, s.LastUpdated), Extra: s.Extra.Clone(),
	}
	return &n.StagedState
}

func (a *LastAction) clone() *LastAction {
	if a == nil {
		return nil
	}
	n := new(struct {
		LastAction
		action  Action
		failed  bool
		updated Timestamp
	})
	n.LastAction = LastAction{
		Action: put(&n.action, a.Action), Failed: put(&n.failed, a.Failed), LastUpdated: put(&n.updated, a.LastUpdated), Extra: a.Extra.Clone(),
	}
	return &n.LastAction
}

func (s *EventStats) clone() *EventStats {
	if s == nil {
		return nil
	}
	n := new(struct {
		EventStats
		on, graceful, forceful int
	})
	n.EventStats = EventStats{
		PowerOnAttempts:          put(&n.on, s.PowerOnAttempts),
		PowerOffGracefulAttempts: put(&n.graceful, s.PowerOffGracefulAttempts),
		PowerOffForcefulAttempts: put(&n.forceful, s.PowerOffForcefulAttempts),
		Extra:                    s.Extra.Clone(),
	}
	return &n.EventStats
}

func (s *ComponentStatus) clone() *ComponentStatus {
	if s == nil {
		return nil
	}
	n := new(struct {
		ComponentStatus
		phase            Phase
		status, override Status
	})
	n.ComponentStatus = ComponentStatus{
		Phase: put(&n.phase, s.Phase), Status: put(&n.status, s.Status), StatusOverride: put(&n.override, s.StatusOverride), Extra: s.Extra.Clone(),
	}
	return &n.ComponentStatus
}

func (p *CFSParameters) clone() *CFSParameters {
	if p == nil {
		return nil
	}
	return &CFSParameters{Configuration: clonePtr(p.Configuration), Extra: p.Extra.Clone()}
}

// Clone returns a copy that shares nothing with the boot set.
func (b BootSet) Clone() BootSet {
	b.Name, b.ETag, b.KernelParameters, b.Arch = clonePtr(b.Name), clonePtr(b.ETag), clonePtr(b.KernelParameters), clonePtr(b.Arch)
	b.CFS = b.CFS.clone()
	b.NodeList, b.NodeRolesGroups, b.NodeGroups = slices.Clone(b.NodeList), slices.Clone(b.NodeRolesGroups), slices.Clone(b.NodeGroups)
	b.RootfsProvider, b.RootfsProviderPassthrough = clonePtr(b.RootfsProvider), clonePtr(b.RootfsProviderPassthrough)
	b.Extra = b.Extra.Clone()
	return b
}

// Clone returns a copy that shares nothing with the template.
func (t SessionTemplate) Clone() SessionTemplate {
	t.Description, t.EnableCFS, t.CFS = clonePtr(t.Description), clonePtr(t.EnableCFS), t.CFS.clone()
	t.BootSets = maps.Clone(t.BootSets)
	for name, b := range t.BootSets {
		t.BootSets[name] = b.Clone()
	}
	t.Extra = t.Extra.Clone()
	return t
}

// Clone returns a copy that shares nothing with the session.
func (s Session) Clone() Session {
	if st := s.Status; st != nil {
		next := *st
		next.Extra = st.Extra.Clone()
		s.Status = &next
	}
	s.Extra = s.Extra.Clone()
	return s
}
