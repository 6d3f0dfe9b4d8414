package pcs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// Config says how to speak to the service; the zero value works.
//
// It says how long to wait (Timeout, ConnectTimeout), how often to try (Retries, RetryBudget, RetryWait, Jitter), how much
// at a time (MaxInFlight, MaxNodes), when to leave a service alone (BreakAfter, BreakFor), who asks (Token, TokenFile,
// CertFile, KeyFile), whom to trust (CAFile, InsecureSkipVerify), and Transport and Log. Each field is explained by
//
//	go doc github.com/bootorch/bosgo/internal/rest.Config
type Config = rest.Config

// Error is what a call of the service fails with; it carries the service's own words, and tells a time-out and a malformed
// answer from other failures.
type Error = rest.Error

// Client is a PowerClient and TransitionReader of PCS over HTTP. It is safe for concurrent use.
type Client struct {
	rest *rest.Client
}

var (
	_ PowerClient      = (*Client)(nil)
	_ TransitionReader = (*Client)(nil)
)

// New returns a client of PCS at baseURL, such as "http://cray-power-control". No request is made. Errors match
// bos.ErrInvalid.
func New(baseURL string, cfg Config) (*Client, error) {
	c, err := rest.New("pcs", baseURL, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// taskDeadline is how long PCS waits for a node to obey, in minutes per tier of its power sequence. BOS has its own
// timers and asks for the least, since PCS holds its reservations that long. Source: BOS v2, power operators.
const taskDeadline = 1

// PowerStatus implements PowerClient.
func (c *Client) PowerStatus(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]PowerStatus, error) {
	statuses := make(map[bos.ComponentID]PowerStatus, len(ids))
	valid := splitMalformed(ids, func(id bos.ComponentID, err error) { statuses[id] = PowerStatus{Error: err.Error()} })
	err := c.readStatus(ctx, valid, statuses)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusBadRequest {
		// One name that PCS dislikes fails all the others: leave out those it names and ask once more.
		named := namesIn(e.Detail+" "+e.Body, valid)
		if len(named) == 0 {
			return nil, err
		}
		for id := range named {
			statuses[id] = PowerStatus{Error: "PCS refuses the xname: " + e.Body}
		}
		err = c.readStatus(ctx, slices.DeleteFunc(valid, func(id bos.ComponentID) bool { return named[id] }), statuses)
	}
	if err != nil {
		return nil, err
	}
	return statuses, nil
}

// readStatus asks PCS for ids, which all look like xnames, and adds the answer to statuses.
func (c *Client) readStatus(ctx context.Context, ids []bos.ComponentID, statuses map[bos.ComponentID]PowerStatus) error {
	if len(ids) == 0 {
		return nil // to PCS an empty list means everything
	}
	asked := setOf(ids)
	var found map[bos.ComponentID]PowerStatus
	r := rest.Request{Method: http.MethodPost, Path: "power-status", Body: map[string]any{"xname": ids}, ReadOnly: true}
	err := c.rest.Do(ctx, r, func(a *rest.Answer) error {
		found = make(map[bos.ComponentID]PowerStatus, len(ids))
		return rest.ReadList(a, "status", func(e statusEntry) error {
			switch {
			case e.Xname == "":
				c.rest.Config().Log.Warn("power status without an xname", "state", e.PowerState, "error", e.Error)
			case asked[e.Xname] && (e.PowerState != "" || e.Error != ""):
				found[e.Xname] = e.status()
			}
			return nil
		})
	})
	if err == nil {
		maps.Copy(statuses, found)
	}
	return err
}

// statusEntry is the reading of a node on the wire. Source: PCS API, POST /power-status.
type statusEntry struct {
	Xname           bos.ComponentID `json:"xname"`
	PowerState      string          `json:"powerState"`
	ManagementState string          `json:"managementState"`
	Error           string          `json:"error"`
	LastUpdated     string          `json:"lastUpdated"`
}

// String names an entry that is malformed.
func (e statusEntry) String() string { return string(e.Xname) }

func (e *statusEntry) status() PowerStatus {
	updated, _ := time.Parse(time.RFC3339Nano, e.LastUpdated) // of no use to BOS if unreadable
	return PowerStatus{
		State:       State(strings.ToLower(e.PowerState)),
		Available:   strings.EqualFold(e.ManagementState, "available"),
		Error:       e.Error,
		LastUpdated: updated,
	}
}

// Transition implements PowerClient. Ids that are no xnames are not sent.
func (c *Client) Transition(ctx context.Context, op Operation, ids []bos.ComponentID) (TransitionID, error) {
	if len(ids) == 0 {
		return "", errNoNodes
	}
	malformed := map[bos.ComponentID]error{}
	valid := splitMalformed(ids, func(id bos.ComponentID, err error) { malformed[id] = err })
	var started []string
	err := rest.InBatches(valid, c.rest.Config().MaxNodes(), func(batch []bos.ComponentID) error {
		id, err := c.start(ctx, op, batch)
		if id != "" {
			started = append(started, id)
		}
		return err
	})
	return TransitionID(strings.Join(started, ",")), withMalformed(err, malformed, valid)
}

// start starts one transition. An answer without an id is accepted: the work is under way.
func (c *Client) start(ctx context.Context, op Operation, ids []bos.ComponentID) (id string, err error) {
	type location struct {
		Xname bos.ComponentID `json:"xname"`
	}
	body := struct {
		Location     []location `json:"location"`
		Operation    Operation  `json:"operation"`
		TaskDeadline int        `json:"taskDeadlineMinutes"`
	}{Operation: op, TaskDeadline: taskDeadline}
	for _, id := range ids {
		body.Location = append(body.Location, location{id})
	}
	var answer struct {
		TransitionID string `json:"transitionID"`
	}
	err = c.rest.Do(ctx, rest.Request{Method: http.MethodPost, Path: "transitions", Body: body}, rest.OptionalJSON(&answer))
	if err == nil && answer.TransitionID == "" {
		c.rest.Config().Log.Warn("power transition without an id", "operation", op, "count", len(ids))
	}
	return answer.TransitionID, err
}

// ReadTransition implements TransitionReader.
func (c *Client) ReadTransition(ctx context.Context, id TransitionID) (Transition, error) {
	all := Transition{ID: id, Done: true, Tasks: map[bos.ComponentID]Task{}, Counts: map[TaskState]int{}}
	for part := range strings.SplitSeq(string(id), ",") {
		if err := c.readTransition(ctx, part, &all); err != nil {
			return Transition{}, err
		}
	}
	return all, nil
}

// readTransition adds one transition of PCS to all.
func (c *Client) readTransition(ctx context.Context, id string, all *Transition) error {
	path, err := transitionPath(id)
	if err != nil {
		return err
	}
	var answer struct {
		Operation  string         `json:"operation"`
		Status     string         `json:"transitionStatus"`
		TaskCounts map[string]int `json:"taskCounts"`
		Tasks      []struct {
			Xname       bos.ComponentID `json:"xname"`
			Status      string          `json:"taskStatus"`
			Description string          `json:"taskStatusDescription"`
			Error       string          `json:"error"`
		} `json:"tasks"`
	}
	err = c.rest.Do(ctx, rest.Request{Method: http.MethodGet, Path: path}, func(a *rest.Answer) error {
		if err := rest.JSON(&answer)(a); err != nil {
			return err
		}
		if answer.Status == "" {
			return a.Malformed(errors.New("no member 'transitionStatus'"), nil)
		}
		return nil
	})
	if err = rest.CheckRoute(err); err != nil {
		return err
	}
	all.Operation = operation(answer.Operation)
	switch strings.ToLower(answer.Status) {
	case "completed", "aborted":
	default:
		all.Done = false
	}
	for state, n := range answer.TaskCounts {
		if state != "total" {
			all.Counts[taskState(state)] += n
		}
	}
	for _, t := range answer.Tasks {
		if t.Xname != "" {
			all.Tasks[t.Xname] = Task{State: taskState(t.Status), Description: t.Description, Error: t.Error}
		}
	}
	return nil
}

// AbortTransition implements TransitionReader. One that has ended already needs no abort.
func (c *Client) AbortTransition(ctx context.Context, id TransitionID) error {
	var errs []error
	for part := range strings.SplitSeq(string(id), ",") {
		path, err := transitionPath(part)
		if err == nil {
			err = rest.CheckRoute(c.rest.Do(ctx, rest.Request{Method: http.MethodDelete, Path: path}, nil))
		}
		if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusBadRequest {
			err = nil // completed
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func transitionPath(id string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", fmt.Errorf("transition '%s': %w", id, bos.ErrNotFound)
	}
	return "transitions/" + url.PathEscape(id), nil
}

// taskState reads a state of a task; PCS spells one of them in two ways.
func taskState(s string) TaskState {
	if s = strings.ToLower(s); s == "un-supported" {
		return TaskUnsupported
	}
	return TaskState(s)
}

// operation returns the constant for the service's spelling.
func operation(s string) Operation {
	for _, op := range []Operation{On, SoftOff, ForceOff} {
		if strings.EqualFold(s, string(op)) {
			return op
		}
	}
	return Operation(s)
}

var errNoNodes = &bos.FieldError{Field: "ids", Reason: "a power transition needs at least one node"}

func setOf(ids []bos.ComponentID) map[bos.ComponentID]bool {
	set := make(map[bos.ComponentID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// splitMalformed returns the distinct ids that are xnames and calls bad for each that is not: one of those makes PCS
// refuse all.
func splitMalformed(ids []bos.ComponentID, bad func(bos.ComponentID, error)) []bos.ComponentID {
	return slices.DeleteFunc(rest.Distinct(ids), func(id bos.ComponentID) bool {
		if bos.IsNodeXname(id) {
			return false
		}
		bad(id, &bos.FieldError{Reason: fmt.Sprintf("'%s' is not an xname of a node", id)})
		return true
	})
}

// withMalformed adds the ids that were not sent to the error of the call for the valid ones.
func withMalformed(err error, malformed map[bos.ComponentID]error, valid []bos.ComponentID) error {
	if len(malformed) == 0 {
		return err
	}
	if partial, ok := errors.AsType[*bos.BatchError](err); ok {
		for id, cause := range partial.Failed {
			malformed[id] = cause
		}
	} else if err != nil {
		for _, id := range valid {
			malformed[id] = err
		}
	}
	return &bos.BatchError{Failed: malformed}
}

// namesIn returns those of ids that occur as words in text.
func namesIn(text string, ids []bos.ComponentID) map[bos.ComponentID]bool {
	words := map[string]bool{}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		words[word] = true
	}
	named := map[bos.ComponentID]bool{}
	for _, id := range ids {
		if words[string(id)] {
			named[id] = true
		}
	}
	return named
}
