package bosserver

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
)

// checkTyped checks a value against a schema of the OpenAPI document, as if it had come over HTTP. For rare requests;
// components have checks of their own below.
func checkTyped(schemaName string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", bos.ErrInvalid, err)
	}
	return schemaOf(schemaName).checkRequest(data)
}

// The limits of a component. Source: BOS v2 API, V2Component.
const (
	maxIDLength         = 127
	maxConfiguration    = 127
	maxArtifactPath     = 4095
	maxKernelParameters = 4096
	maxTokenLength      = 65535
	maxErrorLength      = 65536
	maxCounter          = 1 << 20
)

var (
	phases  = []bos.Phase{bos.PhaseConfiguring, bos.PhasePoweringOff, bos.PhasePoweringOn, bos.PhaseNone}
	actions = []bos.Action{
		bos.ActionActualStateCleanup, bos.ActionApplyStaged, bos.ActionNewlyDiscovered, bos.ActionPoweringOffForceful,
		bos.ActionPoweringOffGraceful, bos.ActionPoweringOn, bos.ActionSessionSetup,
	}
)

// fieldCheck collects the first violation.
type fieldCheck struct{ err *bos.FieldError }

func (c *fieldCheck) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = &bos.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
	}
}

func (c *fieldCheck) length(field string, v *string, longest int) {
	if v != nil && len(*v) > longest && utf8.RuneCountInString(*v) > longest {
		c.fail(field, "%s is too long", quoteText(*v))
	}
}

func (c *fieldCheck) sessionName(field string, v *string) {
	if v != nil && *v != "" && !bos.ValidName(*v) {
		c.fail(field, "%s is not valid under any of the given schemas", quoteText(*v))
	}
}

func (c *fieldCheck) count(field string, v *int) {
	switch {
	case v == nil:
	case *v < 0:
		c.fail(field, "%d is less than the minimum of 0", *v)
	case *v > maxCounter:
		c.fail(field, "%d is greater than the maximum of %d", *v, maxCounter)
	}
}

func (c *fieldCheck) artifacts(field string, a *bos.ArtifactFields) {
	if a == nil {
		return
	}
	c.length(field+".kernel", a.Kernel, maxArtifactPath)
	c.length(field+".kernel_parameters", a.KernelParameters, maxKernelParameters)
	c.length(field+".initrd", a.Initrd, maxArtifactPath)
	if a.Timestamp != nil {
		c.fail(field, "Additional properties are not allowed ('timestamp' was unexpected)")
	}
	c.extra(field, a.Extra)
}

func (c *fieldCheck) readOnly(field string, given bool) {
	if given {
		c.fail(field, "Property is read-only")
	}
}

func (c *fieldCheck) extra(field string, e bos.Extra) {
	for name := range e {
		c.fail(field, "Additional properties are not allowed (%s was unexpected)", quoteText(name))
	}
}

// checkComponent reports the first violation of V2Component by a record or patch that is to be written. It says the
// same as the schema, without making JSON of it. The id is checked where it counts.
func checkComponent(v *bos.Component) *bos.FieldError {
	c := &fieldCheck{}
	if s := v.ActualState; s != nil {
		c.artifacts("actual_state.boot_artifacts", s.BootArtifacts)
		c.length("actual_state.bss_token", (*string)(s.BSSToken), maxTokenLength)
		c.readOnly("actual_state.last_updated", s.LastUpdated != nil)
		c.extra("actual_state", s.Extra)
	}
	if s := v.DesiredState; s != nil {
		c.artifacts("desired_state.boot_artifacts", s.BootArtifacts)
		c.length("desired_state.configuration", s.Configuration, maxConfiguration)
		c.length("desired_state.bss_token", (*string)(s.BSSToken), maxTokenLength)
		c.readOnly("desired_state.last_updated", s.LastUpdated != nil)
		c.extra("desired_state", s.Extra)
	}
	if s := v.StagedState; s != nil {
		c.artifacts("staged_state.boot_artifacts", s.BootArtifacts)
		c.length("staged_state.configuration", s.Configuration, maxConfiguration)
		c.sessionName("staged_state.session", s.Session)
		c.readOnly("staged_state.last_updated", s.LastUpdated != nil)
		c.extra("staged_state", s.Extra)
	}
	if a := v.LastAction; a != nil {
		if a.Action != nil && !slices.Contains(actions, *a.Action) {
			c.fail("last_action.action", "%s is not a known action", quoteText(string(*a.Action)))
		}
		c.readOnly("last_action.last_updated", a.LastUpdated != nil)
		c.extra("last_action", a.Extra)
	}
	if s := v.EventStats; s != nil {
		c.count("event_stats.power_on_attempts", s.PowerOnAttempts)
		c.count("event_stats.power_off_graceful_attempts", s.PowerOffGracefulAttempts)
		c.count("event_stats.power_off_forceful_attempts", s.PowerOffForcefulAttempts)
		c.extra("event_stats", s.Extra)
	}
	if s := v.Status; s != nil {
		if s.Phase != nil && !slices.Contains(phases, *s.Phase) {
			c.fail("status.phase", "%s is not a known phase", quoteText(string(*s.Phase)))
		}
		c.readOnly("status.status", s.Status != nil)
		c.length("status.status_override", (*string)(s.StatusOverride), maxErrorLength)
		c.extra("status", s.Extra)
	}
	c.length("error", v.Error, maxErrorLength)
	c.sessionName("session", v.Session)
	c.count("retry_policy", v.RetryPolicy)
	c.extra("", v.Extra)
	return c.err
}

// checkID reports a violation of V2ComponentId.
func checkID(id bos.ComponentID) *bos.FieldError {
	c := &fieldCheck{}
	if id == "" {
		c.fail("id", "'' should be non-empty")
	}
	c.length("id", (*string)(&id), maxIDLength)
	return c.err
}

// checkComponents checks the items of a list, and their ids.
func checkComponents(n int, item func(i int) *bos.Component) error {
	for i := range n {
		v := item(i)
		err := checkID(v.ID)
		if err == nil {
			err = checkComponent(v)
		}
		if err != nil {
			return at(strconv.Itoa(i), err)
		}
	}
	return nil
}

// isEmpty reports whether nothing is given, not even an id.
func isEmpty(v *bos.Component) bool {
	return v.ID == "" && v.ActualState == nil && v.DesiredState == nil && v.StagedState == nil && v.LastAction == nil &&
		v.EventStats == nil && v.Status == nil && v.Enabled == nil && v.Error == nil && v.Session == nil &&
		v.RetryPolicy == nil && len(v.Extra) == 0
}

// checkFilter reports what no component could match.
func checkFilter(f *bos.ComponentFilter) error {
	c := &fieldCheck{}
	c.sessionName("session", &f.Session)
	c.sessionName("staged_session", &f.StagedSession)
	if !slices.Contains(phases, f.Phase) {
		c.fail("phase", "%s is not a known phase", quoteText(string(f.Phase)))
	}
	if f.PageSize < 0 || f.PageSize > maxCounter {
		c.fail("page_size", "%d is not between 0 and %d", f.PageSize, maxCounter)
	}
	if c.err == nil {
		return nil
	}
	return c.err
}
