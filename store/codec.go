package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bootorch/bosgo/bos"
)

// CorruptError is a stored record that cannot be decoded. It matches no sentinel: it is neither the caller's fault nor
// does trying again help. Writing a whole new record repairs it.
type CorruptError struct {
	Bucket Bucket
	Key    string // database key; a BSS token is not shown
	Err    error
}

// Error names the record.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt record %q in %s: %v", e.Key, e.Bucket, e.Err)
}

// transitionPrefix begins the keys of power transitions.
const transitionPrefix = "bos:transition:"

// kind is what the typed layer knows about one kind of record.
type kind[K comparable, V any] struct {
	bucket Bucket
	noun   string
	key    func(K) string
	prefix string                           // of the keys, where another kind shares the bucket and records are scanned
	label  func(K) string                   // the key for people; nil = key
	read   func([]byte) (V, error)          // nil = plain JSON object
	clone  func(V) V                        // nil = encode and decode
	change func(key K, old, new *V) *change // nil = never published
	secret bool                             // the key must not be shown
	// fallback is what a singleton is while nothing is stored.
	fallback func() V
}

var (
	components = &kind[bos.ComponentID, bos.Component]{
		bucket: BucketComponents,
		noun:   "component",
		key:    func(id bos.ComponentID) string { return string(id) },
		clone:  bos.Component.Clone,
		change: componentChange,
	}
	sessions = &kind[bos.TenantKey, bos.Session]{
		bucket: BucketSessions,
		noun:   "session",
		key:    bos.TenantKey.DatabaseKey,
		label:  bos.TenantKey.String,
		clone:  bos.Session.Clone,
		change: sessionChange,
	}
	templates = &kind[bos.TenantKey, bos.SessionTemplate]{
		bucket: BucketTemplates,
		noun:   "session template",
		key:    bos.TenantKey.DatabaseKey,
		label:  bos.TenantKey.String,
		clone:  bos.SessionTemplate.Clone,
		change: templateChange,
	}
	statuses = &kind[bos.TenantKey, bos.ExtendedStatus]{
		bucket: BucketStatuses,
		noun:   "saved status of session",
		key:    bos.TenantKey.DatabaseKey,
		label:  bos.TenantKey.String,
	}
	artifacts = &kind[bos.BSSToken, bos.BootArtifacts]{
		bucket: BucketArtifacts,
		noun:   "boot artifacts of a token",
		key:    func(t bos.BSSToken) string { return string(t) },
		secret: true,
	}
	options = &kind[struct{}, bos.Options]{
		bucket:   BucketOptions,
		noun:     "options",
		key:      func(struct{}) string { return "options" },
		change:   func(_ struct{}, old, new *bos.Options) *change { return membersChange(bos.ChangeOptions, old, new) },
		fallback: bos.DefaultOptions,
	}
	settings = &kind[struct{}, bos.Settings]{
		bucket: BucketOurs,
		noun:   "settings",
		key:    func(struct{}) string { return "bos:settings" },
		read: func(data []byte) (bos.Settings, error) {
			s := bos.DefaultSettings()
			return s, json.Unmarshal(data, &s)
		},
		change:   func(_ struct{}, old, new *bos.Settings) *change { return membersChange(bos.ChangeSettings, old, new) },
		fallback: bos.DefaultSettings,
	}
	transitions = &kind[string, bos.PowerTransition]{
		bucket: BucketOurs,
		noun:   "power transition",
		key:    func(id string) string { return transitionPrefix + id },
		prefix: transitionPrefix,
		change: transitionChange,
	}
	leases = &kind[string, LeaseRecord]{
		bucket: BucketOurs,
		noun:   "lease",
		key:    func(operator string) string { return "bos:lease:" + operator },
		change: leaseChange,
	}
	owners = &kind[bos.ComponentID, Owner]{
		bucket: BucketOurs,
		noun:   "owner of component",
		key:    func(id bos.ComponentID) string { return "bos:owner:" + string(id) },
	}
	stageOwners = &kind[bos.ComponentID, Owner]{
		bucket: BucketOurs,
		noun:   "owner of the stage of component",
		key:    func(id bos.ComponentID) string { return "bos:stageowner:" + string(id) },
	}
	incarnations = &kind[bos.TenantKey, string]{
		bucket: BucketOurs,
		noun:   "incarnation of session",
		key:    func(k bos.TenantKey) string { return "bos:incarnation:" + k.DatabaseKey() },
		label:  bos.TenantKey.String,
		read:   func(data []byte) (string, error) { return readOver("", data) },
	}
)

// readOver decodes data over v.
func readOver[V any](v V, data []byte) (V, error) {
	err := json.Unmarshal(data, &v)
	return v, err
}

func (k *kind[K, V]) encode(v *V) ([]byte, error) {
	marshal := func() ([]byte, error) { return json.Marshal(v) }
	if m, ok := any(v).(json.Marshaler); ok {
		marshal = m.MarshalJSON // what we have written ourselves need not be checked again
	}
	data, err := marshal()
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", k.noun, err)
	}
	return data, nil
}

// decode reads a record. The error is a *CorruptError.
func (k *kind[K, V]) decode(dbKey string, data []byte) (V, error) {
	v, err := k.decodePlain(data)
	if err != nil {
		if k.secret {
			dbKey = "[redacted]"
		}
		var zero V
		return zero, &CorruptError{Bucket: k.bucket, Key: dbKey, Err: err}
	}
	return v, nil
}

func (k *kind[K, V]) decodePlain(data []byte) (v V, err error) {
	if k.read != nil {
		v, err = k.read(data)
		return v, err
	}
	if data = bytes.TrimLeft(data, " \t\r\n"); len(data) == 0 || data[0] != '{' {
		return v, errors.New("not a JSON object")
	}
	if u, ok := any(&v).(json.Unmarshaler); ok {
		err = u.UnmarshalJSON(data) // which checks all of it, so that json.Unmarshal need not do so before
	} else {
		err = json.Unmarshal(data, &v)
	}
	return v, err
}

// copy returns a value that shares nothing with v, the decoded data.
func (k *kind[K, V]) copy(v V, data []byte) V {
	if k.clone != nil {
		return k.clone(v)
	}
	again, _ := k.decodePlain(data) // it was decoded before
	return again
}

func (k *kind[K, V]) notFound(key K) error {
	return fmt.Errorf("%s: %w", k.title(key), bos.ErrNotFound)
}

// title names a record for people.
func (k *kind[K, V]) title(key K) string {
	switch {
	case k.secret, k.fallback != nil:
		return k.noun
	case k.label != nil:
		return k.noun + " " + k.label(key)
	}
	return fmt.Sprintf("%s %v", k.noun, key)
}

// checkKey refuses keys that no record can have.
func (k *kind[K, V]) checkKey(dbKey string) error {
	if n := len(dbKey); n == 0 || n > MaxKeySize {
		return fmt.Errorf("%s: a key has 1 to %d bytes, this one %d: %w", k.noun, MaxKeySize, n, bos.ErrInvalid)
	}
	return nil
}
