package bostest

import (
	"fmt"
	"strings"
)

const exampleTemplate = `{"boot_sets":{"name_your_boot_set":{"cfs":{"configuration":"bootset-specific-cfs-override"},
 "etag":"boot-image-s3-etag","kernel_parameters":"your-kernel-parameters","node_list":["xname1","xname2","xname3"],
 "path":"s3://boot-images/boot-image-ims-id/manifest.json","rootfs_provider":"sbps",
 "rootfs_provider_passthrough":"sbps:v1:iqn.2023-06.csm.iscsi:_sbps-hsn._tcp.my-system.my-site-domain:300","type":"s3"}},
 "cfs":{"configuration":"default-sessiontemplate-cfs-config"},"enable_cfs":true}`

const (
	templatesPath = "/v2/sessiontemplates"
	t1Path        = templatesPath + "/t1"
	okTemplate    = `{"boot_sets":{"compute":{$BS,"node_groups":["g"]}}}`
)

// template stores a template whose one boot set, compute, names an image of S0.
func (w *wire) template(name, image string) {
	w.t.Helper()
	w.put(templatesPath+"/"+name, imageTemplate(image, `"node_groups":["g"]`)).ok()
}

// imageTemplate is a template of one boot set with more members.
func imageTemplate(image, members string) string {
	return fmt.Sprintf(`{"boot_sets":{"compute":{"path":"s3://boot-images/%s/manifest.json","type":"s3",%s}}}`, image, members)
}

// refuseTemplate asserts that PUT refuses the body.
func (w *wire) refuseTemplate(body string) *answer {
	w.t.Helper()
	return w.put(t1Path, body).problem(400)
}

const validPath = "/v2/sessiontemplatesvalid/"

