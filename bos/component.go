package bos

import (
	"log/slog"
	"slices"
)

// ComponentID is the identity of a node: its xname, such as "x3000c0s1b0n0". BOS stores it as given, 1 to 127
// characters; CanonicalXname gives the spelling that the other services use.
type ComponentID string

// BSSToken ties a booted node to the artifacts it booted: BSS hands one out with each change of boot parameters and
// the node reports it. It never reaches a log: formatting it prints a fixed text.
type BSSToken string

// LogValue hides the token.
func (BSSToken) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// String hides the token, so that no format verb prints it; convert to string to use it.
func (BSSToken) String() string { return "[redacted]" }

// GoString hides the token.
func (BSSToken) GoString() string { return "[redacted]" }

// BootArtifacts are the three things a node boots, compared as a whole. Empty artifacts mean "off".
type BootArtifacts struct {
	Kernel           string    `json:"kernel"`
	KernelParameters string    `json:"kernel_parameters"`
	Initrd           string    `json:"initrd"`
	Timestamp        Timestamp `json:"timestamp,omitempty"` // when the token was recorded; in token records only
}

// Empty reports whether all three artifacts are empty.
func (a BootArtifacts) Empty() bool {
	return a.Kernel == "" && a.KernelParameters == "" && a.Initrd == ""
}

// Same reports whether both name the same kernel, parameters and initrd. The timestamp does not count.
func (a BootArtifacts) Same(b BootArtifacts) bool {
	return a.Kernel == b.Kernel && a.KernelParameters == b.KernelParameters && a.Initrd == b.Initrd
}

// Fields returns the artifacts as a record holds them, each member present.
func (a BootArtifacts) Fields() *ArtifactFields {
	f := &ArtifactFields{Kernel: new(a.Kernel), KernelParameters: new(a.KernelParameters), Initrd: new(a.Initrd)}
	if a.Timestamp != "" {
		f.Timestamp = new(a.Timestamp)
	}
	return f
}

// ArtifactFields are boot artifacts inside a component's state, each member optional.
type ArtifactFields struct {
	Kernel           *string    `json:"kernel,omitempty"`
	KernelParameters *string    `json:"kernel_parameters,omitempty"`
	Initrd           *string    `json:"initrd,omitempty"`
	Timestamp        *Timestamp `json:"timestamp,omitempty"` // in storage only, see BOS v2 API, token resolution
	Extra            Extra      `json:"-"`
}

// Artifacts returns the values, absent ones empty. The receiver may be nil.
func (f *ArtifactFields) Artifacts() BootArtifacts {
	if f == nil {
		return BootArtifacts{}
	}
	return BootArtifacts{Kernel: Value(f.Kernel), KernelParameters: Value(f.KernelParameters), Initrd: Value(f.Initrd)}
}

// ActualState is what the node reported that it booted.
type ActualState struct {
	BootArtifacts *ArtifactFields `json:"boot_artifacts,omitempty"`
	BSSToken      *BSSToken       `json:"bss_token,omitempty"`
	LastUpdated   *Timestamp      `json:"last_updated,omitempty"` // set by the API
	Extra         Extra           `json:"-"`
}

// DesiredState is what BOS works towards. Empty artifacts mean that the node shall be off.
type DesiredState struct {
	BootArtifacts *ArtifactFields `json:"boot_artifacts,omitempty"`
	Configuration *string         `json:"configuration,omitempty"` // CFS configuration; empty = CFS disabled
	BSSToken      *BSSToken       `json:"bss_token,omitempty"`
	LastUpdated   *Timestamp      `json:"last_updated,omitempty"` // set by the API
	Extra         Extra           `json:"-"`
}

// StagedState is what becomes the desired state when the stage is applied.
type StagedState struct {
	BootArtifacts *ArtifactFields `json:"boot_artifacts,omitempty"`
	Configuration *string         `json:"configuration,omitempty"`
	Session       *string         `json:"session,omitempty"`
	LastUpdated   *Timestamp      `json:"last_updated,omitempty"` // set by the API
	Extra         Extra           `json:"-"`
}

