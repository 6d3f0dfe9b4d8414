package pcs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/internal/rest"
)

// CAPMC is a PowerClient of the older Cray Advanced Platform Monitoring and Control, for sites that have only that. It
// cannot tell how an operation goes. It is safe for concurrent use.
type CAPMC struct{ rest *rest.Client }

var _ PowerClient = (*CAPMC)(nil)

// capmcTimeout is the least read time-out: CAPMC answers only when every node has been commanded.
const capmcTimeout = 60 * time.Second

// NewCAPMC returns a client of CAPMC at baseURL, such as "http://cray-capmc/capmc/v1". Its read time-out is at least a
// minute, whatever cfg says. No request is made. Errors match bos.ErrInvalid.
func NewCAPMC(baseURL string, cfg Config) (*CAPMC, error) {
	if timeout := cfg.Timeout; timeout == nil {
		cfg.Timeout = func() time.Duration { return capmcTimeout }
	} else {
		cfg.Timeout = func() time.Duration { return max(capmcTimeout, timeout()) }
	}
	c, err := rest.New("capmc", baseURL, cfg)
	if err != nil {
		return nil, err
	}
	return &CAPMC{c}, nil
}

// capmcAnswer has what every answer has. Success is E being 0, whatever the HTTP status.
type capmcAnswer struct {
	E      int    `json:"e"`
	ErrMsg string `json:"err_msg"`
}

// someFailed is the E of an operation that was carried out for some nodes; with others it was for none.
const someFailed = -1

// err returns what went wrong in a call as a whole.
func (a *capmcAnswer) err() error {
	sentinel := bos.ErrUnavailable
	switch a.E {
	case 0:
		return nil
	case someFailed: // and nobody says which
		return fmt.Errorf("capmc: %s (%d): %w: %w", a.ErrMsg, a.E, ErrOutcomeUnknown, bos.ErrUnavailable)
	case 37: // ENOLCK: a node is locked or reserved, nothing was done
		sentinel = bos.ErrConflict
	case 22, 400:
		sentinel = bos.ErrInvalid
	}
	return fmt.Errorf("capmc: %s (%d): %w", a.ErrMsg, a.E, sentinel)
}

// PowerStatus implements PowerClient.
func (c *CAPMC) PowerStatus(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]PowerStatus, error) {
	statuses := make(map[bos.ComponentID]PowerStatus, len(ids))
	valid := splitMalformed(ids, func(id bos.ComponentID, err error) { statuses[id] = PowerStatus{Error: err.Error()} })
	err := rest.InBatches(valid, c.rest.Config().MaxNodes(), func(batch []bos.ComponentID) error {
		return c.readStatus(ctx, batch, statuses)
	})
	if err != nil {
		return nil, err
	}
	return statuses, nil
}

// readStatus asks CAPMC for ids, which all look like xnames, and adds the answer to statuses. A node in several lists is
// what the last of them says: who cannot be read is neither on nor off.
func (c *CAPMC) readStatus(ctx context.Context, ids []bos.ComponentID, statuses map[bos.ComponentID]PowerStatus) error {
	var answer struct {
		capmcAnswer
		On           []bos.ComponentID `json:"on"`
		Ready        []bos.ComponentID `json:"ready"`
		Standby      []bos.ComponentID `json:"standby"`
		Halt         []bos.ComponentID `json:"halt"`
		Off          []bos.ComponentID `json:"off"`
		Undefined    []bos.ComponentID `json:"undefined"`
		Unknown      []bos.ComponentID `json:"unknown"`
		Unresponsive []bos.ComponentID `json:"unresponsive"`
	}
	err := c.rest.Do(ctx, rest.Request{
		Method: http.MethodPost, Path: "get_xname_status", ReadOnly: true,
		Body: map[string]any{"filter": "show_all", "xnames": ids, "source": "redfish"},
	}, rest.JSON(&answer))
	err = rest.CheckRoute(err)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		return nil // it knows none of them
	}
	if err != nil {
		return err
	}
	asked, found := setOf(ids), false
	for _, list := range []struct {
		ids    []bos.ComponentID
		status PowerStatus
	}{
		{answer.On, PowerStatus{State: StateOn, Available: true}},
		{answer.Ready, PowerStatus{State: StateOn, Available: true}},
		{answer.Standby, PowerStatus{State: StateOn, Available: true}},
		{answer.Halt, PowerStatus{State: StateOn, Available: true}},
		{answer.Off, PowerStatus{State: StateOff, Available: true}},
		{answer.Undefined, PowerStatus{State: StateUndefined}},
		{answer.Unknown, PowerStatus{State: StateUndefined}},
		{answer.Unresponsive, PowerStatus{State: StateUndefined}},
	} {
		for _, id := range list.ids {
			if asked[id] {
				found = true
				statuses[id] = list.status
			}
		}
	}
	if !found {
		return answer.err()
	}
	return nil
}

// Transition implements PowerClient; the id is always empty.
func (c *CAPMC) Transition(ctx context.Context, op Operation, ids []bos.ComponentID) (TransitionID, error) {
	if len(ids) == 0 {
		return "", errNoNodes
	}
	malformed := map[bos.ComponentID]error{}
	valid := splitMalformed(ids, func(id bos.ComponentID, err error) { malformed[id] = err })
	err := rest.InBatches(valid, c.rest.Config().MaxNodes(), func(batch []bos.ComponentID) error {
		return c.start(ctx, op, batch)
	})
	return "", withMalformed(err, malformed, valid)
}

func (c *CAPMC) start(ctx context.Context, op Operation, ids []bos.ComponentID) error {
	body := map[string]any{"reason": "BOS: Powering nodes", "xnames": ids, "continue": true}
	path := "xname_off"
	switch op {
	case On:
		path = "xname_on"
	case SoftOff, ForceOff:
		body["force"] = op == ForceOff
	default:
		return &bos.FieldError{Field: "operation", Reason: fmt.Sprintf("CAPMC has no operation '%s'", op)}
	}
	var answer struct {
		capmcAnswer
		Xnames []struct {
			capmcAnswer
			Xname bos.ComponentID `json:"xname"`
		} `json:"xnames"`
	}
	if err := c.rest.Do(ctx, rest.Request{Method: http.MethodPost, Path: path, Body: body}, rest.JSON(&answer)); err != nil {
		return err
	}
	failed, asked := map[bos.ComponentID]error{}, setOf(ids)
	for _, x := range answer.Xnames {
		if x.E != 0 && asked[x.Xname] {
			failed[x.Xname] = errors.New(cmp.Or(x.ErrMsg, fmt.Sprintf("capmc: error %d", x.E)))
		}
	}
	partial := &bos.BatchError{Failed: failed}
	switch {
	case len(failed) == 0:
		return answer.err()
	case answer.E != 0 && answer.E != someFailed:
		return fmt.Errorf("%w; %s", answer.err(), partial.Error()) // nothing was done for the others either
	}
	return partial
}
