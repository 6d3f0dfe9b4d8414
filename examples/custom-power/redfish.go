// Package redfish is a power back end for a machine without PCS: it speaks Redfish to the management controller of each
// node. Give it to the operators as Deps.Power, see the example.
package redfish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/pcs"
)

// Client is a pcs.PowerClient over Redfish.
type Client struct {
	// BMC returns the base URL of a node's controller, such as https://x3000c0s1b0. False = there is no such node.
	BMC func(id bos.ComponentID) (url string, ok bool)
	// HTTP sends the requests; it brings certificates and credentials. Nil = http.DefaultClient.
	HTTP *http.Client
	// Parallel bounds the controllers asked at the same time; 0 = 32.
	Parallel int
}

var _ pcs.PowerClient = (*Client)(nil)

// system is the resource of the node behind a controller.
const system = "/redfish/v1/Systems/Self"

// resetTypes are the names that Redfish has for the operations.
var resetTypes = map[pcs.Operation]string{pcs.On: "On", pcs.SoftOff: "GracefulShutdown", pcs.ForceOff: "ForceOff"}

// PowerStatus asks each controller. One that cannot be reached makes its node undefined, not off.
func (c *Client) PowerStatus(ctx context.Context, ids []bos.ComponentID) (map[bos.ComponentID]pcs.PowerStatus, error) {
	all := make(map[bos.ComponentID]pcs.PowerStatus, len(ids))
	var mu sync.Mutex
	c.each(ids, func(id bos.ComponentID, url string, known bool) {
		if !known {
			return // missing from the map: BOS gives the node some time and then up
		}
		var answer struct{ PowerState string }
		s := pcs.PowerStatus{State: pcs.StateUndefined, LastUpdated: time.Now()}
		if err := c.call(ctx, http.MethodGet, url+system, nil, &answer); err == nil {
			s.Available = true
			switch strings.ToLower(answer.PowerState) {
			case "on", "poweringoff":
				s.State = pcs.StateOn
			case "off", "poweringon":
				s.State = pcs.StateOff
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
		return "", fmt.Errorf("%w: no nodes to power %s", bos.ErrInvalid, op)
	}
	failed := map[bos.ComponentID]error{}
	var mu sync.Mutex
	c.each(ids, func(id bos.ComponentID, url string, known bool) {
		err := error(nil)
		if known {
			err = c.call(ctx, http.MethodPost, url+system+"/Actions/ComputerSystem.Reset", map[string]string{"ResetType": resetTypes[op]}, nil)
		} else {
			err = fmt.Errorf("%w: no management controller known", bos.ErrNotFound)
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

// call makes one request. An outage matches bos.ErrUnavailable.
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
		return errors.Join(bos.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return errors.Join(bos.ErrUnavailable, err)
	case resp.StatusCode >= 500:
		return fmt.Errorf("%w: %s %s: %s", bos.ErrUnavailable, method, url, resp.Status)
	case resp.StatusCode >= 300:
		return fmt.Errorf("%w: %s %s: %s", bos.ErrInvalid, method, url, resp.Status)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%w: answer of %s: %w", bos.ErrInvalid, url, err)
	}
	return nil
}
