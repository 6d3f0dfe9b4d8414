package bos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Extra holds the members of a record that this version does not know, by name and as they were read. They survive
// every read-modify-write, so that a database shared with another BOS loses nothing. Nil when there are none.
type Extra map[string]json.RawMessage

// Clone returns a copy that shares nothing.
func (e Extra) Clone() Extra {
	if e == nil {
		return nil
	}
	c := make(Extra, len(e))
	for name, raw := range e {
		c[name] = bytes.Clone(raw)
	}
	return c
}

// decodeRecord reads a JSON object into plain, a struct without JSON methods, and returns the members plain has no
// field for. Names are exact: encoding/json would take "Error" for error, and what it takes is not unknown any more.
func decodeRecord[T any](data []byte, plain *T) (Extra, error) {
	known := knownMembers(reflect.TypeFor[T]())
	var extra Extra
	ambiguous := false
	if json.Valid(data) {
		err := eachMember(data, func(name []byte, value []byte) {
			if known[string(name)] {
				return
			}
			if extra == nil {
				extra = Extra{}
			}
			extra[string(name)] = bytes.Clone(value)
			for k := range known {
				ambiguous = ambiguous || strings.EqualFold(k, string(name))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if ambiguous {
		data = onlyKnown(data, known)
	}
	if err := json.Unmarshal(data, plain); err != nil {
		return nil, err
	}
	return extra, nil
}

// onlyKnown returns the object without its other members.
func onlyKnown(data []byte, known map[string]bool) []byte {
	kept := []byte{'{'}
	_ = eachMember(data, func(name []byte, value []byte) { // it was walked through before
		if !known[string(name)] {
			return
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(appendString(kept, string(name)), ':')
		kept = append(kept, value...)
	})
	return append(kept, '}')
}

// encodeRecord writes plain and then the extra members in order of name.
func encodeRecord(plain any, extra Extra) ([]byte, error) {
	data, err := json.Marshal(plain)
	if err != nil || len(extra) == 0 {
		return data, err
	}
	data = bytes.TrimSuffix(data, []byte("}"))
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if len(data) > 1 {
			data = append(data, ',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		data = append(append(append(data, key...), ':'), extra[name]...)
	}
	return append(data, '}'), nil
}

var memberCache sync.Map // reflect.Type → map[string]bool

// knownMembers returns the JSON names of the fields of struct type t.
func knownMembers(t reflect.Type) map[string]bool {
	if m, ok := memberCache.Load(t); ok {
		return m.(map[string]bool)
	}
	known := make(map[string]bool, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			known[name] = true
		}
	}
	memberCache.Store(t, known)
	return known
}

// eachMember calls fn with the name and raw value of each member of the JSON object data. data has been accepted by
// encoding/json before, so only the outline is looked at. A null has no members.
func eachMember(data []byte, fn func(name, value []byte)) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if len(data) == 0 || data[0] != '{' {
		return fmt.Errorf("%w: not a JSON object", ErrInvalid)
	}
	i := skipSpace(data, 1)
	for i < len(data) && data[i] != '}' {
		start := i
		i = skipValue(data, i)
		name := data[start+1 : i-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var s string
			if err := json.Unmarshal(data[start:i], &s); err != nil {
				return err
			}
			name = []byte(s)
		}
		i = skipSpace(data, skipSpace(data, i)+1) // past the colon
		start = i
		i = skipValue(data, i)
		fn(name, data[start:i])
		i = skipSpace(data, i)
		if i < len(data) && data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	return nil
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index behind the JSON value that starts at i.
func skipValue(data []byte, i int) int {
	depth := 0
	for i < len(data) {
		switch c := data[i]; c {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			if i >= len(data) {
				return len(data) // no JSON
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		case ':':
			if depth == 0 {
				return i
			}
		}
		i++
		if depth == 0 && (data[i-1] == '"' || data[i-1] == '}' || data[i-1] == ']') {
			return i
		}
	}
	return i
}

// NullString is a string that the wire writes as null when it is empty.
type NullString string

// MarshalJSON writes null for the empty string.
func (s NullString) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(s))
}

// Value returns what p points to, or the zero value for nil. The records keep every optional member as a pointer, so
// that an absent member stays absent; Value is how to read one.
func Value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}