var templateCases = []apiCase{
	{"API-023", "the example", func(w *wire) {
		w.get("/v2/sessiontemplatetemplate").ok().json(exampleTemplate)
	}},
	{"API-024", "a template is tidied", func(w *wire) {
		w.put(t1Path, `{"boot_sets":{"compute":{$BS,"name":"compute","node_list":["X01000C0S0B0N00"],"cfs":{}}},"cfs":{"configuration":""},"enable_cfs":true}`).
			ok().json(`{"name":"t1","tenant":null,"enable_cfs":true,"boot_sets":{"compute":{$BS,"arch":"X86","node_list":["x1000c0s0b0n0"]}}}`)
	}},
	{"API-025", "and read back", func(w *wire) {
		put := w.put(t1Path, `{"boot_sets":{"compute":{$BS,"node_list":["x1000c0s0b0n0"]}},"description":"d"}`).ok()
		w.get(t1Path).ok().same(put)
		w.get(templatesPath).ok().list("name", "t1")
	}},
	{"API-026", "read-only members", func(w *wire) {
		for _, member := range []string{`"name":"t2"`, `"tenant":null`, `"links":[]`} {
			w.refuseTemplate(`{"boot_sets":{"compute":{$BS,"node_groups":["g"]}},` + member + `}`).detailHas("read-only")
		}
		w.get(t1Path).problem(404, titleNotFound)
	}},
	{"API-027", "no boot sets", func(w *wire) {
		w.refuseTemplate(`{}`).detailHas("boot_sets")
		w.refuseTemplate(`{"boot_sets":{}}`)
	}},
	{"API-028", "no node fields", func(w *wire) {
		w.refuseTemplate(`{"boot_sets":{"compute":{$BS}}}`).
			detailHas("^The session template could not be created: Boot set compute: No hardware specifier fields")
	}},
	{"API-029", "an empty node list", func(w *wire) {
		w.refuseTemplate(`{"boot_sets":{"compute":{$BS,"node_list":[]}}}`).detailHas("node_list")
	}},
	{"API-030", "boot set name is not its key", func(w *wire) {
		w.refuseTemplate(`{"boot_sets":{"compute":{$BS,"name":"other","node_groups":["g"]}}}`).detailHas("does not match 'name'")
	}},
	{"API-031", "illegal boot set name", func(w *wire) {
		w.refuseTemplate(`{"boot_sets":{"-bad":{$BS,"node_groups":["g"]}}}`)
	}},
	{"API-032", "a boot set without path", func(w *wire) {
		w.refuseTemplate(`{"boot_sets":{"compute":{"type":"s3","node_groups":["g"]}}}`).detailHas("'path' is a required property")
	}},
	{"API-033", "schema violations", func(w *wire) {
		const compute = `"boot_sets":{"compute":{$BS,"node_groups":["g"]}}`
		w.refuseTemplate(`{"boot_sets":{"compute":{$BS,"node_groups":["g"],"arch":"x86"}}}`).detailHas("arch")
		w.refuseTemplate(`{"boot_sets":{"compute":{$BS,"node_groups":["g"],"zz":1}}}`).detailHas("zz")
		w.refuseTemplate(`{` + compute + `,"zz":1}`).detailHas("zz")
		w.refuseTemplate(`{` + compute + `,"cfs":null}`).detailHas("cfs")
		w.refuseTemplate(`{` + compute + `,"description":""}`).detailHas("description")
	}},
	{"API-034", "illegal template name", func(w *wire) {
		w.put(templatesPath+"/-bad", okTemplate).problem(400)
	}},
	{"API-035", "image of another architecture", func(w *wire) {
		w.put(t1Path, imageTemplate("arm", `"node_groups":["g"]`)).problem(400).
			detailHas("Boot set arch 'X86' means IMS image arch should be 'x86_64'")
	}},
	{"API-036", "image of that architecture", func(w *wire) {
		w.put(t1Path, imageTemplate("arm", `"node_groups":["g"],"arch":"ARM"`)).ok().has("boot_sets.compute.arch", `"ARM"`)
	}},
	{"API-037", "the manifest does not exist", func(w *wire) {
		w.put(t1Path, `{"boot_sets":{"compute":{"path":"s3://boot-images/img1/nosuch.json","type":"s3","node_groups":["g"]}}}`).ok()
	}},
	{"API-038", "the image is not in IMS", func(w *wire) {
		w.put(t1Path, imageTemplate("noims", `"node_groups":["g"]`)).ok()
		w.options(`{"ims_images_must_exist":true}`)
		w.put(t1Path, imageTemplate("noims", `"node_groups":["g"]`)).problem(400).detailHas("noims")
	}},
	{"API-039", "NIDs", func(w *wire) {
		w.put(t1Path, `{"boot_sets":{"compute":{$BS,"node_list":["nid000001"]}}}`).ok()
		w.options(`{"reject_nids":true}`)
		w.refuseTemplate(`{"boot_sets":{"compute":{$BS,"node_list":["nid000001"]}}}`).detailHas("Boot set compute: Has NID in 'node_list'")
	}},
	{"API-040", "tenants", func(w *wire) {
		w.as("ten1").put(t1Path, okTemplate).ok().has("tenant", `"ten1"`)
		w.get(t1Path).problem(404, titleNotFound)
		w.as("ten1").get(t1Path).ok().has("tenant", `"ten1"`)
	}},
	{"API-041", "PUT of an unknown tenant", func(w *wire) {
		w.as("unknown").put(t1Path, okTemplate).problem(400, "Invalid tenant").detail("The provided tenant does not exist")
	}},
	{"API-042", "list of an unknown tenant", func(w *wire) {
		w.template("ok", "img1")
		w.as("unknown").get(templatesPath).ok().json(`[]`)
	}},
	{"API-043", "no such template", func(w *wire) {
		w.get(templatesPath+"/nosuch").problem(404, titleNotFound).detail("Session template 'nosuch' does not exist")
		w.as("ten1").get(templatesPath+"/nosuch").problem(404, titleNotFound).detail("Session template for tenant 'ten1' 'nosuch' does not exist")
	}},
	{"API-044", "PATCH", func(w *wire) {
		put := w.put(t1Path, okTemplate).ok()
		w.patch(t1Path, `{}`).ok().same(put)
		w.patch(t1Path, `{"description":"d"}`).ok().has("description", `"d"`).has("boot_sets.compute.node_groups", `["g"]`)
	}},
	{"API-045", "PATCH of a boot set needs path", func(w *wire) {
		w.put(t1Path, okTemplate).ok()
		w.patch(t1Path, `{"boot_sets":{"compute":{"kernel_parameters":"q"}}}`).problem(400).detailHas("path")
	}},
	{"API-046", "PATCH of a boot set keeps the rest", func(w *wire) {
		w.put(t1Path, okTemplate).ok()
		w.patch(t1Path, `{"boot_sets":{"compute":{$BS,"kernel_parameters":"q"}}}`).ok().
			has("boot_sets.compute", `{$BS,"arch":"X86","kernel_parameters":"q","node_groups":["g"]}`)
	}},
	{"API-047", "PATCH adds a boot set", func(w *wire) {
		w.put(t1Path, okTemplate).ok()
		w.patch(t1Path, `{"boot_sets":{"uan":{$BS}}}`).problem(400).detailHas("could not be patched")
		w.patch(t1Path, `{"boot_sets":{"uan":{$BS,"node_groups":["u"]}}}`).ok().
			has("boot_sets.compute.node_groups", `["g"]`).has("boot_sets.uan.node_groups", `["u"]`)
	}},
	{"API-048", "PATCH of cfs", func(w *wire) {
		w.put(t1Path, `{"boot_sets":{"compute":{$BS,"node_groups":["g"]}},"cfs":{"configuration":"c"}}`).ok()
		w.patch(t1Path, `{"cfs":{}}`).ok().has("cfs", `{"configuration":"c"}`)
		w.patch(t1Path, `{"cfs":{"configuration":""}}`).ok().lacks("cfs")
	}},
	{"API-049", "PATCH of the name", func(w *wire) {
		w.put(t1Path, okTemplate).ok()
		w.patch(t1Path, `{"name":"t1"}`).problem(400).detailHas("name")
	}},
	{"API-050", "PATCH of nothing", func(w *wire) {
		w.patch(templatesPath+"/nosuch", `{}`).problem(404, titleNotFound)
	}},
	{"API-051", "DELETE", func(w *wire) {
		w.put(t1Path, okTemplate).ok()
		w.delete(t1Path).is(204)
		w.delete(t1Path).problem(404, titleNotFound)
	}},
	{"API-052", "validate", func(w *wire) {
		w.template("ok", "img1")
		w.get(validPath + "ok").ok().json(`"Valid"`)
		w.get(validPath+"nosuch").problem(404, titleNotFound)
	}},
	{"API-053", "validate: NIDs", func(w *wire) {
		w.put(t1Path, `{"boot_sets":{"compute":{$BS,"node_list":["nid000001"]}}}`).ok()
		w.get(validPath + "t1").ok().json(`"Session template: 't1' boot set: 'compute': Has NID in 'node_list'"`)
	}},
	{"API-054", "validate: no initrd", func(w *wire) {
		w.template("t1", "noinitrd")
		w.validates("t1", "", "doesn't contain a initrd")
	}},
	{"API-055", "validate: no boot parameters", func(w *wire) {
		w.template("t1", "noboot")
		w.get(validPath + "t1").ok().json(`"Valid"`)
	}},
	{"API-056", "validate: rootfs provider", func(w *wire) {
		w.put(t1Path, imageTemplate("img1", `"node_groups":["g"],"rootfs_provider":"cps"`)).ok()
		w.validates("t1", "Unsupported rootfs_provider ('cps')", "")
	}},
	{"API-057", "validate: arch Other", func(w *wire) {
		w.put(t1Path, imageTemplate("img1", `"node_groups":["g"],"arch":"Other"`)).ok()
		w.validates("t1", "", "Can't validate boot image arch: Boot set arch set to 'Other'")
	}},
	{"API-058", "validate: type", func(w *wire) {
		w.put(t1Path, `{"boot_sets":{"compute":{"path":"s3://boot-images/img1/manifest.json","type":"zfs","node_groups":["g"]}}}`).ok()
		w.validates("t1", "Can't find boot artifacts", "")
	}},
}

// validates asserts a part and the end of what the validate endpoint says.
func (w *wire) validates(name, part, end string) {
	w.t.Helper()
	a := w.get(validPath + name).ok()
	text, _ := a.decode().(string)
	if !strings.HasPrefix(text, "Session template: '"+name+"' boot set: 'compute': ") || !strings.Contains(text, part) || !strings.HasSuffix(text, end) {
		a.errorf("says %q, want %q in it and %q at the end", text, part, end)
	}
}
