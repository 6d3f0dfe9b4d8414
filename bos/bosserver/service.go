package bosserver

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/store"
)

// DefaultVersion is the release of the reference whose API is answered.
const DefaultVersion = "2.50.0"

// Config is what a Service works with beside its store. The zero value works.
type Config struct {
	Tenants   tapms.TenantClient // nil = no tenant is known, so that every tenant name is refused
	Images    ims.ImageClient    // nil = images are not looked up in IMS
	Manifests manifest.Reader    // nil = no image can be read: boot sessions are refused, templates are not
	Version   string             // "major.minor.patch"; default DefaultVersion
	Now       func() time.Time   // default time.Now
	NewID     func() string      // names sessions that come without one; default a random UUID
	Log       *slog.Logger       // nil = discard
}

// Service is the BOS API over a store. It is safe for concurrent use.
type Service struct {
	st        store.Store
	tenants   tapms.TenantClient
	images    ims.ImageClient
	manifests manifest.Reader
	version   bos.Version
	now       func() time.Time
	newID     func() string
	log       *slog.Logger
}

var _ bos.API = (*Service)(nil)

// New returns the service over st, which the caller closes once the service is not used any more.
func New(st store.Store, cfg Config) *Service {
	s := &Service{
		st: st, tenants: cfg.Tenants, images: cfg.Images, manifests: cfg.Manifests,
		now: cfg.Now, newID: cfg.NewID, log: cfg.Log,
	}
	if cfg.Version == "" {
		cfg.Version = DefaultVersion
	}
	s.version = splitVersion(cfg.Version)
	if s.now == nil {
		s.now = time.Now
	}
	if s.newID == nil {
		s.newID = uuid.NewString
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// splitVersion reads "v2.50.0-rc1" as 2, 50 and 0; parts that are no numbers become 0.
func splitVersion(text string) bos.Version {
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "v"), "-")
	parts := append(strings.Split(text, "."), "", "")
	for i, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			parts[i] = "0"
		} else if p = strings.TrimLeft(p, "0"); p == "" {
			parts[i] = "0"
		} else {
			parts[i] = p
		}
	}
	return bos.Version{Major: parts[0], Minor: parts[1], Patch: parts[2]}
}

// stamp returns the present as records hold it.
func (s *Service) stamp() bos.Timestamp { return bos.Stamp(s.now()) }

// Cursor returns the place of the latest committed write that this process knows of.
func (s *Service) Cursor() bos.Cursor { return s.st.Cursor() }

// Version returns the release; links are the HTTP handler's business.
func (s *Service) Version(context.Context) (bos.Version, error) { return s.version, nil }

// healthTimeout bounds how long a probe waits for the database.
const healthTimeout = 5 * time.Second

// Health tells whether the database answers.
func (s *Service) Health(ctx context.Context) (bos.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	h := bos.Health{APIStatus: "ok", DBStatus: "ok"}
	if err := s.st.Ping(ctx); err != nil {
		s.log.WarnContext(ctx, "database not available", "err", err)
		h.DBStatus = "not_available"
	}
	return h, nil
}
