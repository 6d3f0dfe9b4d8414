package bosserver

import (
	"testing"

	"github.com/bootorch/bosgo/bos"
)

func TestValidateTemplate(t *testing.T) {
	good := bos.BootSet{Path: "p", Type: "s3", NodeGroups: []string{"g"}}
	with := func(change func(*bos.BootSet)) bos.BootSet {
		b := good.Clone()
		change(&b)
		return b
	}
	key := imageOf(&good)
	const prefix = "Session template: 't' boot set: 'a': "
	for _, tt := range []struct {
		name   string
		sets   map[string]bos.BootSet
		op     bos.Operation
		reject bool
		report imageReport
		level  findingLevel
		want   string
	}{
		{"no boot sets", nil, bos.OperationBoot, false, imageReport{}, levelError, "Session template 't' requires at least 1 boot set."},
		{"valid", map[string]bos.BootSet{"a": good}, bos.OperationBoot, false, imageReport{}, levelNone, "Valid"},
		{"no nodes", map[string]bos.BootSet{"a": with(func(b *bos.BootSet) { b.NodeGroups = nil })}, bos.OperationBoot, false, imageReport{}, levelError,
			prefix + "No hardware specifier fields ({'node_groups', 'node_list', 'node_roles_groups'})"},
		{"rootfs provider", map[string]bos.BootSet{"a": with(func(b *bos.BootSet) { b.RootfsProvider = new("cps") })}, bos.OperationShutdown, false, imageReport{}, levelWarning,
			prefix + "Unsupported rootfs_provider ('cps') will cause boot/reboot sessions to fail"},
		{"NID", map[string]bos.BootSet{"a": with(func(b *bos.BootSet) { b.NodeList = []string{"nid1"} })}, bos.OperationBoot, false, imageReport{}, levelWarning, prefix + "Has NID in 'node_list'"},
		{"NID refused", map[string]bos.BootSet{"a": with(func(b *bos.BootSet) { b.NodeList = []string{"nid1"} })}, bos.OperationBoot, true, imageReport{}, levelError, prefix + "Has NID in 'node_list'"},
		{"a broken image", map[string]bos.BootSet{"a": good}, bos.OperationReboot, false, imageReport{artifacts: failure("no kernel"), ims: failure("wrong arch")}, levelError, prefix + "no kernel"},
		{"does not matter to a shutdown", map[string]bos.BootSet{"a": good}, bos.OperationShutdown, false, imageReport{artifacts: failure("no kernel")}, levelNone, "Valid"},
		{"all warnings", map[string]bos.BootSet{"a": good, "b": with(func(b *bos.BootSet) { b.RootfsProvider = new("x") })}, bos.OperationBoot, false,
			imageReport{artifacts: warning("w1"), ims: warning("w2")}, levelWarning,
			prefix + "w1; " + prefix + "w2; Session template: 't' boot set: 'b': Unsupported rootfs_provider ('x') will cause boot/reboot sessions to fail; " +
				"Session template: 't' boot set: 'b': w1; Session template: 't' boot set: 'b': w2"},
		{"an error drops the warnings", map[string]bos.BootSet{"a": with(func(b *bos.BootSet) { b.RootfsProvider = new("x") })}, bos.OperationBoot, false,
			imageReport{ims: failure("wrong arch")}, levelError, prefix + "wrong arch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := validateTemplate(&bos.SessionTemplate{Name: "t", BootSets: tt.sets}, tt.op, tt.reject, map[imageKey]imageReport{key: tt.report})
			if got.level != tt.level || got.text != tt.want {
				t.Errorf("got  %v %s\nwant %v %s", got.level, got.text, tt.level, tt.want)
			}
		})
	}
}