// Action is what BOS did last to a component.
type Action string

// The actions. Source: BOS v2 API, V2ComponentLastAction.action.
const (
	ActionActualStateCleanup  Action = "actual_state_cleanup"
	ActionApplyStaged         Action = "apply_staged"
	ActionNewlyDiscovered     Action = "newly_discovered"
	ActionPoweringOffForceful Action = "powering_off_forcefully"
	ActionPoweringOffGraceful Action = "powering_off_gracefully"
	ActionPoweringOn          Action = "powering_on"
	ActionSessionSetup        Action = "session_setup"
)

// GenericRetryError is the error of a component that used up its attempts without any service giving a reason.
const GenericRetryError = "The retry limit has been hit for this component, but no services have reported specific errors"

// LastAction is what BOS did last to a component, and when.
type LastAction struct {
	Action      *Action    `json:"action,omitempty"`
	Failed      *bool      `json:"failed,omitempty"`
	LastUpdated *Timestamp `json:"last_updated,omitempty"` // set by the API at each write; the wait clocks start here
	Extra       Extra      `json:"-"`
}

// EventStats count the attempts of the current operation, 0 to 1048576 each.
type EventStats struct {
	PowerOnAttempts          *int  `json:"power_on_attempts,omitempty"`
	PowerOffGracefulAttempts *int  `json:"power_off_graceful_attempts,omitempty"`
	PowerOffForcefulAttempts *int  `json:"power_off_forceful_attempts,omitempty"`
	Extra                    Extra `json:"-"`
}

// ZeroEventStats returns counters that are all present and zero.
func ZeroEventStats() *EventStats {
	return &EventStats{PowerOnAttempts: new(0), PowerOffGracefulAttempts: new(0), PowerOffForcefulAttempts: new(0)}
}

// ComponentStatus says how far a component is. Phase is written by the status operator, the override by the API
// ("on_hold") and by operators ("failed"); Status is computed at each read and never trusted from storage.
type ComponentStatus struct {
	Phase          *Phase  `json:"phase,omitempty"`
	Status         *Status `json:"status,omitempty"`
	StatusOverride *Status `json:"status_override,omitempty"`
	Extra          Extra   `json:"-"`
}

// Component is the BOS record of one node. Absent members stay absent: read them with Value or the methods below.
// Source: BOS v2 API, V2Component.
type Component struct {
	ID           ComponentID      `json:"id,omitempty"`
	ActualState  *ActualState     `json:"actual_state,omitempty"`
	DesiredState *DesiredState    `json:"desired_state,omitempty"`
	StagedState  *StagedState     `json:"staged_state,omitempty"`
	LastAction   *LastAction      `json:"last_action,omitempty"`
	EventStats   *EventStats      `json:"event_stats,omitempty"`
	Status       *ComponentStatus `json:"status,omitempty"`
	Enabled      *bool            `json:"enabled,omitempty"`
	Error        *string          `json:"error,omitempty"`
	Session      *string          `json:"session,omitempty"`
	RetryPolicy  *int             `json:"retry_policy,omitempty"` // attempts per action; absent = option default_retry_policy, -1 = unlimited
	Extra        Extra            `json:"-"`
}

// ComponentPatch is a sparse change of a component: only the members that are present are written, merged as the BOS
// v2 API describes. It is built from what shall change, never from a record read before: `enabled: true` puts a node on
// hold, `desired_state` without `session` blanks the session, and `last_action` restarts the wait clocks.
type ComponentPatch Component

// IsEnabled reports whether BOS acts on the component; absent counts as false.
func (c *Component) IsEnabled() bool { return Value(c.Enabled) }

// ErrorText returns the component's error, empty where there is none.
func (c *Component) ErrorText() string { return Value(c.Error) }

// SessionName returns the session that owns or last owned the component.
func (c *Component) SessionName() string { return Value(c.Session) }

// StagedSession returns the session whose stage the component carries.
func (c *Component) StagedSession() string {
	if c.StagedState == nil {
		return ""
	}
	return Value(c.StagedState.Session)
}

