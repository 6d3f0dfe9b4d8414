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
	MaxStream = 1 << 30  // read item by item,
	MaxItem   = 16 << 20 // of which none may be longer
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
// returned. The error of a malformed item has its number, and its name if T is a fmt.Stringer.
func ReadList[T any](a *Answer, member string, each func(T) error) error {
	return ReadPage(a, member, each, func(string, json.RawMessage) error { return nil })
}

// ReadPage is ReadList that calls other for each other member of the object. An error of other is one of the answer.
func ReadPage[T any](a *Answer, member string, each func(T) error, other func(name string, value json.RawMessage) error) error {
	r := &itemReader{r: io.LimitReader(a.body, MaxStream), room: MaxItem}
	d := json.NewDecoder(r)
	err := readObject(d, member, func(item T) error {
		r.room = MaxItem
		return each(item)
	}, other)
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

func readObject[T any](d *json.Decoder, member string, each func(T) error, other func(string, json.RawMessage) error) error {
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
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := other(fmt.Sprint(name), value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
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
	for n := 1; d.More(); n++ {
		var item T
		if err := d.Decode(&item); err != nil {
			where := fmt.Sprintf("item %d", n)
			if s, ok := any(item).(fmt.Stringer); ok && s.String() != "" { // what could be read of it
				where += fmt.Sprintf(", %q", s.String())
			}
			return fmt.Errorf("%s: %w", where, err)
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

// itemReader remembers the beginning of what it reads, and ends when one item takes too much room.
type itemReader struct {
	r     io.Reader
	start []byte
	room  int // left for the item
}

var errItemTooLong = fmt.Errorf("an item of more than %d bytes", MaxItem)

func (r *itemReader) Read(p []byte) (int, error) {
	if r.room <= 0 {
		return 0, errItemTooLong
	}
	n, err := r.r.Read(p)
	r.room -= n
	if left := maxExcerpt - len(r.start); left > 0 {
		r.start = append(r.start, p[:min(n, left)]...)
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
