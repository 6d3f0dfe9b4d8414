package bos

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The sentinel errors. Every error that crosses a package or the wire wraps at most one of them; compare with
// errors.Is. The same sentinel holds on both sides of the API: the server maps it to a status, the client maps it back.
var (
	ErrInvalid         = errors.New("invalid request")           // malformed or inconsistent input; *FieldError says where
	ErrUnauthenticated = errors.New("not authenticated")         // no credentials, or bad ones
	ErrForbidden       = errors.New("not allowed")               // the caller's role does not allow it
	ErrNotFound        = errors.New("not found")                 // no such record for this tenant
	ErrExists          = errors.New("already exists")            // the name is taken
	ErrConflict        = errors.New("conflicting state")         // lost an update race, or the state does not allow it
	ErrTooLarge        = errors.New("request too large")         // over a size limit of the API
	ErrUnavailable     = errors.New("service unavailable")       // the store or a service is unreachable, busy or timed out
	ErrUnsupported     = errors.New("not supported by this API") // an addition of ours asked of a reference server
)

// FieldError says which member of a request is wrong. It matches ErrInvalid.
type FieldError struct {
	Field  string // dotted path, "boot_sets.compute.arch"; empty for the whole body
	Reason string // for people: what is wrong and what is expected
}

// Error returns the reason followed by the field, in the order of the reference's messages.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return fmt.Sprintf("%s - '%s'", e.Reason, e.Field)
}

// Unwrap makes every FieldError an ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// BatchError is a partial failure: the components that failed, each with its cause. Components not named succeeded.
type BatchError struct {
	Failed map[ComponentID]error
}

// Error summarises: the number of components and the first cause in order of xname.
func (e *BatchError) Error() string {
	ids := e.IDs()
	if len(ids) == 0 {
		return "no component failed"
	}
	text := fmt.Sprintf("%s: %v", ids[0], e.Failed[ids[0]])
	if n := len(ids) - 1; n > 0 {
		text = fmt.Sprintf("%s (and %d more)", text, n)
	}
	return text
}

// IDs returns the failed components in ascending order.
func (e *BatchError) IDs() []ComponentID {
	ids := make([]ComponentID, 0, len(e.Failed))
	for id := range e.Failed {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Unwrap returns the distinct causes, so that errors.Is sees through.
func (e *BatchError) Unwrap() []error {
	causes := make([]error, 0, len(e.Failed))
	for _, id := range e.IDs() {
		causes = append(causes, e.Failed[id])
	}
	return causes
}

// Problem is the RFC 7807 document of every error answer: exactly these four members.
// Source: BOS v2 API, ProblemDetails.
type Problem struct {
	Type   string `json:"type"` // always "about:blank"
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Titles of the reference that do not follow from the status alone.
const (
	TitleNotFound        = "The resource was not found"
	TitleExists          = "The resource to be created already exists"
	TitleActualState     = "Actual state can not be updated."
	TitleInvalidTenant   = "Invalid tenant"
	TitleStoreDown       = "Unable to connect to the Redis database"
	DetailInternalError  = "The server encountered an internal error and was unable to complete your request. Either the server is overloaded or there is an error in the application."
	DetailRouteNotFound  = "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
	DetailMethodNotKnown = "The method is not allowed for the requested URL."
)

// StatusError is an error with its place in the API's answers: status, title and detail. Services return it where the
// contract fixes the title or text; the client returns it for every error answer. It matches the sentinel of its status.
type StatusError struct {
	Status     int           // HTTP status, 400 to 599
	Title      string        // "" means the standard text of the status
	Detail     string        // for people; never a token, host name or stack
	RetryAfter time.Duration // with 503: when to try again; 0 = unknown
	Err        error         // the sentinel or cause; nil means the sentinel of Status
}

// Error returns the detail, or the title where there is none.
func (e *StatusError) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	if e.Title != "" {
		return e.Title
	}
	return strings.ToLower(http.StatusText(e.Status))
}

// Unwrap returns the cause, or the sentinel of the status.
func (e *StatusError) Unwrap() error {
	if e.Err != nil {
		return e.Err
	}
	return sentinelOf(e.Status, e.Title)
}

// Problem returns the document to send.
func (e *StatusError) Problem() Problem {
	title := e.Title
	if title == "" {
		title = http.StatusText(e.Status)
	}
	return Problem{Type: "about:blank", Title: title, Status: e.Status, Detail: e.Error()}
}

// AsStatus finds the status, title and detail to answer with for any error: a *StatusError as it is, a sentinel by the
// table of the package, anything else as a 500 with a fixed text, so that no internals leak.
func AsStatus(err error) *StatusError {
	if se, ok := errors.AsType[*StatusError](err); ok {
		return se
	}
	for _, row := range statusTable {
		if errors.Is(err, row.err) {
			return &StatusError{Status: row.status, Title: row.title, Detail: err.Error(), Err: err}
		}
	}
	return &StatusError{Status: http.StatusInternalServerError, Detail: DetailInternalError, Err: err}
}

// statusTable maps each sentinel to its answer. The first row of a status is what the client reads back, unless the
// title says otherwise.
var statusTable = []struct {
	err    error
	status int
	title  string
}{
	{ErrInvalid, http.StatusBadRequest, ""},
	{ErrUnauthenticated, http.StatusUnauthorized, ""},
	{ErrForbidden, http.StatusForbidden, ""},
	{ErrNotFound, http.StatusNotFound, TitleNotFound},
	{ErrUnsupported, http.StatusNotFound, ""},
	{ErrConflict, http.StatusConflict, ""},
	{ErrExists, http.StatusConflict, TitleExists},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, ""},
	{ErrUnavailable, http.StatusServiceUnavailable, ""},
}

func sentinelOf(status int, title string) error {
	var byStatus error
	for _, row := range statusTable {
		if row.status != status {
			continue
		}
		if row.title == title {
			return row.err
		}
		if byStatus == nil {
			byStatus = row.err
		}
	}
	switch {
	case byStatus != nil:
		return byStatus
	case status == http.StatusUnsupportedMediaType || status == http.StatusMethodNotAllowed || status == http.StatusRequestHeaderFieldsTooLarge:
		return ErrInvalid
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout || status == http.StatusTooManyRequests:
		return ErrUnavailable
	}
	return nil
}
