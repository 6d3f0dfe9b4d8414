package fleet

import (
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
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
		for i, op := range s.Operations {
			b = appendString(append(b, "[,"[min(i, 1)]), op)
		}
		b = append(b, ']')
	}
	b = appendString(append(b, `,"lastUpdated":`...), s.LastUpdated)
	return append(b, '}')
}
