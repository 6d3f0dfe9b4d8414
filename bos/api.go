package bos

import (
	"context"
	"iter"
	"time"
)

// API is everything that BOS answers, as methods. bosserver.Service does the work over a store, bosclient.Client asks
// a server; both may be used concurrently. A tenant parameter is the Cray-Tenant-Name of the caller, empty for the
// system. Errors match the sentinels of this package; those of the whole API: ErrUnavailable (store or service away;
// try again), ErrInvalid (bad input). Returned values belong to the caller.
type API interface {
	VersionAPI
	OptionsAPI
	TemplatesAPI
	SessionsAPI
	ComponentsAPI
	EventsAPI
	LeasesAPI
	TransitionsAPI
}

// VersionAPI tells who answers.
type VersionAPI interface {
	Version(ctx context.Context) (Version, error)
	// Health never fails because of the store; it says so in the answer.
	Health(ctx context.Context) (Health, error)
}

// Version is the release of the server, in parts.
type Version struct {
	Major string `json:"major"`
	Minor string `json:"minor"`
	Patch string `json:"patch"`
	Links []Link `json:"links,omitempty"`
}

// Link is a reference to another resource.
type Link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// Health is the answer of /v2/healthz.
type Health struct {
	APIStatus string `json:"apiStatus"` // "ok"
	DBStatus  string `json:"dbStatus"`  // "ok" or "not_available"
}

// OptionsAPI reads and changes the options and our settings.
type OptionsAPI interface {
	Options(ctx context.Context) (Options, error)
	UpdateOptions(ctx context.Context, p OptionsPatch) (Options, error)
	// Settings fails with ErrUnsupported against a reference server; callers then use DefaultSettings.
	Settings(ctx context.Context) (Settings, error)
	UpdateSettings(ctx context.Context, p SettingsPatch) (Settings, error)
}

// TemplatesAPI keeps session templates.
type TemplatesAPI interface {
	// ListTemplates returns the templates of the tenant, or those of all tenants for the empty one.
	ListTemplates(ctx context.Context, tenant string) ([]SessionTemplate, error)
	GetTemplate(ctx context.Context, key TenantKey) (SessionTemplate, error)
	// PutTemplate creates or replaces the template under key; name and tenant inside t are ignored.
	PutTemplate(ctx context.Context, key TenantKey, t SessionTemplate) (SessionTemplate, error)
	PatchTemplate(ctx context.Context, key TenantKey, p TemplatePatch) (SessionTemplate, error)
	DeleteTemplate(ctx context.Context, key TenantKey) error
	// ValidateTemplate says in words whether a boot session with the template could be set up; "Valid" means yes.
	ValidateTemplate(ctx context.Context, key TenantKey) (string, error)
	// ExampleTemplate returns the template of the documentation.
	ExampleTemplate(ctx context.Context) (SessionTemplate, error)
}

// SessionsAPI keeps sessions.
type SessionsAPI interface {
	ListSessions(ctx context.Context, f SessionFilter) ([]Session, error)
	GetSession(ctx context.Context, key TenantKey) (Session, error)
	// CreateSession fails with ErrExists if the name is taken, and with ErrConflict while BOS is paused.
	CreateSession(ctx context.Context, tenant string, c SessionCreate) (Session, error)
	PatchSession(ctx context.Context, key TenantKey, p SessionPatch) (Session, error)
	// CancelSession ends a session that is pending or running, for the reason given, which may be empty, has 1,024
	// characters at most and is kept in its error. Its components are disabled where they are, with that error before
	// their own; a staged session's stages are cleared and what was applied goes on. Canceling again completes what an
	// earlier call has begun; a session that is complete for another reason fails with ErrConflict, and a reference server
	// with ErrUnsupported.
	CancelSession(ctx context.Context, key TenantKey, reason string) (SessionCanceled, error)
	DeleteSession(ctx context.Context, key TenantKey) error
	// DeleteSessions deletes every session that matches, in any state, each under its own tenant.
	DeleteSessions(ctx context.Context, f SessionFilter) error
	// SessionStatus computes the summary, or returns the saved one of a complete session.
	SessionStatus(ctx context.Context, key TenantKey) (ExtendedStatus, error)
	// SaveSessionStatus computes the summary and keeps it.
	SaveSessionStatus(ctx context.Context, key TenantKey) (ExtendedStatus, error)
}

