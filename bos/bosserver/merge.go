package bosserver

import (
	"maps"

	"github.com/bootorch/bosgo/bos"
)

// mergeComponent writes the patch into the record: the states, the last action, the counters and the status member by
// member, boot artifacts inside the states one level deeper, everything else as a whole. Nothing is ever removed, apart
// from a computed status that another writer stored. The record shares nothing with the patch afterwards.
// Source: BOS v2 API, component PATCH merge.
func mergeComponent(c *bos.Component, patch *bos.ComponentPatch) {
	if bos.Value(patch.Enabled) && c.Enabled != nil && !*c.Enabled && c.EventStats != nil {
		zeroCounters(c.EventStats) // a re-enabled component gets its attempts back
	}
	p := patch.Clone()
	if s := p.ActualState; s != nil {
		dst := ensure(&c.ActualState)
		mergeArtifacts(&dst.BootArtifacts, s.BootArtifacts)
		replace(&dst.BSSToken, s.BSSToken)
		replace(&dst.LastUpdated, s.LastUpdated)
		mergeExtra(&dst.Extra, s.Extra)
	}
	if s := p.DesiredState; s != nil {
		dst := ensure(&c.DesiredState)
		mergeArtifacts(&dst.BootArtifacts, s.BootArtifacts)
		replace(&dst.Configuration, s.Configuration)
		replace(&dst.BSSToken, s.BSSToken)
		replace(&dst.LastUpdated, s.LastUpdated)
		mergeExtra(&dst.Extra, s.Extra)
	}
	if s := p.StagedState; s != nil {
		dst := ensure(&c.StagedState)
		mergeArtifacts(&dst.BootArtifacts, s.BootArtifacts)
		replace(&dst.Configuration, s.Configuration)
		replace(&dst.Session, s.Session)
		replace(&dst.LastUpdated, s.LastUpdated)
		mergeExtra(&dst.Extra, s.Extra)
	}
	if a := p.LastAction; a != nil {
		dst := ensure(&c.LastAction)
		replace(&dst.Action, a.Action)
		replace(&dst.Failed, a.Failed)
		replace(&dst.LastUpdated, a.LastUpdated)
		mergeExtra(&dst.Extra, a.Extra)
	}
	if s := p.EventStats; s != nil {
		dst := ensure(&c.EventStats)
		replace(&dst.PowerOnAttempts, s.PowerOnAttempts)
		replace(&dst.PowerOffGracefulAttempts, s.PowerOffGracefulAttempts)
		replace(&dst.PowerOffForcefulAttempts, s.PowerOffForcefulAttempts)
		mergeExtra(&dst.Extra, s.Extra)
	}
	if s := p.Status; s != nil {
		dst := ensure(&c.Status)
		replace(&dst.Phase, s.Phase)
		replace(&dst.StatusOverride, s.StatusOverride)
		mergeExtra(&dst.Extra, s.Extra)
	}
	if c.Status != nil {
		c.Status.Status = nil
	}
	replace(&c.Enabled, p.Enabled)
	replace(&c.Error, p.Error)
	replace(&c.Session, p.Session)
	replace(&c.RetryPolicy, p.RetryPolicy)
	mergeExtra(&c.Extra, p.Extra)
}

func mergeArtifacts(dst **bos.ArtifactFields, src *bos.ArtifactFields) {
	if src == nil {
		return
	}
	d := ensure(dst)
	replace(&d.Kernel, src.Kernel)
	replace(&d.KernelParameters, src.KernelParameters)
	replace(&d.Initrd, src.Initrd)
	replace(&d.Timestamp, src.Timestamp)
	mergeExtra(&d.Extra, src.Extra)
}

func mergeExtra(dst *bos.Extra, src bos.Extra) {
	if len(src) == 0 {
		return
	}
	if *dst == nil {
		*dst = bos.Extra{}
	}
	maps.Copy(*dst, src)
}

// ensure returns what p points to, which is made when it is absent.
func ensure[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// replace sets dst unless src is absent.
func replace[T any](dst **T, src *T) {
	if src != nil {
		*dst = src
	}
}

// zeroCounters sets the counters that are present to zero.
func zeroCounters(s *bos.EventStats) {
	for _, n := range []*int{s.PowerOnAttempts, s.PowerOffGracefulAttempts, s.PowerOffForcefulAttempts} {
		if n != nil {
			*n = 0
		}
	}
}

// mergeTemplate writes the patch into the template: boot sets by name and inside them member by member, cfs member by
// member, everything else as a whole. Source: BOS v2 API, session template PATCH merge.
func mergeTemplate(t *bos.SessionTemplate, patch *bos.TemplatePatch) {
	p := bos.SessionTemplate{Description: patch.Description, EnableCFS: patch.EnableCFS, CFS: patch.CFS, BootSets: patch.BootSets}.Clone()
	replace(&t.Description, p.Description)
	replace(&t.EnableCFS, p.EnableCFS)
	mergeCFS(&t.CFS, p.CFS)
	for name, src := range p.BootSets {
		dst, exists := t.BootSets[name]
		if !exists {
			dst = src
		} else {
			mergeBootSet(&dst, &src)
		}
		if t.BootSets == nil {
			t.BootSets = map[string]bos.BootSet{}
		}
		t.BootSets[name] = dst
	}
}

func mergeBootSet(dst, src *bos.BootSet) {
	dst.Path, dst.Type = src.Path, src.Type // required in each boot set of a patch
	replace(&dst.Name, src.Name)
	replace(&dst.ETag, src.ETag)
	mergeCFS(&dst.CFS, src.CFS)
	replace(&dst.KernelParameters, src.KernelParameters)
	replaceList(&dst.NodeList, src.NodeList)
	replaceList(&dst.NodeRolesGroups, src.NodeRolesGroups)
	replaceList(&dst.NodeGroups, src.NodeGroups)
	replace(&dst.Arch, src.Arch)
	replace(&dst.RootfsProvider, src.RootfsProvider)
	replace(&dst.RootfsProviderPassthrough, src.RootfsProviderPassthrough)
	mergeExtra(&dst.Extra, src.Extra)
}

func mergeCFS(dst **bos.CFSParameters, src *bos.CFSParameters) {
	if src == nil {
		return
	}
	d := ensure(dst)
	replace(&d.Configuration, src.Configuration)
	mergeExtra(&d.Extra, src.Extra)
}

func replaceList(dst *[]string, src []string) {
	if src != nil {
		*dst = src
	}
}

// mergeSession writes the patch into the session: the status member by member, the components as a whole.
func mergeSession(s *bos.Session, p *bos.SessionPatch) {
	if p.Components != nil {
		s.Components = *p.Components
	}
	if p.Status == nil {
		return
	}
	dst := ensure(&s.Status)
	if v := p.Status.StartTime; v != nil {
		dst.StartTime = *v
	}
	if v := p.Status.EndTime; v != nil {
		dst.EndTime = *v
	}
	if v := p.Status.Status; v != nil {
		dst.Status = *v
	}
	if v := p.Status.Error; v != nil {
		dst.Error = *v
	}
}
