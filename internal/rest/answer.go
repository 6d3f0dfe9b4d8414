package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// The greatest answers in bytes; a longer one is malformed.
const (
	MaxAnswer = 64 << 20 // read as a whole
	MaxStream = 1 << 30  // read item by item
)

// Answer is a 2xx answer whose body is still to be read.
type Answer struct {
	Header http.Header
	Status int

	call *call
	body io.Reader
}

// Body is the body, for answers that are read while they come. A silence ends it, see Config.Timeout.
func (a *Answer) Body() io.Reader { return a.body }

// errNothing is the cause of an answer with an empty body, or null.
var errNothing = errors.New("nothing in it")

// JSON returns a function for Do that decodes the whole body into v, which must not hold anything yet. An empty body and
// a JSON null are malformed. A json.Unmarshaler must check the text itself: it is not looked at twice.
func JSON(v any) func(*Answer) error {
	return func(a *Answer) error {
		text, err := io.ReadAll(io.LimitReader(a.body, MaxAnswer+1))
		if err != nil {
			return a.broken(err, nil)
		}
		switch trimmed := bytes.TrimSpace(text); {
		case len(text) > MaxAnswer:
			return a.Malformed(fmt.Errorf("more than %d bytes", MaxAnswer), nil)
		case len(trimmed) == 0, string(trimmed) == "null":
			return a.Malformed(errNothing, trimmed)
		}
		decode := func(text []byte) error { return json.Unmarshal(text, v) }
		if u, ok := v.(json.Unmarshaler); ok {
			decode = u.UnmarshalJSON
		}
		if err := decode(text); err != nil {
			return a.Malformed(err, text)
		}
		return nil
	}
}

// Malformed returns the error of an answer that is not what it should be, with an excerpt of text.
func (a *Answer) Malformed(err error, text []byte) error { return a.call.malformed(err, text) }

// broken tells an answer that broke off from a malformed one; text is what the excerpt is cut from.
func (a *Answer) broken(err error, text []byte) error {
	if _, ok := errors.AsType[*readError](err); ok {
		return err // the call decides whether to try again
	}
	return a.call.malformed(err, text)
}

// ReadList decodes a JSON list item by item, never holding more than one, and calls each for every item. With a member
// name, the list is that member of an object, and other members are skipped; an object without it is malformed. With an
// empty name the body is the list itself. A list that is null is malformed. An error of each ends the reading and is
// returned.
func ReadList[T any](a *Answer, member string, each func(T) error) error {
	r := &excerptReader{r: io.LimitReader(a.body, MaxStream)}
	d := json.NewDecoder(r)
	err := readList(d, member, each)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("text after the end")
		}
	}
	if stop, ok := errors.AsType[*stopError](err); ok {
		return stop.err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if _, broken := errors.AsType[*readError](err); !broken {
			err = errors.New("it ends in the middle")
		}
	}
	return a.broken(err, r.start)
}

// stopError is an error of the caller's function, to be told from the decoder's own.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

func readList[T any](d *json.Decoder, member string, each func(T) error) error {
	if member == "" {
		return readItems(d, each)
	}
	if err := expect(d, json.Delim('{')); err != nil {
		return err
	}
	found := false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if name == member {
			found = true
			if err := readItems(d, each); err != nil {
				return fmt.Errorf("%s: %w", member, err)
			}
			continue
		}
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return err
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("no member '%s'", member)
	}
	return nil
}

func readItems[T any](d *json.Decoder, each func(T) error) error {
	if err := expect(d, json.Delim('[')); err != nil {
		return err
	}
	for d.More() {
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		if err := each(item); err != nil {
			return &stopError{err}
		}
	}
	return expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%v where '%v' is expected", got, want)
	}
	return nil
}

// excerptReader remembers the beginning of what it reads.
type excerptReader struct {
	r     io.Reader
	start []byte
}

func (e *excerptReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if room := maxExcerpt - len(e.start); room > 0 {
		e.start = append(e.start, p[:min(n, room)]...)
	}
	return n, err
}

// OptionalJSON is JSON for answers that BOS can do without: an empty body or a null leaves v as it is.
func OptionalJSON(v any) func(*Answer) error {
	return func(a *Answer) error {
		err := JSON(v)(a)
		if errors.Is(err, errNothing) {
			return nil
		}
		return err
	}
}
