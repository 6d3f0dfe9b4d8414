package bosserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
)

const detailNotJSON = "Request body is not valid JSON"

// readBody returns a body that is JSON and follows its schema. release has to be called in any case, when the body is
// not needed any more.
func (h *handler) readBody(w http.ResponseWriter, r *http.Request, op *operation, limit int64) (body []byte, release func(), err error) {
	release = func() {}
	if !op.bodyRequired && r.ContentLength == 0 {
		return nil, release, nil
	}
	if contentType := r.Header.Get("Content-Type"); !isJSON(contentType) {
		return nil, release, &bos.StatusError{
			Status: http.StatusUnsupportedMediaType, Detail: fmt.Sprintf("Invalid Content-type (%s), expected JSON data", clip(contentType)), Err: bos.ErrInvalid,
		}
	}
	body, release, err = h.receive(w, r, limit)
	if err != nil {
		return nil, release, err
	}
	if weight := min(int64(len(body)), maxWork); weight >= minWork {
		if h.work.Acquire(r.Context(), weight) != nil {
			return nil, release, tooBusy()
		}
		received := release
		release = func() {
			h.work.Release(weight)
			received()
		}
	}
	return body, release, checkBody(body, op.body)
}

// tooBusy is the answer when there is no memory for a body.
func tooBusy() error {
	return &bos.StatusError{
		Status: http.StatusServiceUnavailable, Detail: "too many large requests at the same time; try again later",
		RetryAfter: retryAfter, Err: bos.ErrUnavailable,
	}
}

// isJSON reports whether a content type is application/json or application/*+json.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	return t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json")
}

// checkBody checks the text and then the schema.
func checkBody(body []byte, s *schema) error {
	switch start := skipSpace(body, 0); {
	case start == len(body):
		names := "'" + s.kind.String() + "'"
		if s.kind == 0 {
			names = "'array'"
		}
		return invalid("None is not of type %s", names)
	case depthOf(body) > maxDepth:
		return invalid("%s: it is nested deeper than %d levels", detailNotJSON, maxDepth)
	case !json.Valid(body) || !utf8.Valid(body) || body[start] == 'n':
		return invalid("%s", detailNotJSON)
	}
	return s.checkRequest(body)
}

// bodyStart is how large a buffer begins. What a caller announces and does not send takes up no more than that, so that
// slow callers cannot use up the memory of the others.
const bodyStart = 64 << 10

// bodyGrowth returns by how much a full buffer grows. Each step leaves a buffer behind, so there are few of them: towards
// an announced length it grows fourfold, otherwise twofold.
func bodyGrowth(size, announced, limit int64) int64 {
	if announced > size {
		return min(3*size, announced+1-size)
	}
	return max(min(size, 16<<20, limit+1-size), 512)
}

// receive reads a body of at most limit bytes, as long as the bodies of all requests fit into memory.
func (h *handler) receive(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	var reserved int64
	release = func() { h.bodies.Add(-reserved) }
	reserve := func(size int64) error {
		if h.bodies.Add(size) > maxBodies {
			h.bodies.Add(-size)
			return tooBusy()
		}
		reserved += size
		return nil
	}
	if r.ContentLength > limit {
		return nil, release, tooLarge(w, limit)
	}
	size := min(max(r.ContentLength+1, 512), bodyStart)
	if err := reserve(size); err != nil {
		return nil, release, err
	}
	body = make([]byte, 0, size)
	src := http.MaxBytesReader(w, r.Body, limit)
	for {
		if len(body) == cap(body) {
			grow := bodyGrowth(int64(cap(body)), r.ContentLength, limit)
			if err := reserve(grow); err != nil {
				return nil, release, err
			}
			body = append(make([]byte, 0, int64(cap(body))+grow), body...)
		}
		n, err := src.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return body, release, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, release, &bos.StatusError{Status: http.StatusRequestTimeout, Detail: "the body did not arrive in time", Err: bos.ErrInvalid}
		default:
			if _, over := errors.AsType[*http.MaxBytesError](err); over {
				return nil, release, tooLarge(w, limit)
			}
			return nil, release, invalid("the body cannot be read")
		}
	}
}

func tooLarge(w http.ResponseWriter, limit int64) error {
	w.Header().Set("Connection", "close") // what is left of the body is not read
	return &bos.StatusError{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body is longer than %d bytes", limit), Err: bos.ErrTooLarge}
}

// tooMany refuses a list with more components than one request may have.
func tooMany(n int) error {
	if n <= maxListItems {
		return nil
	}
	return &bos.StatusError{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("more than %d components", maxListItems), Err: bos.ErrTooLarge}
}

// decodeList reads an array that has been checked, item by item.
func decodeList[T any, P interface {
	*T
	json.Unmarshaler
}](data []byte) ([]T, error) {
	n := 0
	for range items(data) {
		n++
	}
	if err := tooMany(n); err != nil {
		return nil, err
	}
	list, i := make([]T, n), 0
	for raw := range items(data) {
		if err := P(&list[i]).UnmarshalJSON(raw); err != nil {
			return nil, invalid("Error parsing the data provided: %v", err)
		}
		i++
	}
	return list, nil
}

// items yields the elements of a JSON array that has been checked.
func items(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(data, 0)
		if i == len(data) || data[i] != '[' {
			return
		}
		for i = skipSpace(data, i+1); data[i] != ']'; {
			end := skipValue(data, i)
			if !yield(data[i:end]) {
				return
			}
			if i = skipSpace(data, end); data[i] == ',' {
				i = skipSpace(data, i+1)
			}
		}
	}
}

// members yields the members of a JSON object that has been checked.
func members(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		i := skipSpace(data, 0)
		if i == len(data) || data[i] != '{' {
			return
		}
		for i = skipSpace(data, i+1); data[i] != '}'; {
			end := skipValue(data, i)
			name := unquote(data[i:end])
			i = skipSpace(data, skipSpace(data, end)+1) // behind the colon
			end = skipValue(data, i)
			if !yield(string(name), data[i:end]) {
				return
			}
			if i = skipSpace(data, end); data[i] == ',' {
				i = skipSpace(data, i+1)
			}
		}
	}
}

// decode reads a body that has been checked.
func decode[T any](body []byte) (v T, err error) {
	if err := json.Unmarshal(body, &v); err != nil {
		return v, invalid("Error parsing the data provided: %v", err)
	}
	return v, nil
}
