package bosserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	data, err := encode(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(append(data, '\n'))
	return ignoreGone(err)
}

// encode is json.Marshal without its second look at what a record has written of itself.
func encode(v any) ([]byte, error) {
	if m, ok := v.(json.Marshaler); ok {
		return m.MarshalJSON()
	}
	return json.Marshal(v)
}

// ignoreGone drops the error of writing to a caller that has gone away: there is nobody to tell.
func ignoreGone(error) error { return nil }

// listBuffer is how much of a list is kept back before the answer begins: an error until then is still answered properly.
const listBuffer = 1 << 20

// writeList answers with the components of seq, which need not fit into memory. When seq fails after the answer has
// begun the connection is cut, so that nobody takes the part for the whole.
func writeList(w http.ResponseWriter, seq iter.Seq2[bos.Component, error]) error {
	buf := make([]byte, 0, 4096)
	begun := false
	flush := func() (gone bool) {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
		}
		_, err := w.Write(buf)
		buf = buf[:0]
		return err != nil
	}
	buf = append(buf, '[')
	first := true
	for c, err := range seq {
		if err != nil {
			if begun {
				panic(http.ErrAbortHandler)
			}
			return err
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		if buf = c.AppendJSON(buf); len(buf) >= listBuffer && flush() {
			return nil // there is nobody to tell
		}
	}
	buf = append(buf, ']', '\n')
	flush()
	return nil
}

// writeProblem answers with the problem document of an error, unless the answer has begun.
func writeProblem(w http.ResponseWriter, err error) {
	if rec, ok := w.(*recorder); ok && rec.code != 0 {
		return
	}
	se := statusOf(err)
	if se.Status == http.StatusServiceUnavailable {
		after := se.RetryAfter
		if after <= 0 {
			after = retryAfter
		}
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	if se.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	p := se.Problem()
	if se.Status == http.StatusInternalServerError {
		p.Title, p.Detail = http.StatusText(se.Status), bos.DetailInternalError
	}
	data, err := json.Marshal(p)
	if err != nil {
		data = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(se.Status)
	_, _ = w.Write(append(data, '\n'))
}

// statusOf finds the answer to an error. Errors in the body of a request that the service found have no title of
// their own.
func statusOf(err error) *bos.StatusError {
	se := bos.AsStatus(storeError(err))
	if fe, ok := errors.AsType[*bos.FieldError](err); ok && se.Status == http.StatusBadRequest && !isStatus(err) {
		se.Detail = fe.Error()
	}
	return se
}
