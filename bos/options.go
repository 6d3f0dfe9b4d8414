package bos

import (
	"encoding/json"
	"time"
)

// Options are the settings that administrators change while BOS runs; every part of BOS follows a change without a
// restart. Waits and time-outs are whole seconds on the wire. Source: BOS v2 API, V2Options.
type Options struct {
	BSSReadTimeout             time.Duration // default 20 s, 10 s to 1 day; likewise the other read time-outs
	CFSReadTimeout             time.Duration
	HSMReadTimeout             time.Duration
	IMSReadTimeout             time.Duration
	PCSReadTimeout             time.Duration
	CleanupCompletedSessionTTL string        // default "7d"; complete sessions older than this are deleted, 0 = never
	ClearStage                 bool          // applying a stage empties it; default false
	ComponentActualStateTTL    string        // default "4h"; how long a reported state is trusted
	DefaultRetryPolicy         int           // default 3; attempts per action
	DiscoveryFrequency         time.Duration // default 300 s, between looks at HSM
	IMSErrorsFatal             bool          // an unreachable IMS fails validation; default false
	IMSImagesMustExist         bool          // an image missing in IMS fails validation; default false
	LoggingLevel               string        // default "INFO"; stored as given, any letter case
	MaxBootWaitTime            time.Duration // default 1200 s, from power-on to the node's report
	MaxComponentBatchSize      int           // default 2800; 0 = unlimited
	MaxPowerOffWaitTime        time.Duration // default 300 s, before a node is forced off (again)
	MaxPowerOnWaitTime         time.Duration // default 120 s, before power-on is called again
	PollingFrequency           time.Duration // default 15 s, the safety net under the events
	RejectNIDs                 bool          // names that look like NIDs are errors; default false
	SessionLimitRequired       bool          // a session needs a limit; default false
	Extra                      Extra
}

// DefaultOptions returns the value of every option before anybody has set it.
func DefaultOptions() Options {
	return Options{
		BSSReadTimeout: 20 * time.Second, CFSReadTimeout: 20 * time.Second, HSMReadTimeout: 20 * time.Second,
		IMSReadTimeout: 20 * time.Second, PCSReadTimeout: 20 * time.Second,
		CleanupCompletedSessionTTL: "7d",
		ComponentActualStateTTL:    "4h",
		DefaultRetryPolicy:         3,
		DiscoveryFrequency:         300 * time.Second,
		LoggingLevel:               "INFO",
		MaxBootWaitTime:            1200 * time.Second,
		MaxComponentBatchSize:      2800,
		MaxPowerOffWaitTime:        300 * time.Second,
		MaxPowerOnWaitTime:         120 * time.Second,
		PollingFrequency:           15 * time.Second,
	}
}

// OptionsPatch changes the options that are present. Unknown ones are kept in Extra: the API echoes them once and
// forgets them.
type OptionsPatch struct {
	BSSReadTimeout             *int    `json:"bss_read_timeout,omitempty"`
	CFSReadTimeout             *int    `json:"cfs_read_timeout,omitempty"`
	HSMReadTimeout             *int    `json:"hsm_read_timeout,omitempty"`
	IMSReadTimeout             *int    `json:"ims_read_timeout,omitempty"`
	PCSReadTimeout             *int    `json:"pcs_read_timeout,omitempty"`
	CleanupCompletedSessionTTL *string `json:"cleanup_completed_session_ttl,omitempty"`
	ClearStage                 *bool   `json:"clear_stage,omitempty"`
	ComponentActualStateTTL    *string `json:"component_actual_state_ttl,omitempty"`
	DefaultRetryPolicy         *int    `json:"default_retry_policy,omitempty"`
	DiscoveryFrequency         *int    `json:"discovery_frequency,omitempty"`
	IMSErrorsFatal             *bool   `json:"ims_errors_fatal,omitempty"`
	IMSImagesMustExist         *bool   `json:"ims_images_must_exist,omitempty"`
	LoggingLevel               *string `json:"logging_level,omitempty"`
	MaxBootWaitTime            *int    `json:"max_boot_wait_time,omitempty"`
	MaxComponentBatchSize      *int    `json:"max_component_batch_size,omitempty"`
	MaxPowerOffWaitTime        *int    `json:"max_power_off_wait_time,omitempty"`
	MaxPowerOnWaitTime         *int    `json:"max_power_on_wait_time,omitempty"`
	PollingFrequency           *int    `json:"polling_frequency,omitempty"`
	RejectNIDs                 *bool   `json:"reject_nids,omitempty"`
	SessionLimitRequired       *bool   `json:"session_limit_required,omitempty"`
	Extra                      Extra   `json:"-"`
}

