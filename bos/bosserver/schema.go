package bosserver

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/bootorch/bosgo/bos"
)

// schema is a schema of the OpenAPI document, compiled so that a JSON text can be checked in one pass without building
// a value of it. It differs from a general validator where the API does: 15.0 is no integer, a readOnly property in a
// request is an error whatever its value, and messages have the form of the reference's.
type schema struct {
	kind       kind // 0 = any
	nullable   bool
	readOnly   bool
	enum       []string
	pattern    *regexp.Regexp
	minLen     int // of strings (characters), arrays (items) and objects (members)
	maxLen     int // likewise; -1 = no limit
	min, max   *big.Float
	properties map[string]*schema
	required   []string
	additional *schema // nil = none allowed
	items      *schema
	oneOf      []*schema
	allOf      []*schema
}

type kind uint8

const (
	kindString kind = iota + 1
	kindInteger
	kindNumber
	kindBoolean
	kindArray
	kindObject
)

var kindNames = map[string]kind{
	"string": kindString, "integer": kindInteger, "number": kindNumber, "boolean": kindBoolean, "array": kindArray, "object": kindObject,
}

func (k kind) String() string {
	for name, kk := range kindNames {
		if k == kk {
			return name
		}
	}
	return "any"
}

var anySchema = &schema{maxLen: -1, nullable: true}

// compileSchema translates ref and everything below it. The document holds no recursive schema.
func compileSchema(ref *openapi3.SchemaRef) *schema {
	if ref == nil || ref.Value == nil {
		return anySchema
	}
	src := ref.Value
	s := &schema{nullable: src.Nullable, readOnly: src.ReadOnly, required: src.Required, maxLen: -1}
	if src.Type != nil {
		s.kind = kindNames[(*src.Type)[0]]
	}
	for _, v := range src.Enum {
		s.enum = append(s.enum, v.(string))
	}
	if src.Pattern != "" {
		s.pattern = regexp.MustCompile(src.Pattern)
	}
	if src.Min != nil {
		s.min = big.NewFloat(*src.Min)
	}
	if src.Max != nil {
		s.max = big.NewFloat(*src.Max)
	}
	length := func(lo uint64, hi *uint64) {
		s.minLen = int(lo)
		if hi != nil {
			s.maxLen = int(*hi)
		}
	}
	switch s.kind {
	case kindString:
		length(src.MinLength, src.MaxLength)
	case kindArray:
		length(src.MinItems, src.MaxItems)
		s.items = compileSchema(src.Items)
	case kindObject:
		length(src.MinProps, src.MaxProps)
		s.properties = make(map[string]*schema, len(src.Properties))
		for name, p := range src.Properties {
			s.properties[name] = compileSchema(p)
		}
		switch ap := src.AdditionalProperties; {
		case ap.Schema != nil:
			s.additional = compileSchema(ap.Schema)
		case ap.Has == nil || *ap.Has:
			s.additional = anySchema
		}
	}
	for _, r := range src.OneOf {
		s.oneOf = append(s.oneOf, compileSchema(r))
	}
	for _, r := range src.AllOf {
		s.allOf = append(s.allOf, compileSchema(r))
	}
	return s
}

// checkRequest reports the first violation in data, which must be valid JSON. The error is a *bos.FieldError.
func (s *schema) checkRequest(data []byte) error {
	w := walker{data: data, refuseReadOnly: true}
	return w.run(s)
}

// checkRecord is checkRequest for a record as it is stored and answered, which has readOnly properties.
func (s *schema) checkRecord(data []byte) error {
	w := walker{data: data}
	return w.run(s)
}

// walker checks the JSON value at i and moves behind it. Being given valid JSON it looks at no syntax.
type walker struct {
	data           []byte
	i              int
	refuseReadOnly bool
}

func (w *walker) run(s *schema) error {
	w.i = skipSpace(w.data, 0)
	if err := w.check(s); err != nil {
		return err
	}
	return nil
}

