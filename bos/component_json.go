package bos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Components are read and written by the ten thousand, so that their JSON is done by hand here: about ten times as fast
// as by reflection, with the same result. Member names are exact; of members that are given twice the last counts.

func (a *ArtifactFields) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "kernel":
			a.Kernel = readText[string](r)
		case "kernel_parameters":
			a.KernelParameters = readText[string](r)
		case "initrd":
			a.Initrd = readText[string](r)
		case "timestamp":
			a.Timestamp = readText[Timestamp](r)
		default:
			r.extra(&a.Extra)
		}
	}
}

func (a *ArtifactFields) append(b []byte) []byte {
	start := len(b)
	b = appendText(b, "kernel", a.Kernel)
	b = appendText(b, "kernel_parameters", a.KernelParameters)
	b = appendText(b, "initrd", a.Initrd)
	b = appendText(b, "timestamp", a.Timestamp)
	return closeObject(b, start, a.Extra)
}

func (s *ActualState) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "boot_artifacts":
			s.BootArtifacts = readObject[ArtifactFields](r)
		case "bss_token":
			s.BSSToken = readText[BSSToken](r)
		case "last_updated":
			s.LastUpdated = readText[Timestamp](r)
		default:
			r.extra(&s.Extra)
		}
	}
}

func (s *ActualState) append(b []byte) []byte {
	start := len(b)
	b = appendObject(b, "boot_artifacts", s.BootArtifacts)
	b = appendText(b, "bss_token", s.BSSToken)
	b = appendText(b, "last_updated", s.LastUpdated)
	return closeObject(b, start, s.Extra)
}

func (s *DesiredState) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "boot_artifacts":
			s.BootArtifacts = readObject[ArtifactFields](r)
		case "configuration":
			s.Configuration = readText[string](r)
		case "bss_token":
			s.BSSToken = readText[BSSToken](r)
		case "last_updated":
			s.LastUpdated = readText[Timestamp](r)
		default:
			r.extra(&s.Extra)
		}
	}
}

func (s *DesiredState) append(b []byte) []byte {
	start := len(b)
	b = appendObject(b, "boot_artifacts", s.BootArtifacts)
	b = appendText(b, "configuration", s.Configuration)
	b = appendText(b, "bss_token", s.BSSToken)
	b = appendText(b, "last_updated", s.LastUpdated)
	return closeObject(b, start, s.Extra)
}

func (s *StagedState) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "boot_artifacts":
			s.BootArtifacts = readObject[ArtifactFields](r)
		case "configuration":
			s.Configuration = readText[string](r)
		case "session":
			s.Session = readText[string](r)
		case "last_updated":
			s.LastUpdated = readText[Timestamp](r)
		default:
			r.extra(&s.Extra)
		}
	}
}

func (s *StagedState) append(b []byte) []byte {
	start := len(b)
	b = appendObject(b, "boot_artifacts", s.BootArtifacts)
	b = appendText(b, "configuration", s.Configuration)
	b = appendText(b, "session", s.Session)
	b = appendText(b, "last_updated", s.LastUpdated)
	return closeObject(b, start, s.Extra)
}

func (a *LastAction) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "action":
			a.Action = readText[Action](r)
		case "failed":
			a.Failed = readBool(r)
		case "last_updated":
			a.LastUpdated = readText[Timestamp](r)
		default:
			r.extra(&a.Extra)
		}
	}
}

func (a *LastAction) append(b []byte) []byte {
	start := len(b)
	b = appendText(b, "action", a.Action)
	b = appendBool(b, "failed", a.Failed)
	b = appendText(b, "last_updated", a.LastUpdated)
	return closeObject(b, start, a.Extra)
}

func (s *EventStats) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "power_on_attempts":
			s.PowerOnAttempts = readInt(r)
		case "power_off_graceful_attempts":
			s.PowerOffGracefulAttempts = readInt(r)
		case "power_off_forceful_attempts":
			s.PowerOffForcefulAttempts = readInt(r)
		default:
			r.extra(&s.Extra)
		}
	}
}

func (s *EventStats) append(b []byte) []byte {
	start := len(b)
	b = appendInt(b, "power_on_attempts", s.PowerOnAttempts)
	b = appendInt(b, "power_off_graceful_attempts", s.PowerOffGracefulAttempts)
	b = appendInt(b, "power_off_forceful_attempts", s.PowerOffForcefulAttempts)
	return closeObject(b, start, s.Extra)
}

func (s *ComponentStatus) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "phase":
			s.Phase = readText[Phase](r)
		case "status":
			s.Status = readText[Status](r)
		case "status_override":
			s.StatusOverride = readText[Status](r)
		default:
			r.extra(&s.Extra)
		}
	}
}

