package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/bos/reporter"
	"github.com/bootorch/bosgo/internal/fleet"
	"github.com/bootorch/bosgo/store/memstore"
)

// safety bounds waits for what happens at once on a machine with nothing else to do.
const safety = 2 * time.Minute

// await looks again and again until cond holds.
func await(t *testing.T, ctx context.Context, what string, cond func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, context.Cause(ctx))
		}
	}
}

// component reads a component or ends the test.
func component(t *testing.T, api bos.ComponentsAPI, id bos.ComponentID) bos.Component {
	t.Helper()
	c, err := api.GetComponent(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestREP042 boots two nodes of a simulated machine. The simulated reporter of one never starts; the real one then reports
// in its place, over HTTP, from the kernel command line of the node. That alone lets the session finish.
func TestREP042(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), safety)
	defer cancel()
	inv, err := fleet.Generate(2)
	if err != nil {
		t.Fatal(err)
	}
	node := inv.Nodes[0].Xname
	id := bos.ComponentID(node)
	log, level := NewLog(t.Output(), "WARNING")
	sys, err := StartSimulated(ctx, SimulatedConfig{
		Store: "memory:", Inventory: inv, Seed: 1, Faults: []string{"reporter_dead:" + node}, Log: log, Level: level,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sys.Stop(); err != nil {
			t.Error(err)
		}
	}()
	api := httptest.NewServer(sys.Handler())
	defer api.Close()

	await(t, ctx, "discovery", func() bool {
		n := 0
		for range sys.API.ListComponents(ctx, bos.ComponentFilter{}) {
			n++
		}
		return n == 2
	})
	var image string
	for _, i := range sys.Machine.Images() {
		if i.Arch == "x86_64" && i.Link != nil {
			image = i.Link.Path
		}
	}
	template := bos.SessionTemplate{BootSets: map[string]bos.BootSet{"compute": {
		Type: "s3", Path: image, KernelParameters: new("quiet"), Arch: new(bos.ArchX86), NodeRolesGroups: []string{"Compute"},
	}}}
	if _, err := sys.API.PutTemplate(ctx, bos.TenantKey{Name: "t"}, template); err != nil {
		t.Fatal(err)
	}
	if _, err := sys.API.CreateSession(ctx, "", bos.SessionCreate{Name: "s", Operation: bos.OperationBoot, TemplateName: "t"}); err != nil {
		t.Fatal(err)
	}
	truth := func() fleet.NodeState {
		n, _ := sys.Machine.Node(node)
		return n
	}
	await(t, ctx, "the boot of the node", func() bool { return truth().Phase == "up" })
	await(t, ctx, "the other node", func() bool {
		return bos.Value(component(t, sys.API, bos.ComponentID(inv.Nodes[1].Xname)).Enabled) == false
	})
	booted := truth()
	if c := component(t, sys.API, id); !c.ActualArtifacts().Empty() || !c.IsEnabled() {
		t.Fatalf("nobody has reported: artifacts %+v, enabled %v", c.ActualArtifacts(), c.IsEnabled())
	}

	cmdline := reporter.ParseCommandLine(booted.Cmdline + " " + reporter.ParamToken + "=" + booted.Token)
	xname, _ := cmdline.Value(reporter.ParamXname)
	ttl, _ := cmdline.Value(reporter.ParamTTL)
	r, err := reporter.New(reporter.Config{
		ID: xname, API: api.URL, TTL: ttl, Log: log,
		BSSToken: func() (string, error) { token, _ := cmdline.Value(reporter.ParamToken); return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Period() != 3*time.Hour {
		t.Errorf("period %v, want 3h: three quarters of the option component_actual_state_ttl", r.Period())
	}
	if err := r.Once(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, ctx, "the end of the session", func() bool {
		s, err := sys.API.GetSession(ctx, bos.TenantKey{Name: "s"})
		if err != nil {
			t.Fatal(err)
		}
		return s.State() == bos.SessionComplete
	})

	c := component(t, sys.API, id)
	got := c.ActualArtifacts()
	if got.Kernel != booted.Kernel || got.Initrd != booted.Initrd || got.Empty() {
		t.Errorf("reported artifacts %+v; the node booted kernel %s, initrd %s", got, booted.Kernel, booted.Initrd)
	}
	if d := cmp.Diff(c.DesiredArtifacts(), got); d != "" {
		t.Errorf("actual artifacts differ from the desired ones:\n%s", d)
	}
	if token := bos.Value(c.ActualState.BSSToken); string(token) != booted.Token {
		t.Error("the token in the record is not the one of the node")
	}
	if c.ErrorText() != "" || truth().Boots != 1 || truth().Reported {
		t.Errorf("error %q, %d boots, simulated report %v; want none, one, none", c.ErrorText(), truth().Boots, truth().Reported)
	}
}

// inProcess answers requests by a handler.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, req)
	return w.Result(), nil
}

// TestREP043: a token that BOS does not know is stored, and the report counts as delivered, but it proves nothing: the age
// of the actual state goes on.
func TestREP043(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const id = "x1000c0s0b0n0"
		st := memstore.New()
		defer st.Close()
		svc := bosserver.New(st, bosserver.Config{})
		known := bos.BootArtifacts{Kernel: "k", KernelParameters: "p", Initrd: "i"}
		if err := svc.PutBootArtifacts(t.Context(), "known", known); err != nil {
			t.Fatal(err)
		}
		if _, err := svc.CreateComponents(t.Context(), []bos.Component{{ID: id, Enabled: new(false)}}); err != nil {
			t.Fatal(err)
		}
		handler := bosserver.NewHandler(svc, bosserver.HandlerConfig{})
		report := func(token string) (reporter.Status, bos.ActualState) {
			t.Helper()
			var status reporter.Status
			r, err := reporter.New(reporter.Config{
				ID: id, API: "http://bos", Transport: inProcess{handler}, BSSToken: func() (string, error) { return token, nil },
				Observe: func(s reporter.Status) { status = s },
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Once(t.Context()); err != nil {
				t.Fatalf("token %s: %v", token, err)
			}
			return status, *component(t, svc, id).ActualState
		}
		_, first := report("known")
		if got := first.BootArtifacts.Artifacts(); !got.Same(known) {
			t.Fatalf("known token: artifacts %+v", got)
		}
		time.Sleep(time.Hour)
		status, second := report("unknown")
		if status.LastSuccess == nil || status.LastError != "" {
			t.Errorf("unknown token: status %+v, want a success", status)
		}
		if bos.Value(second.BSSToken) != "unknown" {
			t.Error("the unknown token is not in the record")
		}
		if bos.Value(second.LastUpdated) != bos.Value(first.LastUpdated) {
			t.Errorf("an unknown token refreshed last_updated: %v, then %v", bos.Value(first.LastUpdated), bos.Value(second.LastUpdated))
		}
		time.Sleep(time.Hour)
		if _, third := report("known"); bos.Value(third.LastUpdated) == bos.Value(first.LastUpdated) {
			t.Error("a known token did not refresh last_updated")
		}
	})
}
