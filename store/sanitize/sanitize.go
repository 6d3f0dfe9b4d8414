// Package sanitize finds the records of an old database that the API of today would not accept, and repairs them or
// takes them out. It does what the reference's migration job does after an upgrade, with two differences: a template
// under a wrong key is moved to the right one if that is free, and nothing is deleted before its replacement is stored.
//
// Templates, Sessions and Components decide; they are pure functions. Run applies the decisions to a database.
// Source: BOS v2, migration job.
package sanitize

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// Records are the records of one bucket by database key, as they are stored.
type Records map[string][]byte

// Action is what is done about one record.
type Action struct {
	Bucket store.Bucket
	Key    string
	Old    []byte // the record as it is stored
	NewKey string // where the repaired record goes; empty = it is deleted or left
	New    []byte // the repaired record
	Reason string // for people: what was wrong
	Left   bool   // it cannot be read, and is left as it is
}

// String describes the action without the record itself.
func (a Action) String() string {
	what := "delete"
	switch {
	case a.Left:
		what = "leave"
	case a.NewKey != "" && a.NewKey != a.Key:
		what = "move to " + a.NewKey + ":"
	case a.NewKey != "":
		what = "rewrite"
	}
	return fmt.Sprintf("%s %s: %s (%s)", a.Bucket, a.Key, what, a.Reason)
}

// object decodes a record; ok is false for anything that is no JSON object.
func object(raw []byte) (m map[string]any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&m) != nil || m == nil || dec.More() {
		return nil, false
	}
	return m, true
}

// decider works through the records of a bucket.
type decider struct {
	bucket  store.Bucket
	actions []Action
}

// each calls fn for every readable record in order of key.
func (d *decider) each(all Records, fn func(key string, raw []byte, record map[string]any)) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		record, ok := object(all[key])
		if !ok {
			d.actions = append(d.actions, Action{Bucket: d.bucket, Key: key, Old: all[key], Reason: "it is not a JSON object", Left: true})
			continue
		}
		fn(key, all[key], record)
	}
}

func (d *decider) drop(key string, raw []byte, reason string) {
	d.actions = append(d.actions, Action{Bucket: d.bucket, Key: key, Old: raw, Reason: reason})
}

// Components returns what to do about components: one whose id is missing, longer than 127 characters or not its key
// is deleted.
func Components(all Records) []Action {
	d := &decider{bucket: store.BucketComponents}
	d.each(all, func(key string, raw []byte, record map[string]any) {
		id, isString := record["id"].(string)
		switch {
		case !isString || id == "":
			d.drop(key, raw, "it has no id")
		case runes(id) > 127:
			d.drop(key, raw, "its id is longer than 127 characters")
		case id != key:
			d.drop(key, raw, fmt.Sprintf("its id %q is not its key", id))
		}
	})
	return d.actions
}

// Sessions returns what to do about sessions and the saved statuses that go with them: a session whose name or tenant
// is not legal or not that of its key is deleted together with its status.
func Sessions(all, statuses Records) []Action {
	d := &decider{bucket: store.BucketSessions}
	d.each(all, func(key string, raw []byte, record map[string]any) {
		name, _ := record["name"].(string)
		tenant, tenantOK := tenantOf(record)
		reason := ""
		switch {
		case name == "":
			reason = "it has no name"
		case !bos.ValidName(name):
			reason = fmt.Sprintf("its name %q is not legal", name)
		case !tenantOK:
			reason = "its tenant is not legal"
		case bos.TenantKey{Tenant: tenant, Name: name}.DatabaseKey() != key:
			reason = fmt.Sprintf("its key is not that of its name %q and tenant %q", name, tenant)
		default:
			return
		}
		d.drop(key, raw, reason)
		if status, ok := statuses[key]; ok {
			d.actions = append(d.actions, Action{Bucket: store.BucketStatuses, Key: key, Old: status, Reason: "its session is deleted"})
		}
	})
	return d.actions
}

// tenantOf returns the tenant of a record; null and nothing are the system.
func tenantOf(record map[string]any) (tenant string, ok bool) {
	switch v := record["tenant"].(type) {
	case nil:
		return "", true
	case string:
		return v, runes(v) <= 127
	}
	return "", false
}

// token matches the BSS tokens in a component.
var token = regexp.MustCompile(`("bss_token"\s*:\s*)"[^"]*"`)

// withoutTokens returns a record as it may be logged.
func withoutTokens(record []byte) string {
	return string(token.ReplaceAll(record, []byte(`$1"[redacted]"`)))
}

// Run goes through a database in the order templates, sessions, components, and returns what it did, or with dryRun
// would do. Each action is logged, with the record when it is deleted. An error that matches bos.ErrConflict means that
// something else wrote to the database meanwhile: running again completes the work.
func Run(ctx context.Context, d store.Driver, log *slog.Logger, dryRun bool) ([]Action, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var found [4]Records
	for i, b := range []store.Bucket{store.BucketTemplates, store.BucketSessions, store.BucketStatuses, store.BucketComponents} {
		found[i] = Records{}
		for e, err := range d.Scan(ctx, b, "", 0) {
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", b, err)
			}
			found[i][e.Key] = e.Value
		}
	}
	actions := slices.Concat(Templates(found[0]), Sessions(found[1], found[2]), Components(found[3]))
	for _, a := range actions {
		log.InfoContext(ctx, "sanitize", "bucket", a.Bucket.String(), "key", a.Key, "new_key", a.NewKey, "reason", a.Reason, "left", a.Left, "dry_run", dryRun, "record", withoutTokens(a.Old))
	}
	if dryRun {
		return actions, nil
	}
	const step = 100
	for chunk := range slices.Chunk(actions, step) {
		if err := apply(ctx, d, chunk); err != nil {
			return actions, err
		}
	}
	return actions, nil
}

// apply makes the writes of some actions as one step.
func apply(ctx context.Context, d store.Driver, actions []Action) error {
	var writes []store.Mutation
	for _, a := range actions {
		switch {
		case a.Left:
		case a.NewKey == a.Key:
			writes = append(writes, store.Mutation{Bucket: a.Bucket, Key: a.Key, Old: a.Old, New: a.New})
		default:
			if a.NewKey != "" {
				writes = append(writes, store.Mutation{Bucket: a.Bucket, Key: a.NewKey, New: a.New})
			}
			writes = append(writes, store.Mutation{Bucket: a.Bucket, Key: a.Key, Old: a.Old})
		}
	}
	if len(writes) == 0 {
		return nil
	}
	writes[len(writes)-1].Change = &bos.Change{Kind: bos.ChangeResync, Writer: bos.Writer(ctx)}
	lost, err := d.Commit(ctx, writes, true)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if len(lost) > 0 {
		return fmt.Errorf("somebody else wrote to the database meanwhile; run this again: %w", bos.ErrConflict)
	}
	return nil
}