// CurrentPhase returns the phase, empty where there is none.
func (c *Component) CurrentPhase() Phase {
	if c.Status == nil {
		return PhaseNone
	}
	return Value(c.Status.Phase)
}

// Override returns the status override, empty where there is none.
func (c *Component) Override() Status {
	if c.Status == nil {
		return ""
	}
	return Value(c.Status.StatusOverride)
}

// Action returns what BOS did last, empty where nothing is recorded.
func (c *Component) Action() Action {
	if c.LastAction == nil {
		return ""
	}
	return Value(c.LastAction.Action)
}

// ActionFailed reports the failed flag of the last action.
func (c *Component) ActionFailed() bool { return c.LastAction != nil && Value(c.LastAction.Failed) }

// ActionTime returns when the last action was recorded, empty where it was not.
func (c *Component) ActionTime() Timestamp {
	if c.LastAction == nil {
		return ""
	}
	return Value(c.LastAction.LastUpdated)
}

// ReportTime returns when the actual state was written last, empty where it was not.
func (c *Component) ReportTime() Timestamp {
	if c.ActualState == nil {
		return ""
	}
	return Value(c.ActualState.LastUpdated)
}

// DesiredArtifacts returns the artifacts BOS works towards; Kernel empty means off.
func (c *Component) DesiredArtifacts() BootArtifacts {
	if c.DesiredState == nil {
		return BootArtifacts{}
	}
	return c.DesiredState.BootArtifacts.Artifacts()
}

// DesiredConfiguration returns the CFS configuration BOS works towards; empty means that CFS is disabled.
func (c *Component) DesiredConfiguration() string {
	if c.DesiredState == nil {
		return ""
	}
	return Value(c.DesiredState.Configuration)
}

// ActualArtifacts returns the artifacts the node reported.
func (c *Component) ActualArtifacts() BootArtifacts {
	if c.ActualState == nil {
		return BootArtifacts{}
	}
	return c.ActualState.BootArtifacts.Artifacts()
}

// Attempts returns the three counters, absent ones zero.
func (c *Component) Attempts() (on, graceful, forceful int) {
	if c.EventStats == nil {
		return 0, 0, 0
	}
	s := c.EventStats
	return Value(s.PowerOnAttempts), Value(s.PowerOffGracefulAttempts), Value(s.PowerOffForcefulAttempts)
}

// ComponentFilter selects components; its members are ANDed and the zero value selects all.
type ComponentFilter struct {
	Tenant        string        // only components that TAPMS gives to this tenant; empty = the whole system
	IDs           []ComponentID // only these; unknown ones are skipped. Nil = all, empty = none
	Session       string        // equal to session
	StagedSession string        // equal to staged_state.session
	Enabled       *bool         // equal to enabled; a record without it matches neither
	Phase         Phase         // equal to status.phase; PhaseNone = any
	Status        []Status      // the computed status is one of these; empty = any
	StartAfter    ComponentID   // only ids greater than this one, by code point
	PageSize      int           // at most so many matches; 0 = all
}

// Match reports whether the component itself passes. Tenant and PageSize are the caller's business.
func (f *ComponentFilter) Match(c *Component) bool {
	switch {
	case f.IDs != nil && !slices.Contains(f.IDs, c.ID):
		return false
	case f.StartAfter != "" && c.ID <= f.StartAfter:
		return false
	}
	return f.MatchState(c)
}

// MatchState is Match without IDs and StartAfter, for callers that have selected by id already.
func (f *ComponentFilter) MatchState(c *Component) bool {
	switch {
	case f.Session != "" && c.SessionName() != f.Session,
		f.StagedSession != "" && c.StagedSession() != f.StagedSession,
		f.Enabled != nil && (c.Enabled == nil || *c.Enabled != *f.Enabled),
		f.Phase != PhaseNone && c.CurrentPhase() != f.Phase:
		return false
	}
	return len(f.Status) == 0 || slices.Contains(f.Status, c.ComputeStatus())
}

