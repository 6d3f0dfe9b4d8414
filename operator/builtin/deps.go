// Package builtin holds the ten operators of BOS: what finds nodes, sets sessions up, powers and configures nodes, judges
// how far they are and cleans up after them. [All] builds them, [New] one of them by name; an operator.Loop runs each.
//
// Operators see BOS through its API and the services through their interfaces, never a database. The middle of each
// is a pure function; what surrounds it answers the question what happens when the process dies between a call and
// its record.
package builtin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/cfs"
	"github.com/bootorch/bosgo/clients/bss"
	"github.com/bootorch/bosgo/clients/ims"
	"github.com/bootorch/bosgo/clients/manifest"
	"github.com/bootorch/bosgo/clients/tapms"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/operator"
	"github.com/bootorch/bosgo/pcs"
)

// API is what the operators need of BOS: a part of bos.API, whose comments hold. bosserver.Service and bosclient.Client
// fit.
type API interface {
	ListComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error]
	PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skipBadIDs bool) ([]bos.Component, error)
	PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error)
	CreateComponents(ctx context.Context, cs []bos.Component) ([]bos.ComponentID, error)

	ListSessions(ctx context.Context, f bos.SessionFilter) ([]bos.Session, error)
	GetSession(ctx context.Context, key bos.TenantKey) (bos.Session, error)
	PatchSession(ctx context.Context, key bos.TenantKey, p bos.SessionPatch) (bos.Session, error)
	CancelSession(ctx context.Context, key bos.TenantKey, reason string) (bos.SessionCanceled, error)
	DeleteSession(ctx context.Context, key bos.TenantKey) error
	DeleteSessions(ctx context.Context, f bos.SessionFilter) error
	SaveSessionStatus(ctx context.Context, key bos.TenantKey) (bos.ExtendedStatus, error)

	GetTemplate(ctx context.Context, key bos.TenantKey) (bos.SessionTemplate, error)

	PruneBootArtifacts(ctx context.Context, unused time.Duration) (removed int, err error)

	bos.TransitionsAPI
	ArtifactRecorder
}

// ArtifactRecorder keeps what a BSS token stands for, see bos.ComponentsAPI. It stamps the record.
type ArtifactRecorder interface {
	PutBootArtifacts(ctx context.Context, token bos.BSSToken, a bos.BootArtifacts) error
}

// Deps is what the operators work with. Each needs only a part: those of a service that no selected operator uses may
// be nil (docs/architecture.md has the table). All must be safe for concurrent use.
type Deps struct {
	API       API
	Inventory hsm.Inventory
	Power     pcs.PowerClient // a pcs.TransitionReader too where the back end can tell how a transition goes
	Config    cfs.ConfigClient
	Boot      bss.BootClient
	Images    ims.ImageClient
	Manifests manifest.Reader
	Tenants   tapms.TenantClient
	Artifacts ArtifactRecorder // nil = API; a store's own where the API is a reference server

	// Transitions is what the power operators and status know of the power transitions on their way; all operators of
	// a process share one. Nil = All makes one, and New one for each operator.
	Transitions *Transitions

	Log *slog.Logger // for what happens outside of a pass; nil = discard
}

// constructors builds each operator; the order is that of the documentation.
var constructors = []struct {
	name string
	make func(Deps) operator.Operator
}{
	{"actual-state-cleanup", newActualStateCleanup},
	{"configuration", newConfiguration},
	{"discovery", newDiscovery},
	{"power-off-forceful", newPowerOffForceful},
	{"power-off-graceful", newPowerOffGraceful},
	{"power-on", newPowerOn},
	{"session-cleanup", newSessionCleanup},
	{"session-completion", newSessionCompletion},
	{"session-setup", newSessionSetup},
	{"status", newStatus},
}

// Names returns the names of the ten operators in alphabetical order.
func Names() []string {
	names := make([]string, len(constructors))
	for i, c := range constructors {
		names[i] = c.name
	}
	return names
}

// New builds one operator. Give operators of one process the same Deps.Transitions. The error matches bos.ErrInvalid
// and lists the names when there is no such operator.
func New(name string, d Deps) (operator.Operator, error) {
	if d.API == nil {
		return nil, errors.New("builtin: Deps.API is missing")
	}
	for _, c := range constructors {
		if c.name == name {
			return c.make(d.withDefaults()), nil
		}
	}
	return nil, fmt.Errorf("%w: no operator %q; there are %s", bos.ErrInvalid, name, strings.Join(Names(), ", "))
}

// All builds the ten operators, in the order of Names. It panics without Deps.API.
func All(d Deps) []operator.Operator {
	d = d.withDefaults()
	ops := make([]operator.Operator, len(constructors))
	for i, name := range Names() {
		op, err := New(name, d)
		if err != nil {
			panic(err)
		}
		ops[i] = op
	}
	return ops
}

func (d Deps) withDefaults() Deps {
	if d.Artifacts == nil {
		d.Artifacts = d.API
	}
	if d.Transitions == nil {
		d.Transitions = NewTransitions(d.Power, d.API)
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

// idsIn returns the ids of a pass in ascending order.
func idsIn(changed []string) []bos.ComponentID {
	ids := make([]bos.ComponentID, len(changed))
	for i, id := range changed {
		ids[i] = bos.ComponentID(id)
	}
	slices.Sort(ids)
	return ids
}

// list reads the components that match f: in an id pass those among ids, in a full pass (ids nil) all.
func list(ctx context.Context, api API, f bos.ComponentFilter, ids []string) ([]bos.Component, error) {
	if ids != nil {
		f.IDs = idsIn(ids)
	}
	var found []bos.Component
	for c, err := range api.ListComponents(ctx, f) {
		if err != nil {
			return nil, fmt.Errorf("list components: %w", err)
		}
		found = append(found, c)
	}
	return found, nil
}
