package builtin

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
)

func TestKernelParameters(t *testing.T) {
	rootfs := &manifest.Artifact{Path: "RF", ETag: "e"}
	for _, row := range []struct {
		name   string
		image  string
		set    bos.BootSet
		rootfs *manifest.Artifact
		want   string
		fails  string
	}{
		{name: "nothing but the frequency", want: "bos_update_frequency=4h"},
		{name: "image parameters are split at any white space", image: " a=1\t b=2\n\nc=3\n", want: "a=1 b=2 c=3 bos_update_frequency=4h"},
		{
			name: "those of the boot set stay as they are", image: "a=1",
			set:  bos.BootSet{KernelParameters: new("b=2   token=${SPIRE_JOIN_TOKEN} ")},
			want: "a=1 b=2   token=${SPIRE_JOIN_TOKEN}  bos_update_frequency=4h",
		},
		{name: "empty ones add nothing", set: bos.BootSet{KernelParameters: new("")}, want: "bos_update_frequency=4h"},
		{
			name: "passthrough alone", set: bos.BootSet{RootfsProviderPassthrough: new("P")}, rootfs: rootfs,
			want: "root=::P bos_update_frequency=4h",
		},
		{name: "no provider, empty passthrough", set: bos.BootSet{RootfsProviderPassthrough: new("")}, want: "bos_update_frequency=4h"},
		{
			name: "sbps", set: bos.BootSet{RootfsProvider: new("sbps")}, rootfs: rootfs,
			want: "root=sbps-s3:RF:e nmd_data=url=RF,etag=e bos_update_frequency=4h",
		},
		{
			name: "sbps with passthrough", rootfs: rootfs,
			set:  bos.BootSet{RootfsProvider: new("sbps"), RootfsProviderPassthrough: new("P"), KernelParameters: new("quiet")},
			want: "quiet root=sbps-s3:RF:e:P nmd_data=url=RF,etag=e bos_update_frequency=4h",
		},
		{name: "sbps without rootfs", set: bos.BootSet{RootfsProvider: new("sbps")}, fails: manifest.TypeRootfs},
		{name: "sbps without etag", set: bos.BootSet{RootfsProvider: new("sbps")}, rootfs: &manifest.Artifact{Path: "RF"}, fails: "etag"},
		{
			name: "without sbps nobody needs the etag", rootfs: &manifest.Artifact{Path: "RF"},
			set: bos.BootSet{RootfsProviderPassthrough: new("P")}, want: "root=::P bos_update_frequency=4h",
		},
		{
			name: "removed provider", set: bos.BootSet{RootfsProvider: new("cpss3")}, rootfs: rootfs,
			fails: "Unsupported rootfs_provider ('cpss3') specified in boot set",
		},
		{
			name: "empty provider", set: bos.BootSet{RootfsProvider: new("")}, rootfs: rootfs,
			fails: "Unsupported rootfs_provider ('') specified in boot set",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := kernelParameters(row.image, "compute", &row.set, row.rootfs, "4h")
			switch {
			case row.fails != "":
				if err == nil || !strings.Contains(err.Error(), row.fails) || !hopeless(err) {
					t.Errorf("err = %v, want a final one with %q", err, row.fails)
				}
			case err != nil:
				t.Error(err)
			case got != row.want:
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
		})
	}
}

