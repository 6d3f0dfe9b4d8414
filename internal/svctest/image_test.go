package svctest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest/manifesttest"
	"github.com/bootorch/bosgo/internal/fleet"
)

// createBoot posts a boot session and returns what the API says of it.
func (w *world) createBoot() error {
	_, err := w.api.CreateSession(w.t.Context(), "", bos.SessionCreate{Name: "s", Operation: bos.OperationBoot, TemplateName: template})
	return err
}

// manifestOf is a manifest with artifacts of these types.
func manifestOf(types ...string) string {
	var list []string
	for _, typ := range types {
		list = append(list, fmt.Sprintf(`{"type":"application/vnd.cray.image.%s","link":{"type":"s3","path":"s3://boot-images/i/%s","etag":"e"}}`, typ, typ))
	}
	return `{"version":"1.0","artifacts":[` + strings.Join(list, ",") + `]}`
}

// setUp sets a session up whose image has the manifest, and returns the session.
func setUp(t *testing.T, manifest string) *bos.Session {
	t.Helper()
	w := newWorld(t, 1)
	if err := w.createBoot(); err != nil {
		t.Fatal(err)
	}
	images := new(manifesttest.Fake)
	images.Put(w.image.Link.Path, manifest, "e")
	w.deps.Manifests = images
	_ = w.pass("session-setup") // the session tells
	if c := w.api.Get(w.ids[0]); c.IsEnabled() {
		t.Error("the node was enabled")
	}
	return w.getSession("", "s")
}

// wantFailed checks that a session failed with all the words.
func wantFailed(t *testing.T, s *bos.Session, words ...string) {
	t.Helper()
	for _, word := range words {
		if s.State() != bos.SessionComplete || !strings.Contains(strings.ToLower(string(s.Status.Error)), strings.ToLower(word)) {
			t.Errorf("session %s with error %q, want it to say %q", s.State(), s.Status.Error, word)
		}
	}
}

