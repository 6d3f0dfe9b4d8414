package store

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/bootorch/bosgo/bos"
)

// change is the outcome of comparing a record before and after a write; see the functions of each kind.
type change = bos.Change

// created is the member that a change names first when there was no record before.
const created = "id"

// componentChange compares two states of a component; nil means no record. The result is nil when nothing changed.
// Absent and empty members are the same where BOS treats them so. Stamps alone make a heartbeat, except that of the
// last action, from which the waits are counted.
func componentChange(id bos.ComponentID, old, new *bos.Component) *change {
	c := &change{Kind: bos.ChangeComponent, ID: string(id)}
	after := new
	if new == nil {
		c.Deleted = true
		after = orZero(old) // nil when it was corrupt
	}
	c.Enabled, c.Status, c.Phase = after.IsEnabled(), after.ComputeStatus(), after.CurrentPhase()
	c.Session, c.StagedSession = after.SessionName(), after.StagedSession()
	if new == nil {
		return c
	}
	if old == nil {
		c.Fields = append(c.Fields, created)
		old = &bos.Component{}
	}
	c.Fields = append(c.Fields, componentFields(old, new)...)
	if len(c.Fields) > 0 {
		return c
	}
	if sameJSON(old, new) {
		return nil
	}
	c.Heartbeat = true
	return c
}

// componentFields names the members that differ, stamps left out.
func componentFields(old, new *bos.Component) []string {
	var fields []string
	add := func(changed bool, name string) {
		if changed {
			fields = append(fields, name)
		}
	}
	oldActual, newActual := orZero(old.ActualState), orZero(new.ActualState)
	oldDesired, newDesired := orZero(old.DesiredState), orZero(new.DesiredState)
	oldStaged, newStaged := orZero(old.StagedState), orZero(new.StagedState)
	oldStatus, newStatus := orZero(old.Status), orZero(new.Status)

	add(differ(old.Enabled, new.Enabled), "enabled")
	add(old.ErrorText() != new.ErrorText(), "error")
	add(old.SessionName() != new.SessionName(), "session")
	add(differ(old.RetryPolicy, new.RetryPolicy), "retry_policy")

	add(artifactsDiffer(oldActual.BootArtifacts, newActual.BootArtifacts), "actual_state.boot_artifacts")
	add(bos.Value(oldActual.BSSToken) != bos.Value(newActual.BSSToken), "actual_state.bss_token")
	fields = extraFields(fields, "actual_state.", oldActual.Extra, newActual.Extra)

	add(artifactsDiffer(oldDesired.BootArtifacts, newDesired.BootArtifacts), "desired_state.boot_artifacts")
	add(bos.Value(oldDesired.Configuration) != bos.Value(newDesired.Configuration), "desired_state.configuration")
	add(bos.Value(oldDesired.BSSToken) != bos.Value(newDesired.BSSToken), "desired_state.bss_token")
	fields = extraFields(fields, "desired_state.", oldDesired.Extra, newDesired.Extra)

	add(artifactsDiffer(oldStaged.BootArtifacts, newStaged.BootArtifacts), "staged_state.boot_artifacts")
	add(bos.Value(oldStaged.Configuration) != bos.Value(newStaged.Configuration), "staged_state.configuration")
	add(bos.Value(oldStaged.Session) != bos.Value(newStaged.Session), "staged_state.session")
	fields = extraFields(fields, "staged_state.", oldStaged.Extra, newStaged.Extra)

	add(old.Action() != new.Action(), "last_action.action")
	add(old.ActionFailed() != new.ActionFailed(), "last_action.failed")
	add(old.ActionTime() != new.ActionTime(), "last_action.last_updated")
	fields = extraFields(fields, "last_action.", orZero(old.LastAction).Extra, orZero(new.LastAction).Extra)

	oldOn, oldGraceful, oldForceful := old.Attempts()
	newOn, newGraceful, newForceful := new.Attempts()
	add(oldOn != newOn, "event_stats.power_on_attempts")
	add(oldGraceful != newGraceful, "event_stats.power_off_graceful_attempts")
	add(oldForceful != newForceful, "event_stats.power_off_forceful_attempts")
	fields = extraFields(fields, "event_stats.", orZero(old.EventStats).Extra, orZero(new.EventStats).Extra)

	add(bos.Value(oldStatus.Phase) != bos.Value(newStatus.Phase), "status.phase")
	add(bos.Value(oldStatus.StatusOverride) != bos.Value(newStatus.StatusOverride), "status.status_override")
	fields = extraFields(fields, "status.", oldStatus.Extra, newStatus.Extra)

	return extraFields(fields, "", old.Extra, new.Extra)
}