func TestConfigurationOf(t *testing.T) {
	cfs := func(name string) *bos.CFSParameters { return &bos.CFSParameters{Configuration: new(name)} }
	for _, row := range []struct {
		name string
		tpl  bos.SessionTemplate
		set  bos.BootSet
		want string
	}{
		{"nothing", bos.SessionTemplate{}, bos.BootSet{}, ""},
		{"of the template", bos.SessionTemplate{CFS: cfs("t")}, bos.BootSet{}, "t"},
		{"of the boot set", bos.SessionTemplate{CFS: cfs("t")}, bos.BootSet{CFS: cfs("b")}, "b"},
		{"an empty one of the boot set does not count", bos.SessionTemplate{CFS: cfs("t")}, bos.BootSet{CFS: cfs("")}, "t"},
		{"parameters without a configuration", bos.SessionTemplate{CFS: &bos.CFSParameters{}}, bos.BootSet{CFS: &bos.CFSParameters{}}, ""},
		{"cfs switched on", bos.SessionTemplate{CFS: cfs("t"), EnableCFS: new(true)}, bos.BootSet{}, "t"},
		{"cfs switched off", bos.SessionTemplate{CFS: cfs("t"), EnableCFS: new(false)}, bos.BootSet{CFS: cfs("b")}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := configurationOf(&row.tpl, &row.set); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestTargetPatch(t *testing.T) {
	boot := target{artifacts: bos.BootArtifacts{Kernel: "k", Initrd: "i", KernelParameters: "p"}, configuration: "c"}
	acted := &bos.LastAction{Action: new(bos.ActionSessionSetup), Failed: new(false)}
	for _, row := range []struct {
		name    string
		session bos.Session
		target  target
		want    bos.ComponentPatch
	}{
		{
			"boot", bos.Session{Name: "s", Operation: bos.OperationBoot}, boot, bos.ComponentPatch{
				ID: "x1", Error: new(""), Session: new("s"), Enabled: new(true), LastAction: acted,
				DesiredState: &bos.DesiredState{BootArtifacts: boot.artifacts.Fields(), Configuration: new("c")},
			},
		},
		{
			"reboot", bos.Session{Name: "s", Operation: bos.OperationReboot}, boot, bos.ComponentPatch{
				ID: "x1", Error: new(""), Session: new("s"), Enabled: new(true), LastAction: acted,
				DesiredState: &bos.DesiredState{BootArtifacts: boot.artifacts.Fields(), Configuration: new("c")},
				ActualState:  &bos.ActualState{BootArtifacts: bos.BootArtifacts{}.Fields(), BSSToken: new(bos.BSSToken(""))},
			},
		},
		{
			"shutdown", bos.Session{Name: "s", Operation: bos.OperationShutdown}, target{}, bos.ComponentPatch{
				ID: "x1", Error: new(""), Session: new("s"), Enabled: new(true), LastAction: acted,
				DesiredState: &bos.DesiredState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(""), BSSToken: new(bos.BSSToken(""))},
			},
		},
		{
			"staged reboot", bos.Session{Name: "s", Operation: bos.OperationReboot, Stage: true}, boot, bos.ComponentPatch{
				ID: "x1", Error: new(""),
				StagedState: &bos.StagedState{BootArtifacts: boot.artifacts.Fields(), Configuration: new("c"), Session: new("s")},
			},
		},
		{
			"staged shutdown", bos.Session{Name: "s", Operation: bos.OperationShutdown, Stage: true}, target{}, bos.ComponentPatch{
				ID: "x1", Error: new(""),
				StagedState: &bos.StagedState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(""), Session: new("s")},
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			if diff := gocmp.Diff(row.want, row.target.patch(&row.session, "x1")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTargetWritten(t *testing.T) {
	tgt := target{artifacts: bos.BootArtifacts{Kernel: "k"}, configuration: "c"}
	for _, row := range []struct {
		name    string
		session func(*bos.Session)
		record  func(*bos.Component)
		want    bool
	}{
		{"as it was written", func(*bos.Session) {}, func(*bos.Component) {}, true},
		{"finished since", func(*bos.Session) {}, func(c *bos.Component) { c.Enabled = new(false) }, true},
		{"of another session", func(*bos.Session) {}, func(c *bos.Component) { c.Session = new("s2") }, false},
		{
			"of an older session of that name", func(*bos.Session) {},
			func(c *bos.Component) { c.DesiredState.LastUpdated = new(bos.Timestamp("2026-03-01T11:59:59")) }, false,
		},
		{"without a stamp", func(*bos.Session) {}, func(c *bos.Component) { c.DesiredState.LastUpdated = nil }, false},
		{"other artifacts", func(*bos.Session) {}, func(c *bos.Component) { c.DesiredState.BootArtifacts.Initrd = new("i") }, false},
		{"other configuration", func(*bos.Session) {}, func(c *bos.Component) { c.DesiredState.Configuration = nil }, false},
		{"never touched", func(*bos.Session) {}, func(c *bos.Component) { c.DesiredState = nil }, false},
		{"staged", func(s *bos.Session) { s.Stage = true }, func(*bos.Component) {}, false},
		{"session without a start", func(s *bos.Session) { s.Status.StartTime = "" }, func(*bos.Component) {}, false},
		{"session without a status", func(s *bos.Session) { s.Status = nil }, func(*bos.Component) {}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := bos.Session{Name: "s", Status: &bos.SessionStatus{StartTime: "2026-03-01T12:00:00"}}
			c := bos.Component{ID: "x1", Session: new("s"), DesiredState: &bos.DesiredState{
				BootArtifacts: tgt.artifacts.Fields(), Configuration: new("c"), LastUpdated: new(bos.Timestamp("2026-03-01T12:00:00")),
			}}
			row.session(&s)
			row.record(&c)
			if got := tgt.written(&s, &c); got != row.want {
				t.Errorf("written = %v, want %v", got, row.want)
			}
		})
	}
}

func TestArchFits(t *testing.T) {
	// Rows are what HSM has, columns the boot set's architecture: operators 4.3 with Q-21.
	columns := []bos.Arch{"", bos.ArchX86, bos.ArchARM, bos.ArchOther, bos.ArchUnknown}
	for have, fits := range map[string]string{
		"X86": "yyn" + "nn", "x86": "yynnn", "ARM": "nnynn", "Other": "nnnyn", "UNKNOWN": "yynny", "Unknown": "yynny", "": "yynny",
	} {
		for i, want := range columns {
			if got := archFits(want, have); got != (fits[i] == 'y') {
				t.Errorf("node %q in a boot set for %q: %v", have, want, got)
			}
		}
	}
}
