package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/operator"
)

// discovery adds the nodes that HSM knows and BOS does not: disabled, and without any state. It never removes one.
// Management nodes are added too; HSM locks are what protects them. Source: operators 2.3.
//
// What if the process dies? Components are created only where there is none, so the next pass adds the rest, and
// nothing that was written meanwhile is overwritten.
type discovery struct{ d Deps }

func newDiscovery(d Deps) operator.Operator { return &discovery{d} }

var _ operator.Periodic = (*discovery)(nil)

func (*discovery) Name() string { return "discovery" }

// Period is the option discovery_frequency.
func (*discovery) Period(o bos.Options) time.Duration { return o.DiscoveryFrequency }

// Run makes one comparison of HSM and BOS. When HSM is away the loop tries again long before the next period.
func (o *discovery) Run(ctx context.Context, t operator.Tick) error {
	nodes, err := o.d.Inventory.Nodes(ctx)
	if err != nil {
		return fmt.Errorf("read nodes of hsm: %w", err)
	}
	known := make(map[bos.ComponentID]bool, len(nodes))
	for c, err := range o.d.API.ListComponents(ctx, bos.ComponentFilter{}) {
		if err != nil {
			return fmt.Errorf("list components: %w", err)
		}
		known[c.ID] = true
	}
	var found []bos.Component
	for _, n := range nodes {
		if !known[n.ID] {
			known[n.ID] = true
			found = append(found, newlyDiscovered(n.ID))
		}
	}
	slices.SortFunc(found, func(a, b bos.Component) int { return cmp.Compare(a.ID, b.ID) })
	var errs []error
	for chunk := range chunks(found, t.Options.MaxComponentBatchSize) {
		created, err := o.d.API.CreateComponents(ctx, chunk)
		if err != nil {
			errs = append(errs, fmt.Errorf("create %d components: %w", len(chunk), err))
			continue
		}
		t.Log.Info("nodes discovered", "count", len(created), "first", chunk[0].ID)
	}
	return errors.Join(errs...)
}

// newlyDiscovered returns the record of a node of which BOS knows only that it exists.
func newlyDiscovered(id bos.ComponentID) bos.Component {
	return bos.Component{
		ID:          id,
		ActualState: emptyActualState(),
		DesiredState: &bos.DesiredState{
			BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(""), BSSToken: new(bos.BSSToken("")),
		},
		StagedState: &bos.StagedState{},
		LastAction:  &bos.LastAction{Action: new(bos.ActionNewlyDiscovered), Failed: new(false)},
		Enabled:     new(false),
		Error:       new(""),
		Session:     new(""),
	}
}