// ComponentsAPI keeps components. List answers carry the computed status; write answers hold the record as stored.
type ComponentsAPI interface {
	// ListComponents yields the matches in ascending order of id, reading them page by page. The sequence ends after
	// the first error.
	ListComponents(ctx context.Context, f ComponentFilter) iter.Seq2[Component, error]
	GetComponent(ctx context.Context, tenant string, id ComponentID) (Component, error)
	PutComponent(ctx context.Context, id ComponentID, c Component) (Component, error)
	PutComponents(ctx context.Context, cs []Component) ([]Component, error)
	// PatchComponent refuses an actual state with ErrConflict while BOS is changing the node.
	PatchComponent(ctx context.Context, tenant string, id ComponentID, p ComponentPatch) (Component, error)
	// PatchComponents applies the patches by their ID, of duplicates only the last. Unless skipBadIDs, an unknown id
	// fails the whole call with ErrNotFound and nothing is written.
	PatchComponents(ctx context.Context, tenant string, ps []ComponentPatch, skipBadIDs bool) ([]Component, error)
	PatchComponentsWhere(ctx context.Context, p ComponentsPatch) ([]Component, error)
	DeleteComponent(ctx context.Context, tenant string, id ComponentID) error
	ApplyStaged(ctx context.Context, tenant string, ids []ComponentID) (ApplyStagedResult, error)
	// PatchGuarded applies patches that hold only while the component is as it was read. A reference server knows no
	// guards: bosclient.Client then checks them itself just before it writes, which leaves a small window.
	PatchGuarded(ctx context.Context, p GuardedPatches) (GuardedResult, error)
	// CreateComponents stores those that do not exist yet and returns their ids; existing ones are left alone. Over HTTP it
	// is PUT /v2/components with If-None-Match: *, which a reference server takes as a plain PUT.
	CreateComponents(ctx context.Context, cs []Component) ([]ComponentID, error)
	// PutBootArtifacts records what a BSS token stands for; repeating it is harmless, other artifacts under a known
	// token fail with ErrConflict. Against a reference server it fails with ErrUnsupported.
	PutBootArtifacts(ctx context.Context, token BSSToken, a BootArtifacts) error
	// PruneBootArtifacts removes what tokens stand for that no component has had as its actual or desired token for longer
	// than unused, at least MinTokenRetention, and returns how many. A record counts as used when it is written, and when it
	// is found in use after a quarter of unused; so it may go by that, or by the time between two calls, too early. Against
	// a server without it, as the reference is, it fails with ErrUnsupported.
	PruneBootArtifacts(ctx context.Context, unused time.Duration) (removed int, err error)
}

// EventsAPI tells of changes.
type EventsAPI interface {
	// Changes yields the committed writes that match, from f.Since on, until the context ends. A subscriber that falls
	// behind gets a resync instead of what it missed; it never holds up a writer. Against a reference server the
	// sequence is one ErrUnsupported.
	Changes(ctx context.Context, f ChangeFilter) iter.Seq2[Change, error]
}

// LeasesAPI makes one process the actor of an operator.
type LeasesAPI interface {
	// AcquireLease takes or renews the lease of an operator for ttl (1 s to 5 min). While somebody else holds it the
	// error matches ErrConflict and names the holder.
	AcquireLease(ctx context.Context, operator, holder string, ttl time.Duration) (Lease, error)
	// ReleaseLease gives the lease up; releasing one that is not held is no error.
	ReleaseLease(ctx context.Context, operator, holder string) error
}
