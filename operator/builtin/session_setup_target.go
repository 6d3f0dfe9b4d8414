package builtin

import (
	"context"
	"fmt"
	"strings"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
)

// refusal is why a session cannot be set up, however often it is tried: the texts that administrators know.
type refusal string

func (r refusal) Error() string { return string(r) }

// Unwrap makes a refusal a bad request, as a wrong template or limit is.
func (refusal) Unwrap() error { return bos.ErrInvalid }

// target is what the nodes of a boot set shall become. The zero target is "off".
type target struct {
	artifacts     bos.BootArtifacts
	configuration string
}

// targetOf reads the image of a boot set and returns what its nodes shall become. A shutdown reads and checks nothing.
// frequency is the option component_actual_state_ttl as it is written. Source: operators 4.6 to 4.9.
func targetOf(ctx context.Context, images manifest.Reader, op bos.Operation, t *bos.SessionTemplate, name, frequency string) (target, error) {
	if op == bos.OperationShutdown {
		return target{}, nil
	}
	b := t.BootSets[name]
	if b.Type == "" {
		return target{}, refusal("No path type set in boot set: " + name)
	}
	if err := manifest.CheckType(b.Type); err != nil {
		return target{}, fmt.Errorf("boot set %s: %w", name, err)
	}
	if b.Path == "" {
		return target{}, refusal("No path set in boot set: " + name)
	}
	m, err := images.Manifest(ctx, b.Type, b.Path)
	switch {
	case err != nil && strings.Contains(err.Error(), b.Path):
		return target{}, fmt.Errorf("boot set %s: %w", name, err)
	case err != nil:
		return target{}, fmt.Errorf("boot set %s, %s: %w", name, b.Path, err)
	case m.Kernel == nil:
		return target{}, missingArtifact(name, &b, manifest.TypeKernel)
	case m.Initrd == nil:
		return target{}, missingArtifact(name, &b, manifest.TypeInitrd)
	}
	var imageParameters string
	if m.BootParameters != nil {
		if imageParameters, err = images.BootParameters(ctx, *m.BootParameters); err != nil {
			return target{}, fmt.Errorf("boot set %s: %w", name, err)
		}
	}
	parameters, err := kernelParameters(imageParameters, name, &b, m.Rootfs, frequency)
	if err != nil {
		return target{}, err
	}
	return target{
		artifacts:     bos.BootArtifacts{Kernel: m.Kernel.Path, Initrd: m.Initrd.Path, KernelParameters: parameters},
		configuration: configurationOf(t, &b),
	}, nil
}

func missingArtifact(name string, b *bos.BootSet, typ string) error {
	return refusal(fmt.Sprintf("boot set %s, %s: No artifact of type %s could be found in the image manifest.", name, b.Path, typ))
}

// configurationOf returns the CFS configuration for the nodes of a boot set: its own, else that of the template; empty
// where CFS is switched off. Source: operators 4.7.
func configurationOf(t *bos.SessionTemplate, b *bos.BootSet) string {
	if t.EnableCFS != nil && !*t.EnableCFS {
		return ""
	}
	if b.CFS != nil && bos.Value(b.CFS.Configuration) != "" {
		return *b.CFS.Configuration
	}
	if t.CFS != nil {
		return bos.Value(t.CFS.Configuration)
	}
	return ""
}

// kernelParameters joins the parameters of the image, those of the boot set, the root file system and the report
// frequency, in this order: the kernel obeys the last of equals. rootfs may be nil. The text is compared as a whole when
// BOS decides whether a node has booted the right thing, so its form is part of the contract. Source: operators 4.9.
func kernelParameters(image, name string, b *bos.BootSet, rootfs *manifest.Artifact, frequency string) (string, error) {
	parts := strings.Fields(image)
	if own := bos.Value(b.KernelParameters); own != "" {
		parts = append(parts, own)
	}
	root, err := rootParameters(name, b, rootfs)
	if err != nil {
		return "", err
	}
	parts = append(parts, root...)
	parts = append(parts, "bos_update_frequency="+frequency)
	return strings.Join(parts, " "), nil
}