func (s *ComponentStatus) append(b []byte) []byte {
	start := len(b)
	b = appendText(b, "phase", s.Phase)
	b = appendText(b, "status", s.Status)
	b = appendText(b, "status_override", s.StatusOverride)
	return closeObject(b, start, s.Extra)
}

func (c *Component) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "id":
			c.ID = Value(readText[ComponentID](r))
		case "actual_state":
			c.ActualState = readObject[ActualState](r)
		case "desired_state":
			c.DesiredState = readObject[DesiredState](r)
		case "staged_state":
			c.StagedState = readObject[StagedState](r)
		case "last_action":
			c.LastAction = readObject[LastAction](r)
		case "event_stats":
			c.EventStats = readObject[EventStats](r)
		case "status":
			c.Status = readObject[ComponentStatus](r)
		case "enabled":
			c.Enabled = readBool(r)
		case "error":
			c.Error = readText[string](r)
		case "session":
			c.Session = readText[string](r)
		case "retry_policy":
			c.RetryPolicy = readInt(r)
		default:
			r.extra(&c.Extra)
		}
	}
}

func (c *Component) append(b []byte) []byte {
	start := len(b)
	if c.ID != "" {
		b = appendText(b, "id", &c.ID)
	}
	b = appendObject(b, "actual_state", c.ActualState)
	b = appendObject(b, "desired_state", c.DesiredState)
	b = appendObject(b, "staged_state", c.StagedState)
	b = appendObject(b, "last_action", c.LastAction)
	b = appendObject(b, "event_stats", c.EventStats)
	b = appendObject(b, "status", c.Status)
	b = appendBool(b, "enabled", c.Enabled)
	b = appendText(b, "error", c.Error)
	b = appendText(b, "session", c.Session)
	b = appendInt(b, "retry_policy", c.RetryPolicy)
	return closeObject(b, start, c.Extra)
}

func (g *Guard) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "session":
			g.Session = readText[string](r)
		case "enabled":
			g.Enabled = readBool(r)
		case "boot_artifacts":
			g.BootArtifacts = readObject[ArtifactFields](r)
		case "configuration":
			g.Configuration = readText[string](r)
		case "phase":
			g.Phase = readText[Phase](r)
		case "reported":
			g.Reported = readText[Timestamp](r)
		case "status_override":
			g.StatusOverride = readText[Status](r)
		case "action":
			g.Action = readText[Action](r)
		default:
			r.skip()
		}
	}
}

func (g *Guard) append(b []byte) []byte {
	start := len(b)
	b = appendText(b, "session", g.Session)
	b = appendBool(b, "enabled", g.Enabled)
	b = appendObject(b, "boot_artifacts", g.BootArtifacts)
	b = appendText(b, "configuration", g.Configuration)
	b = appendText(b, "phase", g.Phase)
	b = appendText(b, "reported", g.Reported)
	b = appendText(b, "status_override", g.StatusOverride)
	b = appendText(b, "action", g.Action)
	return closeObject(b, start, nil)
}

func (p *GuardedPatch) read(r *jsonReader) {
	for r.next() {
		switch string(r.name) {
		case "id":
			p.ID = Value(readText[ComponentID](r))
		case "if":
			p.If = readObject[Guard](r)
		case "patch":
			if c := readObject[Component](r); c != nil {
				p.Patch = ComponentPatch(*c)
			}
		default:
			r.skip()
		}
	}
}

func (p *GuardedPatch) append(b []byte) []byte {
	start := len(b)
	b = appendText(b, "id", &p.ID)
	b = appendObject(b, "if", p.If)
	b = appendObject(b, "patch", (*Component)(&p.Patch))
	return closeObject(b, start, nil)
}

// MarshalJSON implements json.Marshaler.
func (p GuardedPatches) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 64+512*len(p.Patches))
	b = append(b, '{')
	if p.Lease != 0 {
		b = append(strconv.AppendInt(append(b, `"lease":`...), p.Lease, 10), ',')
	}
	b = append(b, `"patches":[`...)
	for i := range p.Patches {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Patches[i].append(b)
	}
	return append(b, ']', '}'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *GuardedPatch) UnmarshalJSON(data []byte) error { return unmarshalObject(data, p) }

// UnmarshalComponents reads a JSON array of components. It is json.Unmarshal with less effort.
func UnmarshalComponents(data []byte) ([]Component, error) {
	r := jsonReader{data: data, i: skipSpace(data, 0)}
	if r.peek() != '[' {
		return nil, errors.New("not a JSON array")
	}
	var list []Component
	r.each(func() {
		var c Component
		if !r.isNull() {
			if r.peek() != '{' {
				r.err = fmt.Errorf("item %d is not an object", len(list))
				return
			}
			r.open()
			c.read(&r)
		}
		list = append(list, c)
	})
	if r.i = skipSpace(data, r.i); r.i != len(data) {
		r.broken()
	}
	return list, r.err
}

