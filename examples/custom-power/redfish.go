// Package redfish is a power back end for a machine without PCS: it speaks Redfish to the management controller of each
// node. Give it to the operators as Deps.Power; examples/embedded is a program that does.
package redfish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
)

// Client is a pcs.PowerClient over Redfish.
type Client struct {
	// BMC returns the base URL of a node's controller, such as https://x3000c0s1b0. False = there is no such node. It is
	// called by many goroutines.
	BMC func(id bos.ComponentID) (url string, ok bool)
	// HTTP sends the requests; it brings certificates and credentials. Nil = http.DefaultClient.
	HTTP *http.Client
	// Parallel bounds the controllers asked at the same time; 0 = 32.
	Parallel int
}

var _ pcs.PowerClient = (*Client)(nil)

// system is the resource of the node behind a controller.
const system = "/redfish/v1/Systems/Self"

// reset is what Redfish calls an operation, and the state that it leads to.
var reset = map[pcs.Operation]struct {
	name string
	then pcs.State
}{
	pcs.On: {"On", pcs.StateOn}, pcs.SoftOff: {"GracefulShutdown", pcs.StateOff}, pcs.ForceOff: {"ForceOff", pcs.StateOff},
}

// PowerStatus asks each controller. One that cannot be reached makes its node undefined, not off.
func (c *Client) PowerStatus(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]pcs.PowerStatus, error) {
	all := make(map[bos.ComponentID]pcs.PowerStatus, len(ids))
	var mu sync.Mutex
	c.each(ids, func(id bos.ComponentID, url string, known bool) {
		s := pcs.PowerStatus{State: pcs.StateUndefined, LastUpdated: time.Now()}
		switch {
		case !bos.IsNodeXname(id):
			s.Error = "not the name of a node"
		case !known:
			return // missing from the map: BOS gives the node some time and then up
		default:
			if state, err := c.state(ctx, url); err == nil {
				s.State, s.Available = state, true
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all[id] = s
	})
	return all, ctx.Err()
}

// Transition sends the operation to each controller. Those that refuse are named in a *bos.BatchError; the others obey.
func (c *Client) Transition(ctx context.Context, op pcs.Operation, ids []bos.ComponentID) (pcs.TransitionID, error) {
	if len(ids) == 0 {
		return "", fmt.Errorf("no nodes to power %s: %w", op, bos.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return "", err // nothing was sent
	}
	failed := map[bos.ComponentID]error{}
	var mu sync.Mutex
	c.each(ids, func(id bos.ComponentID, url string, known bool) {
		err := fmt.Errorf("no management controller known: %w", bos.ErrNotFound)
		if known {
			err = c.reset(ctx, url, op)
		}
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed[id] = err
		}
	})
	if len(failed) > 0 {
		return "", &bos.BatchError{Failed: failed}
	}
	return "", nil
}

// each calls fn for all ids, some at the same time, and waits.
func (c *Client) each(ids []bos.ComponentID, fn func(id bos.ComponentID, url string, known bool)) {
	parallel := c.Parallel
	if parallel <= 0 {
		parallel = 32
	}
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			url, ok := c.BMC(id)
			fn(id, url, ok)
		})
	}
	wg.Wait()
}

// state reads the power state of a node.
func (c *Client) state(ctx context.Context, url string) (pcs.State, error) {
	var answer struct{ PowerState string }
	if err := c.call(ctx, http.MethodGet, url+system, nil, &answer); err != nil {
		return pcs.StateUndefined, err
	}
	switch answer.PowerState {
	case "On", "PoweringOff":
		return pcs.StateOn, nil
	case "Off", "PoweringOn":
		return pcs.StateOff, nil
	}
	return pcs.StateUndefined, nil
}

// reset makes a node do the operation. Many controllers refuse what is so already; that is no failure.
func (c *Client) reset(ctx context.Context, url string, op pcs.Operation) error {
	err := c.call(ctx, http.MethodPost, url+system+"/Actions/ComputerSystem.Reset", map[string]string{"ResetType": reset[op].name}, nil)
	if !errors.Is(err, bos.ErrInvalid) {
		return err
	}
	if state, readErr := c.state(ctx, url); readErr == nil && state == reset[op].then {
		return nil
	}
	return err
}

// call makes one request. An outage matches bos.ErrUnavailable, and a POST that may have been executed, because its
// answer was lost, pcs.ErrOutcomeUnknown as well: BOS then counts an attempt and looks before it tries again.
func (c *Client) call(ctx context.Context, method, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		network, ok := errors.AsType[*net.OpError](err)
		if notSent := ok && network.Op == "dial"; method == http.MethodPost && !notSent {
			err = errors.Join(pcs.ErrOutcomeUnknown, err)
		}
		return errors.Join(bos.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case resp.StatusCode >= 500:
		return fmt.Errorf("%s %s: %s: %w", method, url, resp.Status, bos.ErrUnavailable)
	case resp.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s: %w", method, url, resp.Status, bos.ErrInvalid)
	case out == nil:
		return nil
	case err != nil:
		return errors.Join(bos.ErrUnavailable, err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("answer of %s: %w: %w", url, bos.ErrUnavailable, err)
	}
	return nil
}