func orZero[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// differ compares members where absent is not the same as empty.
func differ[T comparable](a, b *T) bool {
	return (a == nil) != (b == nil) || a != nil && *a != *b
}

func artifactsDiffer(a, b *bos.ArtifactFields) bool {
	return !a.Artifacts().Same(b.Artifacts()) || !maps.EqualFunc(orZero(a).Extra, orZero(b).Extra, rawEqual)
}

func rawEqual(a, b json.RawMessage) bool { return bytes.Equal(a, b) }

// extraFields appends the names of unknown members that differ.
func extraFields(fields []string, prefix string, old, new bos.Extra) []string {
	if len(old) == 0 && len(new) == 0 {
		return fields
	}
	for _, name := range changedKeys(old, new, rawEqual) {
		fields = append(fields, prefix+name)
	}
	return fields
}

// changedKeys returns the keys whose values differ, in ascending order.
func changedKeys[V any, M ~map[string]V](old, new M, equal func(a, b V) bool) []string {
	var keys []string
	for key, a := range old {
		if b, ok := new[key]; !ok || !equal(a, b) {
			keys = append(keys, key)
		}
	}
	for key := range new {
		if _, ok := old[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func sessionChange(key bos.TenantKey, old, new *bos.Session) *change {
	c := membersChange(bos.ChangeSession, old, new)
	if c == nil {
		return nil
	}
	c.ID, c.Tenant = key.Name, key.Tenant
	if new == nil {
		new = orZero(old)
	}
	c.Status = bos.Status(new.State())
	return c
}

func templateChange(key bos.TenantKey, old, new *bos.SessionTemplate) *change {
	c := membersChange(bos.ChangeTemplate, old, new)
	if c != nil {
		c.ID, c.Tenant = key.Name, key.Tenant
	}
	return c
}

// leaseChange tells of a new holder. Renewals are nobody's business.
func leaseChange(operator string, old, new *LeaseRecord) *change {
	if orZero(old).Holder == orZero(new).Holder {
		return nil
	}
	return &change{Kind: bos.ChangeLease, ID: operator, Fields: []string{"holder"}, Deleted: orZero(new).Holder == ""}
}

func transitionChange(id string, old, new *bos.PowerTransition) *change {
	c := membersChange(bos.ChangePower, old, new)
	if c != nil {
		c.ID = id
	}
	return c
}

// membersChange compares two records by their JSON members, down to the second level; nil means no record. The result
// is nil when nothing changed.
func membersChange[V any](kind bos.ChangeKind, old, new *V) *change {
	c := &change{Kind: kind}
	if new == nil {
		c.Deleted = true
		return c
	}
	before, after := members(old), members(new)
	if old == nil {
		c.Fields = append(c.Fields, created)
	}
	for _, name := range changedKeys(before, after, rawEqual) {
		was, is := object(before[name]), object(after[name])
		if was == nil || is == nil {
			c.Fields = append(c.Fields, name)
			continue
		}
		for _, sub := range changedKeys(was, is, rawEqual) {
			c.Fields = append(c.Fields, name+"."+sub)
		}
	}
	if len(c.Fields) == 0 {
		return nil
	}
	return c
}

// members returns the JSON members of a record. encoding/json writes equal values equally, so they compare as bytes.
func members[V any](v *V) map[string]json.RawMessage {
	if v == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return object(data)
}

// object returns the members of a JSON object, nil for any other value.
func object(data []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil {
		return nil
	}
	return m
}