// check returns the first violation of s by the value at w.i, behind which it moves when there is none.
func (w *walker) check(s *schema) *bos.FieldError {
	start := w.i
	if len(s.oneOf) > 0 {
		if err := w.checkOneOf(s); err != nil {
			return err
		}
	}
	for _, part := range s.allOf {
		w.i = start
		if err := w.check(part); err != nil {
			return err
		}
	}
	w.i = start
	if s.kind == 0 {
		w.i = skipValue(w.data, w.i)
		return nil
	}
	got := kindAt(w.data, w.i)
	if got == kindNull {
		w.i += len("null")
		if s.nullable {
			return nil
		}
		return violation("None is not of type '%s'", s.kind)
	}
	if got != s.kind && (got != kindInteger || s.kind != kindNumber) {
		return violation("%s is not of type '%s'", w.repr(start), s.kind)
	}
	switch s.kind {
	case kindObject:
		return w.checkObject(s)
	case kindArray:
		return w.checkArray(s)
	case kindString:
		return w.checkString(s)
	case kindInteger, kindNumber:
		return w.checkNumber(s)
	}
	w.i = skipValue(w.data, w.i)
	return nil
}

func (w *walker) checkObject(s *schema) *bos.FieldError {
	start := w.i
	w.i = skipSpace(w.data, w.i+1)
	var seen []string // required members met
	count := 0
	for w.data[w.i] != '}' {
		nameStart := w.i
		w.i = skipValue(w.data, w.i)
		name := unquote(w.data[nameStart:w.i])
		w.i = skipSpace(w.data, skipSpace(w.data, w.i)+1) // past the colon
		count++
		member, known := s.properties[string(name)]
		switch {
		case !known && s.additional == nil:
			return violation("Additional properties are not allowed (%s was unexpected)", quoteText(string(name)))
		case !known:
			member = s.additional
		case member.readOnly && w.refuseReadOnly:
			return at(string(name), violation("Property is read-only"))
		}
		if err := w.check(member); err != nil {
			return at(string(name), err)
		}
		if i := slices.Index(s.required, string(name)); i >= 0 && !slices.Contains(seen, s.required[i]) {
			seen = append(seen, s.required[i])
		}
		if w.i = skipSpace(w.data, w.i); w.data[w.i] == ',' {
			w.i = skipSpace(w.data, w.i+1)
		}
	}
	w.i++
	for _, name := range s.required {
		if !slices.Contains(seen, name) {
			return violation("%s is a required property", quoteText(name))
		}
	}
	return w.checkLength(s, count, start, "does not have enough properties", "has too many properties")
}

func (w *walker) checkArray(s *schema) *bos.FieldError {
	start := w.i
	w.i = skipSpace(w.data, w.i+1)
	count := 0
	for w.data[w.i] != ']' {
		if err := w.check(s.items); err != nil {
			return at(strconv.Itoa(count), err)
		}
		count++
		if w.i = skipSpace(w.data, w.i); w.data[w.i] == ',' {
			w.i = skipSpace(w.data, w.i+1)
		}
	}
	w.i++
	return w.checkLength(s, count, start, "is too short", "is too long")
}

func (w *walker) checkString(s *schema) *bos.FieldError {
	start := w.i
	w.i = skipValue(w.data, w.i)
	text := unquote(w.data[start:w.i])
	if s.minLen > 0 || s.maxLen >= 0 {
		if err := w.checkLength(s, utf8.RuneCount(text), start, "is too short", "is too long"); err != nil {
			return err
		}
	}
	if len(s.enum) > 0 && !slices.Contains(s.enum, string(text)) {
		quoted := make([]string, len(s.enum))
		for i, v := range s.enum {
			quoted[i] = quoteText(v)
		}
		return violation("%s is not one of [%s]", w.repr(start), strings.Join(quoted, ", "))
	}
	if s.pattern != nil && !s.pattern.Match(text) {
		return violation("%s does not match '%s'", w.repr(start), s.pattern)
	}
	return nil
}

// maxDigits is the longest text of a number that has bounds.
const maxDigits = 1000