// Apply writes the members of p that are present into o.
func (o *Options) Apply(p OptionsPatch) {
	seconds := func(dst *time.Duration, v *int) {
		if v != nil {
			*dst = time.Duration(*v) * time.Second
		}
	}
	seconds(&o.BSSReadTimeout, p.BSSReadTimeout)
	seconds(&o.CFSReadTimeout, p.CFSReadTimeout)
	seconds(&o.HSMReadTimeout, p.HSMReadTimeout)
	seconds(&o.IMSReadTimeout, p.IMSReadTimeout)
	seconds(&o.PCSReadTimeout, p.PCSReadTimeout)
	set(&o.CleanupCompletedSessionTTL, p.CleanupCompletedSessionTTL)
	set(&o.ClearStage, p.ClearStage)
	set(&o.ComponentActualStateTTL, p.ComponentActualStateTTL)
	set(&o.DefaultRetryPolicy, p.DefaultRetryPolicy)
	seconds(&o.DiscoveryFrequency, p.DiscoveryFrequency)
	set(&o.IMSErrorsFatal, p.IMSErrorsFatal)
	set(&o.IMSImagesMustExist, p.IMSImagesMustExist)
	set(&o.LoggingLevel, p.LoggingLevel)
	seconds(&o.MaxBootWaitTime, p.MaxBootWaitTime)
	set(&o.MaxComponentBatchSize, p.MaxComponentBatchSize)
	seconds(&o.MaxPowerOffWaitTime, p.MaxPowerOffWaitTime)
	seconds(&o.MaxPowerOnWaitTime, p.MaxPowerOnWaitTime)
	seconds(&o.PollingFrequency, p.PollingFrequency)
	set(&o.RejectNIDs, p.RejectNIDs)
	set(&o.SessionLimitRequired, p.SessionLimitRequired)
	o.Extra = p.Extra.Clone()
}