// ComponentsPatch is the filter form of a bulk change: one patch for every selected component.
// Exactly one of IDs and Session is set. Source: BOS v2 API, V2ComponentsUpdate.
type ComponentsPatch struct {
	Tenant     string
	IDs        []ComponentID
	Session    string
	SkipBadIDs bool // leave unknown ids out instead of failing with ErrNotFound
	Patch      ComponentPatch
}

// Guard names values of a component as they were read. A guarded patch is written only while all that are present
// still hold; otherwise it is dropped, never merged. Values rather than revisions, so that writers which know no
// revisions are noticed too.
type Guard struct {
	Session       *string         `json:"session,omitempty"`
	Enabled       *bool           `json:"enabled,omitempty"`
	BootArtifacts *ArtifactFields `json:"boot_artifacts,omitempty"` // of the desired state
	Configuration *string         `json:"configuration,omitempty"`  // of the desired state
	Phase         *Phase          `json:"phase,omitempty"`          // not of GuardOf: who acts within a phase adds it

	// Reported is last_updated of the actual state; empty = there is none. Not of GuardOf: who judges a report adds it.
	// It does not tell two reports of one second apart, nor sees a token that nobody has recorded, which renews no stamp.
	Reported *Timestamp `json:"reported,omitempty"`

	// StatusOverride is not of GuardOf: who decides on it, or takes it back, adds it.
	StatusOverride *Status `json:"status_override,omitempty"`

	// Action is that of the last action, empty = there is none. Not of GuardOf: who records an action adds it, so that a
	// late record does not hide what was done since.
	Action *Action `json:"action,omitempty"`
}

// GuardOf returns a guard on everything that a session or an administrator changes when they take the component over.
func GuardOf(c *Component) *Guard {
	return &Guard{
		Session:       new(c.SessionName()),
		Enabled:       new(c.IsEnabled()),
		BootArtifacts: c.DesiredArtifacts().Fields(),
		Configuration: new(c.DesiredConfiguration()),
	}
}

// Holds reports whether the component still has the guarded values. A nil guard always holds; absent members of the
// component count as empty.
func (g *Guard) Holds(c *Component) bool {
	switch {
	case g == nil:
		return true
	case g.Session != nil && *g.Session != c.SessionName(),
		g.Enabled != nil && *g.Enabled != c.IsEnabled(),
		g.BootArtifacts != nil && !g.BootArtifacts.Artifacts().Same(c.DesiredArtifacts()),
		g.Configuration != nil && *g.Configuration != c.DesiredConfiguration(),
		g.Phase != nil && *g.Phase != c.CurrentPhase(),
		g.Reported != nil && *g.Reported != c.ReportTime(),
		g.StatusOverride != nil && *g.StatusOverride != c.Override(),
		g.Action != nil && *g.Action != c.Action():
		return false
	}
	return true
}

// GuardedPatch is one item of POST /v2/componentpatches, an addition of ours to the API.
type GuardedPatch struct {
	ID    ComponentID    `json:"id"`
	If    *Guard         `json:"if,omitempty"`
	Patch ComponentPatch `json:"patch"`
}

// GuardedPatches is the body of POST /v2/componentpatches. With a lease token the whole request is refused with
// ErrConflict once the writer (WithWriter) no longer holds its lease under that token.
type GuardedPatches struct {
	Lease   int64          `json:"lease,omitempty"` // 0 = no lease is checked
	Patches []GuardedPatch `json:"patches"`
}

// GuardedResult says what became of each patch.
type GuardedResult struct {
	Written []ComponentID `json:"written"` // stored
	Stale   []ComponentID `json:"stale"`   // the guard no longer held; nothing written
	Missing []ComponentID `json:"missing"` // no such component
}

// ApplyStagedResult says what became of each xname of POST /v2/applystaged.
type ApplyStagedResult struct {
	Succeeded []ComponentID `json:"succeeded"`
	Failed    []ComponentID `json:"failed"`
	Ignored   []ComponentID `json:"ignored"`
}
