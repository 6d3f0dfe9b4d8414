package bos

import (
	"strings"
	"time"
)

// Operation is what a session does to its nodes.
type Operation string

// The operations. Source: BOS v2 API, V2SessionCreate.operation.
const (
	OperationBoot     Operation = "boot"
	OperationReboot   Operation = "reboot"
	OperationShutdown Operation = "shutdown"
)

// SessionState is the state of a session. A session that could not be set up is complete, with an error.
type SessionState string

// The states.
const (
	SessionPending  SessionState = "pending"
	SessionRunning  SessionState = "running"
	SessionComplete SessionState = "complete"
)

// SessionStatus is the progress of a session.
type SessionStatus struct {
	StartTime Timestamp    `json:"start_time,omitempty"`
	EndTime   NullString   `json:"end_time"`
	Status    SessionState `json:"status,omitempty"`
	Error     NullString   `json:"error"`
	Extra     Extra        `json:"-"`
}

// Session is one operation on the components of a template. Source: BOS v2 API, V2Session.
type Session struct {
	Name            string         `json:"name"`
	Tenant          NullString     `json:"tenant"`
	Operation       Operation      `json:"operation"`
	TemplateName    string         `json:"template_name"`
	Limit           string         `json:"limit"`
	Stage           bool           `json:"stage"`
	Components      string         `json:"components"` // comma-separated ids, set when the session runs
	IncludeDisabled bool           `json:"include_disabled"`
	Status          *SessionStatus `json:"status,omitempty"`
	Extra           Extra          `json:"-"`
}

// Key returns the identity of the session.
func (s *Session) Key() TenantKey { return TenantKey{Tenant: string(s.Tenant), Name: s.Name} }

// State returns the state, empty where the record has none.
func (s *Session) State() SessionState {
	if s.Status == nil {
		return ""
	}
	return s.Status.Status
}

// canceled begins the error of a session that was canceled, and those of its components.
const canceled = "canceled"

// CanceledError returns the error of a session that is canceled for the reason, which may be empty.
func CanceledError(reason string) string {
	if reason == "" {
		return canceled
	}
	return canceled + ": " + reason
}

// Canceled reports whether the session was canceled: its error says so. One that still runs is about to end.
func (s *Session) Canceled() bool {
	return s.Status != nil && (s.Status.Error == canceled || strings.HasPrefix(string(s.Status.Error), canceled+": "))
}

// SessionCanceled is what canceling a session has done.
type SessionCanceled struct {
	Name       string `json:"name"`
	Tenant     string `json:"tenant,omitempty"`
	Components int    `json:"components"` // that were on their way and have been disabled
	Unstaged   int    `json:"unstaged"`   // whose stage has been cleared, be it applied or not
}

// SessionCreate is the body of POST /v2/sessions.
type SessionCreate struct {
	Name            string    `json:"name,omitempty"` // empty = a random UUID
	Operation       Operation `json:"operation"`
	TemplateName    string    `json:"template_name"`
	Limit           string    `json:"limit,omitempty"`
	Stage           bool      `json:"stage,omitempty"`
	IncludeDisabled bool      `json:"include_disabled,omitempty"`
}

// SessionPatch changes a session: status member by member, components as a whole.
type SessionPatch struct {
	Components *string             `json:"components,omitempty"`
	Status     *SessionStatusPatch `json:"status,omitempty"`
}

// SessionStatusPatch changes the members that are present; an empty EndTime or Error is stored as null.
type SessionStatusPatch struct {
	StartTime *Timestamp    `json:"start_time,omitempty"`
	EndTime   *NullString   `json:"end_time,omitempty"`
	Status    *SessionState `json:"status,omitempty"`
	Error     *NullString   `json:"error,omitempty"`
}

// SessionFilter selects sessions; its members are ANDed and the zero value selects all of all tenants.
type SessionFilter struct {
	Tenant string         // stored tenant equals this; empty = every tenant
	Status SessionState   // empty = any
	MinAge *time.Duration // started at least so long ago
	MaxAge *time.Duration // started at most so long ago
}

// ExtendedStatus is the summary of a session over its components. Source: BOS v2 API, V2SessionExtendedStatus.
type ExtendedStatus struct {
	Status                 SessionState            `json:"status,omitempty"`
	ManagedComponentsCount int                     `json:"managed_components_count"`
	Phases                 PhasePercentages        `json:"phases"`
	PercentSuccessful      float64                 `json:"percent_successful"`
	PercentFailed          float64                 `json:"percent_failed"`
	PercentStaged          float64                 `json:"percent_staged"`
	ErrorSummary           map[string]ErrorSummary `json:"error_summary"`
	Timing                 SessionTiming           `json:"timing"`
}

// PhasePercentages are shares of the managed components, 0 to 100, rounded to two decimals.
type PhasePercentages struct {
	Complete    float64 `json:"percent_complete"`
	PoweringOn  float64 `json:"percent_powering_on"`
	PoweringOff float64 `json:"percent_powering_off"`
	Configuring float64 `json:"percent_configuring"`
}

// ErrorSummary groups the components that share an error text.
type ErrorSummary struct {
	Count int    `json:"count"`
	List  string `json:"list"` // up to ten ids joined by commas, then "..." if there are more
}

// SessionTiming is when a session ran.
type SessionTiming struct {
	StartTime Timestamp  `json:"start_time"`
	EndTime   NullString `json:"end_time"`
	Duration  string     `json:"duration"` // "[D day[s], ]H:MM:SS[.ffffff]"
}