func (w *walker) checkNumber(s *schema) *bos.FieldError {
	start := w.i
	w.i = skipValue(w.data, w.i)
	if s.min == nil && s.max == nil {
		return nil
	}
	var n *big.Float
	err := strconv.ErrRange
	if w.i-start <= maxDigits { // reading a number takes the square of its length
		n, _, err = big.ParseFloat(string(w.data[start:w.i]), 10, 64, big.ToNearestEven)
	}
	if err != nil {
		return violation("%s is out of range", w.repr(start))
	}
	switch {
	case s.min != nil && n.Cmp(s.min) < 0:
		return violation("%s is less than the minimum of %s", w.repr(start), s.min.Text('f', -1))
	case s.max != nil && n.Cmp(s.max) > 0:
		return violation("%s is greater than the maximum of %s", w.repr(start), s.max.Text('f', -1))
	}
	return nil
}

func (w *walker) checkLength(s *schema, n, start int, short, long string) *bos.FieldError {
	switch {
	case n == 0 && s.minLen == 1:
		return violation("%s should be non-empty", w.repr(start))
	case n < s.minLen:
		return violation("%s %s", w.repr(start), short)
	case s.maxLen >= 0 && n > s.maxLen:
		return violation("%s %s", w.repr(start), long)
	}
	return nil
}

// checkOneOf moves behind the value when exactly one of the schemas accepts it. Where only one of them is for values
// of this kind, its own violation says more than the reference's general message.
func (w *walker) checkOneOf(s *schema) *bos.FieldError {
	start, end, matches := w.i, w.i, 0
	got := kindAt(w.data, start)
	var candidates int
	var reason *bos.FieldError
	for _, option := range s.oneOf {
		w.i = start
		err := w.check(option)
		if err == nil {
			matches++
			end = w.i
			continue
		}
		if option.kind == got {
			candidates++
			reason = err
		}
	}
	w.i = end
	switch {
	case matches == 1:
		return nil
	case matches > 1:
		return violation("%s is valid under more than one of the given schemas", w.repr(start))
	case candidates == 1:
		return reason
	}
	return violation("%s is not valid under any of the given schemas", w.repr(start))
}

// kindNull is what kindAt says of a null.
const kindNull = kindObject + 1

// kindAt returns the kind of the JSON value at data[i]; a number with a fraction or exponent is no integer.
func kindAt(data []byte, i int) kind {
	switch data[i] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBoolean
	case 'n':
		return kindNull
	}
	for _, c := range data[i:skipValue(data, i)] {
		if c == '.' || c == 'e' || c == 'E' {
			return kindNumber
		}
	}
	return kindInteger
}

func violation(format string, args ...any) *bos.FieldError {
	return &bos.FieldError{Reason: fmt.Sprintf(format, args...)}
}

// at puts name before the path of the error.
func at(name string, err *bos.FieldError) *bos.FieldError {
	if err.Field == "" {
		err.Field = name
	} else {
		err.Field = name + "." + err.Field
	}
	return err
}

// reprLimit bounds how much of a wrong value an error repeats.
const reprLimit = 120

// repr writes the value at start as the reference's messages do, which print Python values.
func (w *walker) repr(start int) string {
	raw := w.data[start:skipValue(w.data, start)]
	switch kindAt(w.data, start) {
	case kindNull:
		return "None"
	case kindBoolean:
		if raw[0] == 't' {
			return "True"
		}
		return "False"
	case kindString:
		return quoteText(string(unquote(raw)))
	}
	return clip(string(raw))
}

func quoteText(s string) string { return "'" + clip(s) + "'" }

// clip cuts text after reprLimit bytes, at the end of a character.
func clip(s string) string {
	if len(s) <= reprLimit {
		return s
	}
	n := reprLimit
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// unquote returns the text of a JSON string. It copies only when there is an escape.
func unquote(raw []byte) []byte {
	text := raw[1 : len(raw)-1]
	if !slices.Contains(text, '\\') {
		return text
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return text
	}
	return []byte(s)
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
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			i++
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // behind a number, a boolean or a null
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// depthOf returns how deep arrays and objects are nested in data, whether or not it is valid JSON.
func depthOf(data []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}
