package redfish_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/mock/gomock"

	"github.com/bootorch/bosgo/bos"
	redfish "github.com/bootorch/bosgo/examples/custom-power"
	"github.com/bootorch/bosgo/hsm/hsmtest"
	"github.com/bootorch/bosgo/operator/builtin"
	"github.com/bootorch/bosgo/operator/operatortest"
	"github.com/bootorch/bosgo/pcs"
	"github.com/bootorch/bosgo/pcs/pcstest"
)

// bmcs are the controllers of a machine: one server that knows nodes by the first element of the path.
type bmcs struct {
	mu     sync.Mutex
	power  map[string]string // "On", "Off"; a node that is missing has a dead controller
	hangUp bool              // the connection breaks once a command is done
}

func (b *bmcs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	node, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	state, alive := b.power[node]
	switch {
	case !alive:
		http.Error(w, "controller is restarting", http.StatusServiceUnavailable)
	case r.Method == http.MethodGet && path == "redfish/v1/Systems/Self":
		_ = json.NewEncoder(w).Encode(map[string]string{"PowerState": state})
	case r.Method == http.MethodPost && path == "redfish/v1/Systems/Self/Actions/ComputerSystem.Reset":
		var body struct{ ResetType string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		next := map[string]string{"On": "On", "GracefulShutdown": "Off", "ForceOff": "Off"}[body.ResetType]
		if next == state {
			http.Error(w, "the system is in that state already", http.StatusConflict)
			return
		}
		b.power[node] = next
		if b.hangUp {
			panic(http.ErrAbortHandler) // done, but the answer is lost
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		http.NotFound(w, r)
	}
}

func newMachine(t *testing.T, b *bmcs) *redfish.Client {
	t.Helper()
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return &redfish.Client{BMC: func(id bos.ComponentID) (string, bool) {
		return srv.URL + "/" + string(id), strings.HasPrefix(string(id), "x3000")
	}}
}

// The suite knows what BOS expects of a power back end.
func TestConformance(t *testing.T) {
	pcstest.Run(t, pcstest.Subject{
		Client:  newMachine(t, &bmcs{power: map[string]string{"x3000c0s1b0n0": "Off", "x3000c0s2b0n0": "Off", "x3000c0s3b0n0": "Off"}}),
		Nodes:   []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0", "x3000c0s3b0n0"},
		Unknown: "x9999c0s0b0n0",
	})
}

func TestSoftOff(t *testing.T) {
	b := &bmcs{power: map[string]string{"x3000c0s1b0n0": "On"}}
	if _, err := newMachine(t, b).Transition(t.Context(), pcs.SoftOff, []bos.ComponentID{"x3000c0s1b0n0"}); err != nil || b.power["x3000c0s1b0n0"] != "Off" {
		t.Errorf("power %v, error %v", b.power, err)
	}
}

// A command whose answer is lost may have been obeyed: BOS has to know that.
func TestLostAnswer(t *testing.T) {
	c := newMachine(t, &bmcs{power: map[string]string{"x3000c0s1b0n0": "Off"}, hangUp: true})
	_, err := c.Transition(t.Context(), pcs.On, []bos.ComponentID{"x3000c0s1b0n0"})
	batch, ok := errors.AsType[*bos.BatchError](err)
	if !ok || !errors.Is(batch.Failed["x3000c0s1b0n0"], pcs.ErrOutcomeUnknown) {
		t.Errorf("error = %v, want one of unknown outcome", err)
	}
	nobody := &redfish.Client{BMC: func(bos.ComponentID) (string, bool) { return "http://127.0.0.1:1", true }}
	_, err = nobody.Transition(t.Context(), pcs.On, []bos.ComponentID{"x3000c0s1b0n0"})
	if batch, ok := errors.AsType[*bos.BatchError](err); !ok || !errors.Is(batch.Failed["x3000c0s1b0n0"], bos.ErrUnavailable) || errors.Is(batch.Failed["x3000c0s1b0n0"], pcs.ErrOutcomeUnknown) {
		t.Errorf("error = %v, want an outage and nothing sent", err)
	}
}

// An operator of BOS works with it: power-off-forceful cuts the power of a node that ignored the graceful shutdown.
func TestWithAnOperator(t *testing.T) {
	b := &bmcs{power: map[string]string{"x3000c0s1b0n0": "On"}}
	api := operatortest.NewBOS(t)
	api.Put(operatortest.Component("x3000c0s1b0n0", bos.BootArtifacts{}, func(c *bos.Component) {
		c.Status = &bos.ComponentStatus{Phase: new(bos.PhasePoweringOff)}
		c.LastAction = &bos.LastAction{Action: new(bos.ActionPoweringOffGraceful), LastUpdated: new(bos.Stamp(api.Now().Add(-time.Hour)))}
	}))
	op, err := builtin.New("power-off-forceful", builtin.Deps{API: api, Inventory: hsmtest.NewNodes("x3000c0s1b0n0"), Power: newMachine(t, b)})
	if err != nil {
		t.Fatal(err)
	}
	if err := operatortest.Run(t, api, op, 1); err != nil {
		t.Fatal(err)
	}
	if c := api.Get("x3000c0s1b0n0"); b.power["x3000c0s1b0n0"] != "Off" || c.Action() != bos.ActionPoweringOffForceful {
		t.Errorf("the node is %s, last action %s", b.power["x3000c0s1b0n0"], c.Action())
	}
}

func TestDeadControllerIsNeitherOnNorOff(t *testing.T) {
	c := newMachine(t, &bmcs{power: map[string]string{"x3000c0s1b0n0": "On"}})
	ids := []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0", "x9999c0s0b0n0"}
	got, err := c.PowerStatus(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	if s := got["x3000c0s2b0n0"]; s.State != pcs.StateUndefined || s.Available {
		t.Errorf("dead controller: %+v", s)
	}
	if _, there := got["x9999c0s0b0n0"]; there {
		t.Error("a node without a controller has a state")
	}
	_, err = c.Transition(t.Context(), pcs.SoftOff, ids)
	batch, ok := errors.AsType[*bos.BatchError](err)
	if !ok || len(batch.Failed) != 2 || !errors.Is(batch.Failed["x3000c0s2b0n0"], bos.ErrUnavailable) || !errors.Is(batch.Failed["x9999c0s0b0n0"], bos.ErrNotFound) {
		t.Errorf("error = %v", err)
	}
	if _, err := c.Transition(t.Context(), pcs.On, nil); !errors.Is(err, bos.ErrInvalid) {
		t.Errorf("no nodes: %v", err)
	}
}

// A mock says what must be called, and so what must not: here nothing but one reading.
func TestWithAMock(t *testing.T) {
	power := pcstest.NewMockPowerClient(gomock.NewController(t))
	power.EXPECT().PowerStatus(gomock.Any(), []bos.ComponentID{"x3000c0s1b0n0"}).
		Return(map[bos.ComponentID]pcs.PowerStatus{"x3000c0s1b0n0": {State: pcs.StateOff}}, nil)
	if got := allOff(t, power, "x3000c0s1b0n0"); !got {
		t.Error("the node is not off")
	}
}

// A fake holds state: it obeys, and can be told not to.
func TestWithAFake(t *testing.T) {
	power := pcstest.New("x3000c0s1b0n0", "x3000c0s2b0n0")
	power.SetState(pcs.StateOn, "x3000c0s1b0n0", "x3000c0s2b0n0")
	power.Ignore(true, "x3000c0s2b0n0")
	if _, err := power.Transition(t.Context(), pcs.SoftOff, []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0"}); err != nil {
		t.Fatal(err)
	}
	if !allOff(t, power, "x3000c0s1b0n0") || allOff(t, power, "x3000c0s2b0n0") {
		t.Error("one shall obey, the other not")
	}
}

// allOff stands for the code of yours that is tested.
func allOff(t *testing.T, power pcs.PowerClient, ids ...bos.ComponentID) bool {
	t.Helper()
	status, err := power.PowerStatus(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if status[id].State != pcs.StateOff {
			return false
		}
	}
	return true
}

func ExampleClient() {
	power := &redfish.Client{BMC: func(id bos.ComponentID) (string, bool) {
		node := strings.LastIndex(string(id), "n")
		return "https://" + string(id[:max(node, 0)]), node > 0
	}}
	url, _ := power.BMC("x3000c0s1b0n0")
	fmt.Println(url)
	// Give it to the operators: builtin.Deps{Power: power, …}, see examples/embedded.

	// Output: https://x3000c0s1b0
}