// MarshalJSON writes the known members and then those in Extra; likewise for the types below.
func (c Component) MarshalJSON() ([]byte, error) { return c.append(make([]byte, 0, c.sizeHint())), nil }

// AppendJSON appends the component to b as MarshalJSON writes it.
func (c *Component) AppendJSON(b []byte) []byte { return c.append(b) }

// sizeHint is about how long the component is as JSON; most of it are its artifacts.
func (c *Component) sizeHint() int {
	size := 256
	add := func(a *ArtifactFields) {
		if a != nil {
			size += 256 + len(Value(a.Kernel)) + len(Value(a.KernelParameters)) + len(Value(a.Initrd))
		}
	}
	if s := c.ActualState; s != nil {
		add(s.BootArtifacts)
	}
	if s := c.DesiredState; s != nil {
		add(s.BootArtifacts)
	}
	if s := c.StagedState; s != nil {
		add(s.BootArtifacts)
	}
	return size
}

// UnmarshalJSON keeps unknown members in Extra. It checks the whole text, so that it may be called with anything;
// likewise for the types below.
func (c *Component) UnmarshalJSON(data []byte) error { return unmarshalObject(data, c) }

// MarshalJSON writes the patch like a component.
func (p ComponentPatch) MarshalJSON() ([]byte, error) { return Component(p).MarshalJSON() }

// UnmarshalJSON reads the patch like a component.
func (p *ComponentPatch) UnmarshalJSON(data []byte) error {
	return unmarshalObject(data, (*Component)(p))
}

// MarshalJSON implements json.Marshaler.
func (a ArtifactFields) MarshalJSON() ([]byte, error) { return a.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (a *ArtifactFields) UnmarshalJSON(data []byte) error { return unmarshalObject(data, a) }

// MarshalJSON implements json.Marshaler.
func (s ActualState) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *ActualState) UnmarshalJSON(data []byte) error { return unmarshalObject(data, s) }

// MarshalJSON implements json.Marshaler.
func (s DesiredState) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *DesiredState) UnmarshalJSON(data []byte) error { return unmarshalObject(data, s) }

// MarshalJSON implements json.Marshaler.
func (s StagedState) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *StagedState) UnmarshalJSON(data []byte) error { return unmarshalObject(data, s) }

// MarshalJSON implements json.Marshaler.
func (a LastAction) MarshalJSON() ([]byte, error) { return a.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (a *LastAction) UnmarshalJSON(data []byte) error { return unmarshalObject(data, a) }

// MarshalJSON implements json.Marshaler.
func (s EventStats) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *EventStats) UnmarshalJSON(data []byte) error { return unmarshalObject(data, s) }

// MarshalJSON implements json.Marshaler.
func (s ComponentStatus) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (s *ComponentStatus) UnmarshalJSON(data []byte) error { return unmarshalObject(data, s) }

// jsonReader walks through the members of JSON objects and checks all that it passes, so that it can be given any text.
// The first thing that is wrong is kept in err and ends the walk.
type jsonReader struct {
	data  []byte
	i     int
	first bool   // the next member is the first of its object
	name  []byte // of the present member
	err   error
}

// readable is what a pointer to a record part can do.
type readable[T any] interface {
	*T
	read(r *jsonReader)
}

func unmarshalObject[T any, P readable[T]](data []byte, dst P) error {
	r := jsonReader{data: data, i: skipSpace(data, 0)}
	switch r.peek() {
	case 'n':
		r.isNull()
	case '{':
		r.open()
		dst.read(&r)
	default:
		return errors.New("not a JSON object")
	}
	if r.i = skipSpace(data, r.i); r.i != len(data) {
		r.broken()
	}
	return r.err
}

// peek returns the present byte, 0 at the end.
func (r *jsonReader) peek() byte {
	if r.i < len(r.data) {
		return r.data[r.i]
	}
	return 0
}

// open moves into the object that begins here.
func (r *jsonReader) open() {
	r.i++
	r.first = true
}

// next moves to the value of the next member; behind the last one it moves out of the object.
func (r *jsonReader) next() bool {
	r.i = skipSpace(r.data, r.i)
	switch c := r.peek(); {
	case r.err != nil:
		return false
	case c == '}':
		r.i++
		r.first = false
		return false
	case c == ',' && !r.first:
		r.i = skipSpace(r.data, r.i+1)
	case !r.first:
		return r.broken()
	}
	r.first = false
	if r.peek() != '"' {
		return r.broken()
	}
	r.name = r.text()
	if r.i = skipSpace(r.data, r.i); r.peek() != ':' {
		return r.broken()
	}
	r.i = skipSpace(r.data, r.i+1)
	return r.err == nil
}

