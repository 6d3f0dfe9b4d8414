package bosserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/manifest"
)

// imageKey is what decides how an image is judged.
type imageKey struct {
	typ, path string
	arch      bos.Arch
}

func imageOf(b *bos.BootSet) imageKey {
	k := imageKey{typ: b.Type, path: b.Path, arch: bos.ArchX86}
	if b.Arch != nil {
		k.arch = *b.Arch
	}
	return k
}

// finding is something to say about an image. The zero value says nothing.
type finding struct {
	level findingLevel
	text  string
}

type findingLevel int

const (
	levelNone findingLevel = iota
	levelWarning
	levelError
)

func warning(format string, args ...any) finding {
	return finding{levelWarning, fmt.Sprintf(format, args...)}
}

func failure(format string, args ...any) finding {
	return finding{levelError, fmt.Sprintf(format, args...)}
}

// imageReport is what the image services say about one image.
type imageReport struct {
	artifacts finding // of the manifest and the objects it names
	ims       finding
}

const (
	// imageTimeout bounds the look at all images of a request; what is not known by then counts as unreachable.
	imageTimeout = 15 * time.Second
	// imageWorkers is how many images are looked at at the same time.
	imageWorkers = 8
)

// inspectImages looks at the images of the boot sets, each once and several at a time.
func (s *Service) inspectImages(ctx context.Context, sets map[string]bos.BootSet, o bos.Options) map[imageKey]imageReport {
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	var mu sync.Mutex
	reports := map[imageKey]imageReport{}
	var group errgroup.Group
	group.SetLimit(imageWorkers)
	for _, b := range sets {
		key := imageOf(&b)
		mu.Lock()
		_, known := reports[key]
		if !known {
			reports[key] = imageReport{}
		}
		mu.Unlock()
		if known {
			continue
		}
		group.Go(func() error {
			r := imageReport{artifacts: s.inspectArtifacts(ctx, key), ims: s.inspectIMS(ctx, key, o)}
			mu.Lock()
			reports[key] = r
			mu.Unlock()
			return nil
		})
	}
	_ = group.Wait() // the workers report, they do not fail
	return reports
}

// inspectArtifacts checks that the image can be booted. Source: BOS v2 API, boot set validation, checks 4 to 7.
func (s *Service) inspectArtifacts(ctx context.Context, key imageKey) finding {
	if key.typ != "s3" {
		return failure("Can't find boot artifacts. Error: BootImageMetadataUnknown: No BootImageMetadata class for type %s", key.typ)
	}
	if s.manifests == nil {
		return failure("Can't find boot artifacts. Error: ManifestNotFound: Unable to read manifest file '%s'.", key.path)
	}
	m, err := s.manifests.Manifest(ctx, key.typ, key.path)
	if err != nil {
		return failure("Can't find boot artifacts. Error: %s", s.objectProblem(ctx, "ManifestNotFound: Unable to read manifest file", key.path, err))
	}
	if m.Kernel == nil {
		return failure("Can't find kernel in %s. Error: ArtifactNotFound: No kernel in the manifest", key.path)
	}
	if err := s.head(ctx, "kernel", m.Kernel); err != nil {
		return failure("Can't find kernel in %s. Error: %s", key.path, s.objectProblem(ctx, "ArtifactNotFound: Unable to read", m.Kernel.Path, err))
	}
	for _, part := range []struct {
		name     string
		artifact *manifest.Artifact
		needed   bool
	}{{"initrd", m.Initrd, true}, {"boot_parameters", m.BootParameters, false}} {
		switch {
		case part.artifact == nil && part.needed:
			return warning("%s doesn't contain a %s", key.path, part.name)
		case part.artifact == nil:
			s.log.InfoContext(ctx, "image has no such part", "path", key.path, "part", part.name)
			continue
		}
		if err := s.head(ctx, part.name, part.artifact); err != nil {
			return warning("Unable to check %s in %s. Warning: %s", part.name, key.path,
				s.objectProblem(ctx, "ArtifactNotFound: Unable to read", part.artifact.Path, err))
		}
	}
	return finding{}
}

// head fails unless the part exists. Another ETag than in the manifest is only logged.
func (s *Service) head(ctx context.Context, name string, a *manifest.Artifact) error {
	etag, err := s.manifests.Head(ctx, a.Path)
	if err == nil && a.ETag != "" && strings.Trim(etag, `"`) != strings.Trim(a.ETag, `"`) {
		s.log.WarnContext(ctx, "ETag differs from the manifest", "part", name, "path", a.Path)
	}
	return err
}

// objectProblem says why an S3 object cannot be used. What a library says of an outage stays in the log.
func (s *Service) objectProblem(ctx context.Context, what, path string, err error) string {
	switch {
	case errors.Is(err, bos.ErrInvalid):
		return err.Error()
	case errors.Is(err, bos.ErrNotFound):
		return fmt.Sprintf("%s '%s'.", what, path)
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "cannot read from S3", slog.String("path", path), slog.Any("err", err))
	return fmt.Sprintf("%s '%s'. S3 cannot be reached", what, path)
}

// inspectIMS checks the architecture of the image. Source: BOS v2 API, IMS image check.
func (s *Service) inspectIMS(ctx context.Context, key imageKey, o bos.Options) finding {
	if s.images == nil {
		return finding{}
	}
	id, ok := imageID(key.path)
	if !ok {
		return warning("Boot artifact S3 URL '%s' doesn't follow convention for IMS images", key.path)
	}
	ctx, cancel := context.WithTimeout(ctx, o.IMSReadTimeout)
	defer cancel()
	image, err := s.images.Image(ctx, id)
	switch {
	case errors.Is(err, bos.ErrNotFound) && o.IMSImagesMustExist:
		return failure("IMS image id '%s' does not exist in IMS", id)
	case errors.Is(err, bos.ErrNotFound):
		return warning("IMS image id '%s' does not exist in IMS", id)
	case err != nil:
		s.log.WarnContext(ctx, "cannot look up image in IMS", "image", id, "err", err)
		text := fmt.Sprintf("IMS cannot tell about image '%s'", id)
		switch {
		case o.IMSErrorsFatal:
			return failure("%s", text)
		case key.arch == bos.ArchOther:
			return warning("%s", text)
		}
		return warning("Can't validate boot image arch: %s", text)
	}
	if key.arch == bos.ArchOther {
		return warning("Can't validate boot image arch: Boot set arch set to 'Other'")
	}
	want := "x86_64"
	if key.arch == bos.ArchARM {
		want = "aarch64"
	}
	got := image.Arch
	if got == "" {
		got = "x86_64"
	}
	if got != want {
		return failure("Boot set arch '%s' means IMS image arch should be '%s', but actual IMS image arch is '%s'", key.arch, want, got)
	}
	return finding{}
}

// imageID returns the image that an S3 URL of IMS names: the first part of a key with more than one.
func imageID(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "s3://")
	if !ok {
		return "", false
	}
	_, key, _ := strings.Cut(rest, "/")
	id, file, _ := strings.Cut(key, "/")
	return id, id != "" && file != ""
}
