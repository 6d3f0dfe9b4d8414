package svctest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
)

// listing is an answer of HSM that is made up while it is read: twenty components for each node.
type listing struct {
	nodes, next int
	rest        []byte
	half, end   func()
}

const perNode = 20

func (l *listing) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		total := l.nodes * perNode
		switch i := l.next; {
		case i == 0:
			l.rest = []byte(`{"Components":[`)
		case i > total+1:
			return 0, io.EOF
		case i == total+1:
			l.end()
			l.rest = []byte(`{"ID":"x0","Type":"Cabinet"}]}`)
		default:
			if i == total/2 {
				l.half()
			}
			typ, node := "Processor", (i-1)/perNode
			id := fmt.Sprintf("x%dc0s0b0n0p%d", node, i%perNode)
			if (i-1)%perNode == 0 {
				typ, id = "Node", fmt.Sprintf("x%dc0s0b0n0", node)
			}
			l.rest = fmt.Appendf(nil, `{"ID":%q,"Type":%q,"State":"On","Flag":"OK","Enabled":true,"Role":"Compute","NID":%d,"NetType":"Sling","Arch":"X86","Class":"Mountain"},`, id, typ, node)
		}
		l.next++
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *listing) Close() error { return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// nodeFaults are the faults of nodes that a boot may meet, and what becomes of the nodes.
var nodeFaults = []struct {
	kind, value string
	want        fate
}{
	{"power_on_fails", "stays_off", fails}, {"power_on_fails", "transport", fails}, {"power_on_slow", "60s", boots},
	{"post_hang", "", fails}, {"pxe_no_dhcp", "", fails}, {"bootscript_404", "", fails}, {"kernel_panic", "", fails},
	{"rootfs_missing", "", fails}, {"reporter_dead", "", fails}, {"reporter_delay", "60s", boots},
	{"reporter_wrong_token", "stranger", fails}, {"reporter_lies_xname", "x9999c0s0b0n0", fails}, {"spire_unavailable", "", fails},
	{"soft_off_ignored", "", boots}, {"force_off_fails", "", boots}, {"no_soft_off_support", "", boots},
	{"bmc_unreachable", "", fails}, {"hsm_locked", "", leftOut}, {"hsm_reserved_by_other", "", fails}, {"hsm_disabled", "", leftOut},
	{"hsm_missing", "", leftOut}, {"hsm_no_arch", "", boots}, {"arch_mismatch", "ARM", leftOut}, {"pcs_missing", "", fails},
	{"cfs_missing", "", fails}, {"cfs_fail", "0", fails}, {"cfs_never_runs", "", fails}, {"cfs_status_override", "failed", fails},
}

// fate is what becomes of a node.
type fate string

const (
	boots   fate = "boots"
	fails   fate = "fails" // or is put on hold: it is not as desired, and says why
	leftOut fate = "is left out of the session"
)

var scaleCases = []svcCase{
	{"SVC-120 many components of HSM", func(t *testing.T) {
		n := size(t, 2000)
		begin := heap()
		var used, most int64
		measure := func() {
			used = heap() - begin
			most = max(most, used)
		}
		inventory := must(hsm.New("http://hsm", hsm.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: &listing{nodes: n, half: measure, end: measure}, Request: r}, nil
		})}))
		nodes, err := inventory.Nodes(t.Context())
		if err != nil || len(nodes) != n {
			t.Fatalf("%d nodes, %v; want %d", len(nodes), err, n)
		}
		// The answer is 150 bytes a component; a node that is kept takes less than ten of them.
		if limit := int64(n)*1500 + 1<<20; most > limit {
			t.Errorf("%d bytes in use while the answer is read, want at most %d: it must not be kept", most, limit)
		}
		runtime.KeepAlive(nodes)
	}},
	{"SVC-121 a status pass over many nodes", func(t *testing.T) {
		n := size(t, 1200)
		w := newWorld(t, n)
		w.api.SetOptions(bos.OptionsPatch{MaxComponentBatchSize: new((n + 5) / 6)})
		w.put(artifacts(w.image), w.ids)
		// Half of the nodes are up as desired, so that CFS matters.
		w.put(artifacts(w.image), w.ids[:n/2], func(c *bos.Component) {
			c.ActualState.BootArtifacts = artifacts(w.image).Fields()
		})
		if _, err := w.deps.Power.Transition(t.Context(), "On", w.ids[:n/2]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		before := time.Now()
		w.passes("status")
		cfsItems, asked := 0, map[string]int{}
		for _, c := range w.machine.Calls("cfs") {
			if !c.Time.Before(before) && c.Method == http.MethodGet {
				cfsItems += c.Items
			}
		}
		if cfsItems < n/2 || cfsItems > n {
			t.Errorf("%d components read from CFS, want each of %d at most once", cfsItems, n)
		}
		polls := w.sent(func(r request) bool { return to("pcs", http.MethodPost, "/power-status")(r) && !r.at.Before(before) })
		for _, r := range polls {
			for _, id := range xnamesIn(t, r) {
				asked[id]++
			}
		}
		if len(polls) != 6 || len(asked) != n || slices.Max(slices.Collect(maps.Values(asked))) != 1 {
			t.Errorf("%d requests about %d nodes, want 6 that name each of %d once", len(polls), len(asked), n)
		}
		w.wantStatus(bos.StatusConfiguring, w.ids[0], w.ids[n/2-1])
		w.wantStatus(bos.StatusPowerOnPending, w.ids[n/2], w.ids[n-1])
	}},
	{"SVC-122 many nodes report at the same time", func(t *testing.T) {
		n := size(t, 300)
		w := newWorld(t, n, atSpeed(10)) // all of them within two minutes
		w.start()
		w.session("s", bos.OperationBoot)
		w.await("s", time.Hour)
		w.wantUp(w.ids...)
		for _, status := range w.answers {
			if status != http.StatusOK {
				t.Errorf("a report was answered with %d", status)
			}
		}
		for _, id := range w.ids {
			if c, node := w.api.Get(id), w.node(id); string(bos.Value(c.ActualState.BSSToken)) != node.Token || node.Boots != 1 {
				t.Errorf("%s: the report is lost, or cost a boot: %d boots", id, node.Boots)
			}
		}
	}},
	{"SVC-123 a session with every fault of a node", func(t *testing.T) {
		n := size(t, 100)
		w := newWorld(t, n, atSpeed(10))
		w.api.SetSettings(bos.SettingsPatch{MaxConfigureWaitTime: new(1200)})
		each := max(1, n/100)
		want := map[bos.ComponentID]string{}
		for i, f := range nodeFaults {
			ids := w.ids[i*each : (i+1)*each]
			w.inject(f.kind, f.value, ids...)
			for _, id := range ids {
				want[id] = f.kind + " " + f.value
			}
		}
		w.start()
		w.session("s", bos.OperationBoot)
		w.await("s", 6*time.Hour)
		for i, id := range w.ids {
			fate := boots
			if i/each < len(nodeFaults) {
				fate = nodeFaults[i/each].want
			}
			w.wantFate(id, want[id], fate)
		}
	}},
}

// wantFate checks what has become of a node.
func (w *world) wantFate(id bos.ComponentID, fault string, want fate) {
	w.t.Helper()
	c, n := w.api.Get(id), w.node(id)
	matches := c.ComputeStatus() == bos.StatusStable && c.ActualArtifacts().Same(c.DesiredArtifacts()) && !c.ActualArtifacts().Empty()
	ok := false
	switch want {
	case boots:
		ok = matches && n.Phase == "up" && n.CFS == "configured" && n.Config == configuration && c.ErrorText() == ""
	case fails:
		ok = !matches && c.ErrorText() != "" && (c.ComputeStatus() == bos.StatusFailed || c.ComputeStatus() == bos.StatusOnHold)
	case leftOut:
		ok = c.SessionName() == "" && n.Boots == 0
	}
	if !ok || c.IsEnabled() {
		w.t.Errorf("fault %q: want that it %s; %s", fault, want, w.describe(id))
	}
}

// xnamesIn returns the nodes that a request for power states names.
func xnamesIn(t *testing.T, r request) []string {
	t.Helper()
	var body struct{ Xname []string }
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatal(err)
	}
	return body.Xname
}