// each moves through the array that begins here, and calls read at every item, which moves behind it.
func (r *jsonReader) each(read func()) {
	r.i = skipSpace(r.data, r.i+1)
	for r.err == nil && r.peek() != ']' {
		read()
		if r.i = skipSpace(r.data, r.i); r.peek() == ',' {
			if r.i = skipSpace(r.data, r.i+1); r.peek() == ']' {
				r.broken()
			}
		} else if r.peek() != ']' {
			r.broken()
		}
	}
	r.i++
}

// broken records that the text is no JSON.
func (r *jsonReader) broken() bool {
	if r.err == nil {
		r.err = fmt.Errorf("not valid JSON at byte %d", r.i)
	}
	return false
}

func (r *jsonReader) fail(want string) {
	if r.err == nil {
		r.err = fmt.Errorf("member %q is not %s", r.name, want)
	}
}

// value returns the raw present value, unchecked, and moves behind it.
func (r *jsonReader) value() []byte {
	start := min(r.i, len(r.data))
	r.i = min(skipValue(r.data, start), len(r.data))
	return r.data[start:r.i]
}

// isNull moves behind a null.
func (r *jsonReader) isNull() bool {
	if r.peek() != 'n' {
		return false
	}
	if string(r.value()) != "null" {
		r.broken()
	}
	return true
}

// text returns the present string and moves behind it. It copies only what has to be changed.
func (r *jsonReader) text() []byte {
	start := r.i + 1
	ascii := true
	for i := start; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.i = i + 1
			if !ascii && !utf8.Valid(r.data[start:i]) {
				return r.decoded(r.data[start-1 : r.i])
			}
			return r.data[start:i]
		case c == '\\':
			return r.decoded(r.value())
		case c < ' ':
			r.broken()
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.broken()
	return nil
}

// decoded returns the text of a JSON string that is not simply what is between its quotes.
func (r *jsonReader) decoded(raw []byte) []byte {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		r.broken()
	}
	return []byte(s)
}

// skip moves behind the value of a member that is of no interest.
func (r *jsonReader) skip() {
	if !json.Valid(r.value()) {
		r.broken()
	}
}

// extra keeps a member that is not known.
func (r *jsonReader) extra(e *Extra) {
	name := string(r.name)
	raw := r.value()
	if !json.Valid(raw) {
		r.broken()
		return
	}
	if *e == nil {
		*e = Extra{}
	}
	(*e)[name] = bytes.Clone(raw)
}

func readText[T ~string](r *jsonReader) *T {
	if r.isNull() {
		return nil
	}
	if r.peek() != '"' {
		r.fail("a string")
		return nil
	}
	return new(T(r.text()))
}

func readBool(r *jsonReader) *bool {
	if r.isNull() {
		return nil
	}
	switch string(r.value()) {
	case "true":
		return new(true)
	case "false":
		return new(false)
	}
	r.fail("a boolean")
	return nil
}

func readInt(r *jsonReader) *int {
	if r.isNull() {
		return nil
	}
	raw := string(r.value())
	n, err := strconv.Atoi(raw)
	digits := strings.TrimPrefix(raw, "-")
	if err != nil || digits[0] == '+' || digits[0] == '0' && len(digits) > 1 {
		r.fail("an integer")
		return nil
	}
	return &n
}

func readObject[T any, P readable[T]](r *jsonReader) *T {
	if r.isNull() {
		return nil
	}
	if r.peek() != '{' {
		r.fail("an object")
		return nil
	}
	v := new(T)
	r.open()
	P(v).read(r)
	return v
}

// The append functions write ,"name":value unless the member is absent; closeObject makes an object of what was
// written since start.

func appendName(b []byte, name string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func appendText[T ~string](b []byte, name string, v *T) []byte {
	if v == nil {
		return b
	}
	return appendString(appendName(b, name), string(*v))
}

func appendBool(b []byte, name string, v *bool) []byte {
	if v == nil {
		return b
	}
	return strconv.AppendBool(appendName(b, name), *v)
}

func appendInt(b []byte, name string, v *int) []byte {
	if v == nil {
		return b
	}
	return strconv.AppendInt(appendName(b, name), int64(*v), 10)
}

func appendObject[T any, P interface {
	*T
	append(b []byte) []byte
}](b []byte, name string, v *T) []byte {
	if v == nil {
		return b
	}
	return P(v).append(appendName(b, name))
}

func closeObject(b []byte, start int, extra Extra) []byte {
	if len(extra) > 0 {
		for _, name := range slices.Sorted(maps.Keys(extra)) {
			b = append(appendString(append(b, ','), name), ':')
			b = append(b, extra[name]...)
		}
	}
	if len(b) == start {
		return append(b, '{', '}')
	}
	b[start] = '{'
	return append(b, '}')
}

// appendString writes a JSON string as encoding/json does.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf-1 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			data, err := json.Marshal(s)
			if err != nil { // a string can always be written
				return append(b, '"', '"')
			}
			return append(b, data...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
