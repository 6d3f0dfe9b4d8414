package bosserver

import (
	"context"
	"errors"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// ListTemplates returns the templates of the tenant, or all of them.
func (s *Service) ListTemplates(ctx context.Context, tenant string) ([]bos.SessionTemplate, error) {
	list := []bos.SessionTemplate{}
	for t, err := range s.st.Templates().Scan(ctx, store.Page[bos.TenantKey]{}) {
		if err != nil {
			return nil, storeError(err)
		}
		if tenant == "" || string(t.Tenant) == tenant {
			list = append(list, t)
		}
	}
	return list, nil
}

// GetTemplate returns one template.
func (s *Service) GetTemplate(ctx context.Context, key bos.TenantKey) (bos.SessionTemplate, error) {
	t, err := s.st.Templates().Get(ctx, key)
	return t, orNotFound(err, noTemplate(key))
}

// PutTemplate creates or replaces a template.
func (s *Service) PutTemplate(ctx context.Context, key bos.TenantKey, t bos.SessionTemplate) (bos.SessionTemplate, error) {
	t = t.Clone()
	t.Name, t.Tenant = "", ""
	if err := checkNewTemplate(&t); err != nil {
		return bos.SessionTemplate{}, err
	}
	if err := s.verifyTenant(ctx, key.Tenant); err != nil {
		return bos.SessionTemplate{}, err
	}
	const refused = "The session template could not be created: "
	options, err := s.Options(ctx)
	if err != nil {
		return bos.SessionTemplate{}, err
	}
	if err := prepareBootSets(&t); err != nil {
		return bos.SessionTemplate{}, prefixed(refused, err)
	}
	images := s.inspectImages(ctx, t.BootSets, options)
	if err := s.finishTemplate(ctx, key, &t, options, images); err != nil {
		return bos.SessionTemplate{}, prefixed(refused, err)
	}
	t.Tenant = bos.NullString(key.Tenant)
	if err := s.st.Templates().Put(ctx, key, t); err != nil {
		return bos.SessionTemplate{}, storeError(err)
	}
	return t, nil
}

// checkNewTemplate checks the body of a PUT.
func checkNewTemplate(t *bos.SessionTemplate) error {
	return checkTyped("V2SessionTemplatePatch", templateBody{t.Description, t.EnableCFS, t.CFS, t.BootSets})
}

// templateBody is a template without the members that requests must not have.
type templateBody struct {
	Description *string                `json:"description,omitempty"`
	EnableCFS   *bool                  `json:"enable_cfs,omitempty"`
	CFS         *bos.CFSParameters     `json:"cfs,omitempty"`
	BootSets    map[string]bos.BootSet `json:"boot_sets"`
}

// prefixed puts text before what an error says to people.
func prefixed(text string, err error) error {
	if errors.Is(err, bos.ErrInvalid) {
		return invalid("%s%s", text, err.Error())
	}
	return err
}

// finishTemplate makes the last steps before a template is written.
func (s *Service) finishTemplate(ctx context.Context, key bos.TenantKey, t *bos.SessionTemplate, o bos.Options, images map[imageKey]imageReport) error {
	notes, err := checkBootSets(t, o.RejectNIDs, images)
	for _, note := range notes {
		s.log.InfoContext(ctx, "session template", "template", key.Name, "tenant", key.Tenant, "note", note)
	}
	if err != nil {
		return err
	}
	t.Name = key.Name
	t.CFS = cleanCFS(t.CFS)
	return checkTemplate(t)
}

// errImagesChanged is why a template is merged again: another writer gave it other images meanwhile.
var errImagesChanged = errors.New("the images of the template changed")

// PatchTemplate changes a template. The images are looked at outside the atomic step, which is repeated when another
// writer has changed them.
func (s *Service) PatchTemplate(ctx context.Context, key bos.TenantKey, p bos.TemplatePatch) (bos.SessionTemplate, error) {
	const refused = "The session template could not be patched: "
	if err := checkTyped("V2SessionTemplatePatch", p); err != nil {
		return bos.SessionTemplate{}, err
	}
	options, err := s.Options(ctx)
	if err != nil {
		return bos.SessionTemplate{}, err
	}
	images := map[imageKey]imageReport{}
	for {
		t, err := s.st.Templates().Get(ctx, key)
		if err != nil {
			return bos.SessionTemplate{}, orNotFound(err, noTemplate(key))
		}
		mergeTemplate(&t, &p)
		if err := prepareBootSets(&t); err != nil {
			return bos.SessionTemplate{}, prefixed(refused, err)
		}
		images = s.inspectImages(ctx, t.BootSets, options)
		t, err = s.st.Templates().Update(ctx, key, func(t *bos.SessionTemplate) error {
			mergeTemplate(t, &p)
			if err := prepareBootSets(t); err != nil {
				return err
			}
			for _, b := range t.BootSets {
				if _, known := images[imageOf(&b)]; !known {
					return errImagesChanged
				}
			}
			return s.finishTemplate(ctx, key, t, options, images)
		})
		if !errors.Is(err, errImagesChanged) {
			return t, prefixed(refused, orNotFound(err, noTemplate(key)))
		}
	}
}

// DeleteTemplate deletes a template.
func (s *Service) DeleteTemplate(ctx context.Context, key bos.TenantKey) error {
	return orNotFound(s.st.Templates().Delete(ctx, key), noTemplate(key))
}

// ValidateTemplate says in words whether a boot session could be set up.
func (s *Service) ValidateTemplate(ctx context.Context, key bos.TenantKey) (string, error) {
	t, err := s.GetTemplate(ctx, key)
	if err != nil {
		return "", err
	}
	f, err := s.validate(ctx, &t, bos.OperationBoot)
	return f.text, err
}

// validate judges a template for an operation.
func (s *Service) validate(ctx context.Context, t *bos.SessionTemplate, op bos.Operation) (finding, error) {
	options, err := s.Options(ctx)
	if err != nil {
		return finding{}, err
	}
	var images map[imageKey]imageReport
	if op != bos.OperationShutdown {
		images = s.inspectImages(ctx, t.BootSets, options)
	}
	return validateTemplate(t, op, options.RejectNIDs, images), nil
}

// ExampleTemplate returns the template of the documentation.
func (s *Service) ExampleTemplate(context.Context) (bos.SessionTemplate, error) {
	return bos.SessionTemplate{
		EnableCFS: new(true),
		CFS:       &bos.CFSParameters{Configuration: new("default-sessiontemplate-cfs-config")},
		BootSets: map[string]bos.BootSet{"name_your_boot_set": {
			Path: "s3://boot-images/boot-image-ims-id/manifest.json", Type: "s3", ETag: new("boot-image-s3-etag"),
			CFS:              &bos.CFSParameters{Configuration: new("bootset-specific-cfs-override")},
			KernelParameters: new("your-kernel-parameters"),
			NodeList:         []string{"xname1", "xname2", "xname3"},
			RootfsProvider:   new("sbps"),

			RootfsProviderPassthrough: new("sbps:v1:iqn.2023-06.csm.iscsi:_sbps-hsn._tcp.my-system.my-site-domain:300"),
		}},
	}, nil
}
