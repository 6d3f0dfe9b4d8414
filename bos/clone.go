package bos

import (
	"maps"
	"slices"
)

// Clone returns a copy that shares nothing with the component.
func (c Component) Clone() Component {
	c.ActualState = c.ActualState.clone()
	c.DesiredState = c.DesiredState.clone()
	c.StagedState = c.StagedState.clone()
	if a := c.LastAction; a != nil {
		c.LastAction = &LastAction{Action: clonePtr(a.Action), Failed: clonePtr(a.Failed), LastUpdated: clonePtr(a.LastUpdated), Extra: a.Extra.Clone()}
	}
	if s := c.EventStats; s != nil {
		c.EventStats = &EventStats{
			PowerOnAttempts:          clonePtr(s.PowerOnAttempts),
			PowerOffGracefulAttempts: clonePtr(s.PowerOffGracefulAttempts),
			PowerOffForcefulAttempts: clonePtr(s.PowerOffForcefulAttempts),
			Extra:                    s.Extra.Clone(),
		}
	}
	if s := c.Status; s != nil {
		c.Status = &ComponentStatus{Phase: clonePtr(s.Phase), Status: clonePtr(s.Status), StatusOverride: clonePtr(s.StatusOverride), Extra: s.Extra.Clone()}
	}
	c.Enabled, c.Error, c.Session, c.RetryPolicy = clonePtr(c.Enabled), clonePtr(c.Error), clonePtr(c.Session), clonePtr(c.RetryPolicy)
	c.Extra = c.Extra.Clone()
	return c
}

// Clone returns a copy that shares nothing with the patch.
func (p ComponentPatch) Clone() ComponentPatch { return ComponentPatch(Component(p).Clone()) }

func (f *ArtifactFields) clone() *ArtifactFields {
	if f == nil {
		return nil
	}
	return &ArtifactFields{
		Kernel: clonePtr(f.Kernel), KernelParameters: clonePtr(f.KernelParameters), Initrd: clonePtr(f.Initrd),
		Timestamp: clonePtr(f.Timestamp), Extra: f.Extra.Clone(),
	}
}

func (s *ActualState) clone() *ActualState {
	if s == nil {
		return nil
	}
	return &ActualState{BootArtifacts: s.BootArtifacts.clone(), BSSToken: clonePtr(s.BSSToken), LastUpdated: clonePtr(s.LastUpdated), Extra: s.Extra.Clone()}
}

func (s *DesiredState) clone() *DesiredState {
	if s == nil {
		return nil
	}
	return &DesiredState{
		BootArtifacts: s.BootArtifacts.clone(), Configuration: clonePtr(s.Configuration), BSSToken: clonePtr(s.BSSToken),
		LastUpdated: clonePtr(s.LastUpdated), Extra: s.Extra.Clone(),
	}
}

func (s *StagedState) clone() *StagedState {
	if s == nil {
		return nil
	}
	return &StagedState{
		BootArtifacts: s.BootArtifacts.clone(), Configuration: clonePtr(s.Configuration), Session: clonePtr(s.Session),
		LastUpdated: clonePtr(s.LastUpdated), Extra: s.Extra.Clone(),
	}
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