func set[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

// patch returns every option as a patch: the wire form.
func (o Options) patch() OptionsPatch {
	seconds := func(d time.Duration) *int { return new(int(d / time.Second)) }
	return OptionsPatch{
		BSSReadTimeout: seconds(o.BSSReadTimeout), CFSReadTimeout: seconds(o.CFSReadTimeout), HSMReadTimeout: seconds(o.HSMReadTimeout),
		IMSReadTimeout: seconds(o.IMSReadTimeout), PCSReadTimeout: seconds(o.PCSReadTimeout),
		CleanupCompletedSessionTTL: new(o.CleanupCompletedSessionTTL),
		ClearStage:                 new(o.ClearStage),
		ComponentActualStateTTL:    new(o.ComponentActualStateTTL),
		DefaultRetryPolicy:         new(o.DefaultRetryPolicy),
		DiscoveryFrequency:         seconds(o.DiscoveryFrequency),
		IMSErrorsFatal:             new(o.IMSErrorsFatal),
		IMSImagesMustExist:         new(o.IMSImagesMustExist),
		LoggingLevel:               new(o.LoggingLevel),
		MaxBootWaitTime:            seconds(o.MaxBootWaitTime),
		MaxComponentBatchSize:      new(o.MaxComponentBatchSize),
		MaxPowerOffWaitTime:        seconds(o.MaxPowerOffWaitTime),
		MaxPowerOnWaitTime:         seconds(o.MaxPowerOnWaitTime),
		PollingFrequency:           seconds(o.PollingFrequency),
		RejectNIDs:                 new(o.RejectNIDs),
		SessionLimitRequired:       new(o.SessionLimitRequired),
		Extra:                      o.Extra,
	}
}

// MarshalJSON writes all options, and the unknown ones after them.
func (o Options) MarshalJSON() ([]byte, error) { return json.Marshal(o.patch()) }

// UnmarshalJSON reads what is there over the defaults; unknown options are kept in Extra. A stored
// component_actual_state_ttl that releases before 2.50 allowed ("30m") falls back to the default, as in the reference.
func (o *Options) UnmarshalJSON(data []byte) error {
	var p OptionsPatch
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if p.ComponentActualStateTTL != nil && !ValidActualStateTTL(*p.ComponentActualStateTTL) {
		p.ComponentActualStateTTL = nil
	}
	*o = DefaultOptions()
	o.Apply(p)
	return nil
}

// ValidActualStateTTL reports whether text is a legal component_actual_state_ttl: a positive number and one of h, d, w
// in either case, 2 to 8 characters.
func ValidActualStateTTL(text string) bool {
	if len(text) < 2 || len(text) > 8 || text[0] == '0' {
		return false
	}
	for _, c := range []byte(text[:len(text)-1]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	switch text[len(text)-1] | 0x20 {
	case 'h', 'd', 'w':
		return true
	}
	return false
}

// Settings are options that the reference does not have. They live under a path of their own, /v2/settings, so that
// GET /v2/options keeps its twenty keys. Durations are whole seconds on the wire.
type Settings struct {
	// MaxConfigureWaitTime is how long a component may stay in configuring before it fails; 0 (default) = for ever.
	MaxConfigureWaitTime int `json:"max_configure_wait_time"`
	// UnreachableGraceTime is how long an unreadable power state is held before the component counts as on; 0 (default)
	// means the longer of a minute and four polling periods. Seconds.
	UnreachableGraceTime int `json:"unreachable_grace_time"`
	// SessionSetupRetryTime is how long a set-up that meets an outage is retried before the session fails; default 1800 s.
	SessionSetupRetryTime int `json:"session_setup_retry_time"`
	// MaxNodesPerTransition bounds one request to PCS; default 1000, 1 to 2500.
	MaxNodesPerTransition int `json:"max_nodes_per_transition"`
	// TokenRetentionTime is how long the record of a BSS token is kept after the last component that had it; 0 = for ever.
	// At least component_actual_state_ttl, within which a node repeats its token. Default 604800 s, a week.
	TokenRetentionTime int `json:"token_retention_time"`
	// MaxSessionTime is how long a session may take before it is canceled, from its start or from the end of the last
	// pause; 0 (default) = for ever. Seconds. Staged sessions, which wait for people, have no limit.
	MaxSessionTime int `json:"max_session_time"`
	// Paused (default false) keeps BOS from beginning anything: no session is accepted or set up, no node is powered or
	// configured. What waits goes on waiting and uses no attempts.
	Paused bool `json:"paused"`
	// ResumedAt is when Paused was last set back to false, by the server; empty = never.
	ResumedAt Timestamp `json:"resumed_at,omitempty"`
	// RequireImageTag keeps nodes off whose image IMS cannot tag for the Scalable Boot Projection Service, unless it has the
	// tag; default false: they are booted with an error, as the reference does.
	RequireImageTag bool `json:"require_image_tag"`
}

// MinTokenRetention is the least time for which records of BSS tokens are kept: between the hand-out of a token and the
// report of the node that booted with it.
const MinTokenRetention = time.Hour

// DefaultSettings returns the value of every setting before anybody has set it.
func DefaultSettings() Settings {
	return Settings{SessionSetupRetryTime: 1800, MaxNodesPerTransition: 1000, TokenRetentionTime: 7 * 24 * 3600}
}

// SettingsPatch changes the settings that are present.
type SettingsPatch struct {
	TokenRetentionTime    *int  `json:"token_retention_time,omitempty"`
	MaxConfigureWaitTime  *int  `json:"max_configure_wait_time,omitempty"`
	UnreachableGraceTime  *int  `json:"unreachable_grace_time,omitempty"`
	SessionSetupRetryTime *int  `json:"session_setup_retry_time,omitempty"`
	MaxNodesPerTransition *int  `json:"max_nodes_per_transition,omitempty"`
	MaxSessionTime        *int  `json:"max_session_time,omitempty"`
	Paused                *bool `json:"paused,omitempty"`
	RequireImageTag       *bool `json:"require_image_tag,omitempty"`
}

// Apply writes the members of p that are present into s, all or nothing. The error is a *FieldError.
func (s *Settings) Apply(p SettingsPatch) error {
	next := *s
	for _, f := range []struct {
		name     string
		dst      *int
		v        *int
		min, max int
	}{
		{"max_configure_wait_time", &next.MaxConfigureWaitTime, p.MaxConfigureWaitTime, 0, maxSeconds},
		{"unreachable_grace_time", &next.UnreachableGraceTime, p.UnreachableGraceTime, 0, maxSeconds},
		{"session_setup_retry_time", &next.SessionSetupRetryTime, p.SessionSetupRetryTime, 0, maxSeconds},
		{"max_nodes_per_transition", &next.MaxNodesPerTransition, p.MaxNodesPerTransition, 1, 2500},
		{"token_retention_time", &next.TokenRetentionTime, p.TokenRetentionTime, 0, 32 * maxSeconds},
		{"max_session_time", &next.MaxSessionTime, p.MaxSessionTime, 0, maxSeconds},
	} {
		if f.v == nil {
			continue
		}
		if err := inRange(f.name, *f.v, f.min, f.max); err != nil {
			return err
		}
		*f.dst = *f.v
	}
	set(&next.Paused, p.Paused)
	set(&next.RequireImageTag, p.RequireImageTag)
	*s = next
	return nil
}

// maxSeconds is the upper bound of waits and counters. Source: BOS v2 API, Options.
const maxSeconds = 1 << 20
