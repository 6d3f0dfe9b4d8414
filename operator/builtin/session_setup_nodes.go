package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/limit"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/hsm"
)

// inventory is what one pass of session-setup knows of HSM: groups, partitions and roles are read at most once, when the
// first session needs them, and shared by all.
type inventory struct {
	hsm                       hsm.Inventory
	groups, partitions, roles func() (map[string][]bos.ComponentID, error)
}

func newInventory(ctx context.Context, h hsm.Inventory) *inventory {
	once := func(read func(context.Context) (map[string][]bos.ComponentID, error)) func() (map[string][]bos.ComponentID, error) {
		return onceValues(func() (map[string][]bos.ComponentID, error) { return read(ctx) })
	}
	return &inventory{hsm: h, groups: once(h.Groups), partitions: once(h.Partitions), roles: once(h.RoleMembers)}
}

// onceValues is sync.OnceValues for calls that may take long: others wait for the first one in a way that synctest sees.
func onceValues[T any](call func() (T, error)) func() (T, error) {
	turn := make(chan struct{}, 1)
	once := sync.OnceValues(call)
	return func() (T, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		return once()
	}
}

// members returns the lookup of names in limits: roles go before partitions, partitions before groups.
func (v *inventory) members() (func(name string) (limit.Set, bool), error) {
	var sources []map[string][]bos.ComponentID
	for _, read := range []func() (map[string][]bos.ComponentID, error){v.roles, v.partitions, v.groups} {
		source, err := read()
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	return func(name string) (limit.Set, bool) {
		for _, source := range sources {
			if ids, ok := source[name]; ok {
				return setOf(ids), true
			}
		}
		return nil, false
	}, nil
}

// nodeFinder finds the nodes of the boot sets of one session. It reads locks and tenant once.
type nodeFinder struct {
	session bos.Session
	limit   limit.Expr
	chunk   int // ids per query of HSM
	log     *slog.Logger
	inv     *inventory

	locked func() (map[bos.ComponentID]bool, error)
	owned  func() (map[bos.ComponentID]bool, error) // the tenant's nodes; of a session with a tenant only
}

// maxQuery bounds the ids of one query, whatever max_component_batch_size says: HSM answers it in one piece.
const maxQuery = 2800

func newNodeFinder(ctx context.Context, s bos.Session, batch int, inv *inventory, tenants tapms.TenantClient, log *slog.Logger) (*nodeFinder, error) {
	e, err := limit.Parse(s.Limit)
	if err != nil {
		return nil, err
	}
	return &nodeFinder{
		session: s, limit: e, chunk: min(cmp.Or(batch, maxQuery), maxQuery), log: log, inv: inv,
		locked: sync.OnceValues(func() (map[bos.ComponentID]bool, error) { return inv.hsm.LockedNodes(ctx) }),
		owned: sync.OnceValues(func() (map[bos.ComponentID]bool, error) {
			nodes, err := tenants.TenantNodes(ctx, string(s.Tenant))
			if errors.Is(err, bos.ErrNotFound) {
				err = refusal("Data not found for tenant " + string(s.Tenant))
			}
			return nodes, err
		}),
	}, nil
}

// nodes returns the nodes of a boot set, step by step as the specification has it; when nothing is left the remaining
// services are not asked. Source: operators 4.3.
func (f *nodeFinder) nodes(ctx context.Context, name string, b *bos.BootSet) (limit.Set, error) {
	log := f.log.With("boot_set", name)
	nodes := limit.Set{}
	steps := []func() error{
		func() error { return f.collect(log, nodes, b) },
		func() error { return f.applyLimit(log, nodes) },
		func() error { return f.dropLocked(log, nodes) },
		func() error { return f.dropForeign(log, nodes) },
		func() error { return f.dropByHardware(ctx, log, nodes, b) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
		if len(nodes) == 0 {
			break
		}
	}
	return nodes, nil
}

// collect puts the listed nodes and the members of the listed groups and roles into nodes. A listed node that the tenant
// does not own fails the session, even where the limit would exclude it; members of groups are cut silently later.
func (f *nodeFinder) collect(log *slog.Logger, nodes limit.Set, b *bos.BootSet) error {
	addAll(nodes, b.NodeList)
	if len(nodes) > 0 && f.session.Tenant != "" {
		owned, err := f.owned()
		if err != nil {
			return err
		}
		var foreign []string
		for _, id := range slices.Sorted(maps.Keys(nodes)) {
			if !owned[id] {
				foreign = append(foreign, string(id))
			}
		}
		if len(foreign) > 0 {
			return refusal("The session template includes nodes which do not exist or are not available to this tenant: " + strings.Join(foreign, ","))
		}
	}
	for _, source := range []struct {
		kind  string
		names []string
		read  func() (map[string][]bos.ComponentID, error)
	}{
		{"group", b.NodeGroups, f.inv.groups},
		{"role", b.NodeRolesGroups, f.inv.roles},
	} {
		if len(source.names) == 0 {
			continue
		}
		known, err := source.read()
		if err != nil {
			return fmt.Errorf("nodes of each %s: %w", source.kind, err)
		}
		for _, n := range source.names {
			ids, ok := known[n]
			if !ok {
				log.Warn("boot set names something hsm does not know", "kind", source.kind, "name", n)
			}
			addAll(nodes, ids)
		}
	}
	return nil
}

func (f *nodeFinder) applyLimit(log *slog.Logger, nodes limit.Set) error {
	if f.limit.Unlimited() {
		return nil
	}
	members := func(string) (limit.Set, bool) { return nil, false }
	if len(f.limit.Names()) > 0 {
		var err error
		if members, err = f.inv.members(); err != nil {
			return fmt.Errorf("names of the limit: %w", err)
		}
	}
	selected := f.limit.Select(nodes, members)
	drop(log, nodes, "outside the limit", func(id bos.ComponentID) bool { return !selected[id] })
	return nil
}

func (f *nodeFinder) dropLocked(log *slog.Logger, nodes limit.Set) error {
	locked, err := f.locked()
	if err != nil {
		return fmt.Errorf("locked nodes: %w", err)
	}
	drop(log, nodes, "locked in hsm", func(id bos.ComponentID) bool { return locked[id] })
	return nil
}

func (f *nodeFinder) dropForeign(log *slog.Logger, nodes limit.Set) error {
	if f.session.Tenant == "" {
		return nil
	}
	owned, err := f.owned()
	if err != nil {
		return err
	}
	drop(log, nodes, "not owned by the tenant", func(id bos.ComponentID) bool { return !owned[id] })
	return nil
}

// dropByHardware drops the nodes that HSM does not know, those of another architecture, and unless the session includes
// them those disabled in HSM.
func (f *nodeFinder) dropByHardware(ctx context.Context, log *slog.Logger, nodes limit.Set, b *bos.BootSet) error {
	known := make(map[bos.ComponentID]hsm.Node, len(nodes))
	for ids := range chunks(slices.Sorted(maps.Keys(nodes)), f.chunk) {
		found, err := f.inv.hsm.Query(ctx, ids)
		if err != nil {
			return fmt.Errorf("look up %d nodes: %w", len(ids), err)
		}
		maps.Copy(known, found)
	}
	drop(log, nodes, "unknown to hsm", func(id bos.ComponentID) bool { _, ok := known[id]; return !ok })
	drop(log, nodes, "other architecture", func(id bos.ComponentID) bool { return !archFits(bos.Value(b.Arch), known[id].Arch) })
	if !f.session.IncludeDisabled {
		drop(log, nodes, "disabled in hsm", func(id bos.ComponentID) bool { return !known[id].Enabled })
	}
	return nil
}

// archFits reports whether a node of architecture have belongs to a boot set for want. A boot set without one is for
// X86; a node whose architecture HSM does not know fits X86 and Unknown. Source: operators 4.3 and Q-21.
func archFits(want bos.Arch, have string) bool {
	if want == "" {
		want = bos.ArchX86
	}
	if have == "" || strings.EqualFold(have, string(bos.ArchUnknown)) {
		return want == bos.ArchX86 || want == bos.ArchUnknown
	}
	return strings.EqualFold(have, string(want))
}

// drop removes the nodes for which unfit holds and says so: nothing leaves a session without a word.
func drop(log *slog.Logger, nodes limit.Set, reason string, unfit func(bos.ComponentID) bool) {
	dropped := 0
	for id := range nodes {
		if !unfit(id) {
			continue
		}
		delete(nodes, id)
		dropped++
		log.Debug("node excluded from session", "xname", id, "reason", reason)
	}
	if dropped > 0 {
		log.Info("nodes excluded from session", "reason", reason, "count", dropped, "left", len(nodes))
	}
}

func addAll[T ~string](nodes limit.Set, ids []T) {
	for _, id := range ids {
		nodes[bos.ComponentID(id)] = true
	}
}

func setOf(ids []bos.ComponentID) limit.Set {
	s := make(limit.Set, len(ids))
	addAll(s, ids)
	return s
}