var imageCases = []svcCase{
	{"SVC-090 no such image in IMS", func(t *testing.T) {
		w := newWorld(t, 1)
		w.setMeddle(func(r request, send func() (*http.Response, error)) (*http.Response, error) {
			if r.service == "ims" {
				return answer(http.StatusNotFound, `{"title":"Not found","status":404}`), nil
			}
			return send()
		})
		if text, err := w.api.ValidateTemplate(t.Context(), bos.TenantKey{Name: template}); err != nil || !strings.Contains(text, "does not exist in IMS") {
			t.Errorf("validation says %q, %v: want a warning", text, err)
		}
		if err := w.createBoot(); err != nil {
			t.Errorf("refused by default: %v", err)
		}
		w.api.SetOptions(bos.OptionsPatch{IMSImagesMustExist: new(true)})
		if _, err := w.api.CreateSession(t.Context(), "", bos.SessionCreate{Name: "s2", Operation: bos.OperationBoot, TemplateName: template}); bos.AsStatus(err).Status != http.StatusBadRequest {
			t.Errorf("with ims_images_must_exist: %v, want status 400", err)
		}
	}},
	{"SVC-092 the architecture of an image", func(t *testing.T) {
		w := newWorld(t, 1)
		arm := w.images("aarch64")[0]
		boot := func(arch bos.Arch) error {
			w.putTemplate(func(_ *bos.SessionTemplate, b *bos.BootSet) { b.Path, b.Arch = arm.Link.Path, new(arch) })
			return w.createBoot()
		}
		if err := boot(bos.ArchX86); bos.AsStatus(err).Status != http.StatusBadRequest || !strings.Contains(err.Error(), "aarch64") {
			t.Errorf("X86: %v, want status 400 with the architecture", err)
		}
		if err := boot(bos.ArchOther); err != nil {
			t.Errorf("Other: %v, want no comparison", err)
		}
	}},
	{"SVC-095 a deleted image", func(t *testing.T) {
		w := newWorld(t, 1)
		a := artifacts(w.image)
		a.Kernel = "s3://boot-images/deleted/" + w.image.ID + "/kernel"
		a.KernelParameters = "root=sbps-s3:s3://boot-images/deleted/" + w.image.ID + "/rootfs:e:sbps:v1"
		w.put(a, w.ids, inPhase(bos.PhasePoweringOn))
		_ = w.pass("power-on") // the component tells
		if c := w.api.Get(w.ids[0]); !strings.Contains(c.ErrorText(), "soft-deleted") {
			t.Error(w.describe(w.ids[0]))
		}
		if got := w.sent(to("ims", http.MethodPatch, "")); len(got) > 0 {
			t.Errorf("%d tags, want none", len(got))
		}
	}},
	{"SVC-096 a manifest without kernel", func(t *testing.T) {
		wantFailed(t, setUp(t, manifestOf("initrd", "rootfs.squashfs")), "kernel", "manifest.json")
	}},
	{"SVC-096 a manifest with two kernels", func(t *testing.T) {
		wantFailed(t, setUp(t, manifestOf("kernel", "kernel", "initrd", "rootfs.squashfs")), "kernel", "manifest.json")
	}},
	{"SVC-097 a manifest without initrd", func(t *testing.T) {
		wantFailed(t, setUp(t, manifestOf("kernel", "rootfs.squashfs")), "initrd", "manifest.json")
	}},
	{"SVC-097 what validation says of it", func(t *testing.T) {
		w := newWorld(t, 1)
		w.setMeddle(func(r request, send func() (*http.Response, error)) (*http.Response, error) {
			if r.service == "s3" && r.method == http.MethodGet && strings.HasSuffix(r.path, "/manifest.json") {
				resp, err := send()
				if err != nil {
					return nil, err
				}
				resp.Body.Close()
				changed := answer(http.StatusOK, strings.ReplaceAll(manifestOf("kernel", "rootfs.squashfs"), "/i/", "/"+w.image.ID+"/"))
				changed.Header = resp.Header
				changed.Header.Del("Content-Length")
				return changed, nil
			}
			return send()
		})
		text, err := w.api.ValidateTemplate(t.Context(), bos.TenantKey{Name: template})
		if err != nil || !strings.Contains(text, "initrd") {
			t.Errorf("validation says %q, %v: want a warning about the initrd", text, err)
		}
	}},
	{"SVC-102 the parameters of an image", func(t *testing.T) {
		w := newWorld(t, 1)
		w.putTemplate(func(_ *bos.SessionTemplate, b *bos.BootSet) { b.KernelParameters = new("own=1 quiet") })
		if err := w.createBoot(); err != nil {
			t.Fatal(err)
		}
		images := new(manifesttest.Fake)
		images.PutImage(w.image.ID, "a=1   b=2\nc=3\n\n d=4 ")
		w.deps.Manifests = images
		w.passes("session-setup")
		if got := new(w.api.Get(w.ids[0])).DesiredArtifacts().KernelParameters; !strings.HasPrefix(got, "a=1 b=2 c=3 d=4 own=1 quiet ") {
			t.Errorf("kernel parameters %q", got)
		}
	}},
	{"SVC-107 a node of another tenant", func(t *testing.T) {
		w := newWorld(t, 2, func(c *fleet.Config) { c.Tenants = map[string][]string{"blue": {"x1000c0s0b0n0"}} })
		own, foreign := w.ids[0], w.ids[1]
		if own != "x1000c0s0b0n0" {
			t.Fatalf("the first node is %s", own)
		}
		w.putTemplate(func(s *bos.SessionTemplate, b *bos.BootSet) {
			s.Tenant, b.NodeRolesGroups, b.NodeList = "blue", nil, []string{string(own), string(foreign)}
		})
		if _, err := w.api.CreateSession(context.Background(), "blue", bos.SessionCreate{Name: "s", Operation: bos.OperationBoot, TemplateName: template}); err != nil {
			t.Fatal(err)
		}
		if err := w.pass("session-setup"); err != nil && !errors.Is(err, bos.ErrInvalid) {
			t.Error(err)
		}
		s := w.getSession("blue", "s")
		wantFailed(t, s, string(foreign))
		if strings.Contains(string(s.Status.Error), string(own)) {
			t.Errorf("error %q names the tenant's own node", s.Status.Error)
		}
		for _, id := range w.ids {
			if c := w.api.Get(id); c.IsEnabled() {
				t.Errorf("%s was enabled", id)
			}
		}
	}},
}
