package fleet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Lists of tens of thousands of items are written by hand, to the byte what
// encoding/json makes of them.

// writeItems answers a list that is the only member of an object, and returns its length.
func writeItems[T any](w http.ResponseWriter, member string, items iter.Seq[T], appendItem func([]byte, *T) []byte) (count int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	b := append(appendString([]byte("{"), member), ":["...)
	var item T // one for all, which appendItem makes escape
	for item = range items {
		if count++; count > 1 {
			b = append(b, ',')
		}
		b = appendItem(b, &item)
		if len(b) > 1<<14 {
			w.Write(b)
			b = b[:0]
		}
	}
	w.Write(append(b, "]}\n"...))
	return count
}

// unmarshalStrict decodes a request of the control API, a pointer to a struct. Errors
// name the member, and for one that there is not those that there are.
func unmarshalStrict(data []byte, v any) error {
	if !json.Valid(data) {
		return json.Unmarshal(data, v)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		var known []string
		for f := range reflect.TypeOf(v).Elem().Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			known = append(known, name)
		}
		return fmt.Errorf("unknown member %s; known are %s", name, strings.Join(known, ", "))
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: want %s, not %s", cmp.Or(e.Field, "the body"), jsonType(e.Type), e.Value)
	}
	return err
}

// jsonType says what JSON a Go type is made of.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // strings always marshal
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendMember appends a member of type string, unless it is empty. The name comes
// with its punctuation, such as `,"State":`.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, name...), value)
}

func appendComponent(b []byte, c *hsmComponent) []byte {
	b = appendString(append(b, `{"ID":`...), c.ID)
	b = appendString(append(b, `,"Type":`...), c.Type)
	b = appendMember(b, `,"State":`, c.State)
	b = appendMember(b, `,"Flag":`, c.Flag)
	if c.Enabled != nil {
		b = strconv.AppendBool(append(b, `,"Enabled":`...), *c.Enabled)
	}
	b = appendMember(b, `,"SoftwareStatus":`, c.SoftwareStatus)
	b = appendMember(b, `,"Role":`, c.Role)
	b = appendMember(b, `,"SubRole":`, c.SubRole)
	if c.NID != 0 {
		b = strconv.AppendInt(append(b, `,"NID":`...), int64(c.NID), 10)
	}
	b = appendMember(b, `,"Subtype":`, c.Subtype)
	b = appendMember(b, `,"NetType":`, c.NetType)
	b = appendMember(b, `,"Arch":`, c.Arch)
	b = appendMember(b, `,"Class":`, c.Class)
	if c.ReservationDisabled {
		b = append(b, `,"ReservationDisabled":true`...)
	}
	if c.Locked {
		b = append(b, `,"Locked":true`...)
	}
	return append(b, '}')
}

func appendPowerStatus(b []byte, s *powerStatus) []byte {
	b = appendString(append(b, `{"xname":`...), s.Xname)
	b = appendString(append(b, `,"powerState":`...), s.Power)
	b = appendString(append(b, `,"managementState":`...), s.Management)
	b = appendString(append(b, `,"error":`...), s.Error)
	b = append(b, `,"supportedPowerTransitions":`...)
	if s.Operations == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '[')
		for i, op := range s.Operations {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, op)
		}
		b = append(b, ']')
	}
	b = appendString(append(b, `,"lastUpdated":`...), s.LastUpdated)
	return append(b, '}')
}
