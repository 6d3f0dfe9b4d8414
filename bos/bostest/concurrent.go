package bostest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// RunConcurrent lets 32 clients change components at the same time, through every server of the fixture in turn, and
// checks that no update is lost: half of them patch one member each of one shared component, and one of a component of
// their own choice; the other half patch one member each of sets of components that overlap, with lists and with one
// patch for many ids in turn. The servers must share one empty database.
func RunConcurrent(t *testing.T, fixture func(t testing.TB) []*Fixture) {
	const rounds = 10
	c := &contest{rounds: rounds}
	for _, f := range fixture(t) {
		c.servers = append(c.servers, newWire(t, f))
	}
	c.prepare()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range singles {
		wg.Go(func() { c.race(ctx, cancel, i, c.single) })
		wg.Go(func() { c.race(ctx, cancel, i, c.bulk) })
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatal(err)
	}
	for _, w := range c.servers {
		c.verify(w)
	}
}

const (
	singles  = 16 // clients of each half; the first so many fields take any number of values
	crowd    = 32 // components that the sets are made of
	setSize  = 20
	sharedID = "shared"
)

// contest is one run of RunConcurrent.
type contest struct {
	servers []*wire
	rounds  int
}

func crowdID(j int) string { return fmt.Sprintf("c%02d", j%crowd) }

// inSet reports whether component j belongs to the set of bulk client k.
func inSet(j, k int) bool { return (j-2*k+2*crowd)%crowd < setSize }

func (c *contest) prepare() {
	items := []string{`{"id":"` + sharedID + `","enabled":false}`}
	for j := range crowd {
		items = append(items, `{"id":"`+crowdID(j)+`","enabled":false}`)
	}
	c.servers[0].t.Helper()
	c.servers[0].components("[" + strings.Join(items, ",") + "]")
}

// race lets one client write, round after round; the first error ends all.
func (c *contest) race(ctx context.Context, cancel context.CancelCauseFunc, client int, write func(w *wire, client, round int) error) {
	for round := 1; round <= c.rounds && ctx.Err() == nil; round++ {
		if err := write(c.servers[(client+round)%len(c.servers)], client, round); err != nil {
			cancel(fmt.Errorf("client %d, round %d: %w", client, round, err))
		}
	}
}

// single patches its member of the shared component, and one of those that no bulk client writes.
func (c *contest) single(w *wire, client, round int) error {
	if err := w.writeAndRead(sharedID, fields[client], round); err != nil {
		return err
	}
	return w.writeAndRead(crowdID(client), fields[singles+client%(len(fields)-singles)], round)
}

// bulk patches its member of each component of its set.
func (c *contest) bulk(w *wire, client, round int) error {
	var ids, items []string
	for j := range crowd {
		if inSet(j, client) {
			ids = append(ids, crowdID(j))
			items = append(items, `{"id":"`+crowdID(j)+`",`+fields[client].patch(round)+`}`)
		}
	}
	body := "[" + strings.Join(items, ",") + "]"
	if round%2 == 0 {
		body = `{"patch":{` + fields[client].patch(round) + `},"filters":{"ids":"` + strings.Join(ids, ",") + `"}}`
	}
	a, err := w.try("PATCH", componentsPath, body)
	if err != nil {
		return err
	}
	var written []any
	if err := json.Unmarshal(a.body, &written); a.code != 200 || err != nil || len(written) != len(ids) {
		return fmt.Errorf("%s: status %d, %d components, want %d: %s", a.asked, a.code, len(written), len(ids), clip(string(a.body)))
	}
	if a, err = w.try("GET", componentsPath+"/"+ids[round%len(ids)], ""); err != nil {
		return err
	}
	return a.holds(fields[client], round)
}

// verify asserts that a server sees the last value that each client wrote.
func (c *contest) verify(w *wire) {
	w.t.Helper()
	shared := w.get(componentsPath + "/" + sharedID).ok()
	for i := range singles {
		shared.has(fields[i].path, fields[i].value(c.rounds))
	}
	for j := range crowd {
		a := w.get(componentsPath + "/" + crowdID(j)).ok()
		for k := range singles {
			if inSet(j, k) {
				a.has(fields[k].path, fields[k].value(c.rounds))
			}
		}
		if j < singles {
			f := fields[singles+j%(len(fields)-singles)]
			a.has(f.path, f.value(c.rounds))
		}
	}
}