// rootParameters returns the parameters that the root file system provider of the boot set adds. Without a provider
// administrators may name the root themselves, in the boot set's parameters.
func rootParameters(name string, b *bos.BootSet, rootfs *manifest.Artifact) ([]string, error) {
	passthrough := bos.Value(b.RootfsProviderPassthrough)
	switch {
	case b.RootfsProvider == nil && passthrough == "":
		return nil, nil
	case b.RootfsProvider == nil:
		return []string{"root=::" + passthrough}, nil
	case *b.RootfsProvider == "sbps":
		return sbpsParameters(name, b, rootfs)
	}
	return nil, refusal(fmt.Sprintf("Unsupported rootfs_provider ('%s') specified in boot set: %s", *b.RootfsProvider, name))
}

// sbpsParameters returns the parameters of the Scalable Boot Projection Service: where the root is and where a memory
// dump finds it.
func sbpsParameters(name string, b *bos.BootSet, rootfs *manifest.Artifact) ([]string, error) {
	if rootfs == nil {
		return nil, missingArtifact(name, b, manifest.TypeRootfs)
	}
	if rootfs.ETag == "" {
		return nil, refusal(fmt.Sprintf("boot set %s: the rootfs artifact in the image manifest has no etag, which rootfs_provider 'sbps' needs", name))
	}
	root := "root=sbps-s3:" + rootfs.Path + ":" + rootfs.ETag
	if passthrough := bos.Value(b.RootfsProviderPassthrough); passthrough != "" {
		root += ":" + passthrough
	}
	return []string{root, "nmd_data=url=" + rootfs.Path + ",etag=" + rootfs.ETag}, nil
}

// patch returns the change that gives the node id to the session. A staged one touches nothing that BOS acts on; the
// session's name is in it for shutdowns too (operators Q-01). Otherwise enabled puts the node on hold and the desired
// state zeroes its counters; a reboot distrusts what the node reported before. Source: operators 4.6.
func (g target) patch(s *bos.Session, id bos.ComponentID) bos.ComponentPatch {
	if s.Stage {
		return bos.ComponentPatch{
			ID:    id,
			Error: new(""),
			StagedState: &bos.StagedState{
				BootArtifacts: g.artifacts.Fields(),
				Configuration: new(g.configuration),
				Session:       new(s.Name),
			},
		}
	}
	p := bos.ComponentPatch{
		ID:           id,
		Error:        new(""),
		DesiredState: &bos.DesiredState{BootArtifacts: g.artifacts.Fields(), Configuration: new(g.configuration)},
		Session:      new(s.Name),
		Enabled:      new(true),
		LastAction:   &bos.LastAction{Action: new(bos.ActionSessionSetup), Failed: new(false)},
	}
	switch s.Operation {
	case bos.OperationShutdown:
		p.DesiredState.BSSToken = new(bos.BSSToken(""))
	case bos.OperationReboot:
		p.ActualState = emptyActualState()
	}
	return p
}

// emptyActualState says that nothing is known of what a node booted.
func emptyActualState() *bos.ActualState {
	return &bos.ActualState{BootArtifacts: bos.BootArtifacts{}.Fields(), BSSToken: new(bos.BSSToken(""))}
}

// written reports whether the component shows that an earlier, interrupted set-up of the same session has been here: it
// has the session's name and the target as its desired state, stored since the session was created. The name alone
// proves nothing, since names outlive sessions (operators Q-57).
func (g target) written(s *bos.Session, c *bos.Component) bool {
	if s.Stage || s.Status == nil || c.DesiredState == nil || c.SessionName() != s.Name {
		return false
	}
	start, ok := s.Status.StartTime.Time()
	stored, ok2 := bos.Value(c.DesiredState.LastUpdated).Time()
	return ok && ok2 && !stored.Before(start) &&
		c.DesiredArtifacts().Same(g.artifacts) && c.DesiredConfiguration() == g.configuration
}
