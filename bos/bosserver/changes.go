package bosserver

import (
	"context"
	"iter"
	"maps"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// ownershipAge is how long a stream believes which nodes its tenant owns.
const ownershipAge = 10 * time.Second

// Changes yields the committed writes that match. It counts from the moment of the call, not from that of the first
// iteration. A tenant sees its sessions and templates, the components it owns, and the options.
func (s *Service) Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	if f.Since.IsZero() {
		f.Since = s.st.Cursor()
	}
	return func(yield func(bos.Change, error) bool) {
		view := &tenantView{service: s, tenant: f.Tenant}
		if err := view.refresh(ctx); err != nil {
			yield(bos.Change{}, err)
			return
		}
		for c, err := range s.st.Changes(ctx, f.Since) {
			if err != nil {
				yield(bos.Change{}, storeError(err))
				return
			}
			visible, resync, err := view.sees(ctx, &c)
			if err != nil {
				yield(bos.Change{}, err)
				return
			}
			if resync && !yield(bos.Change{Kind: bos.ChangeResync, Cursor: c.Cursor}, nil) {
				return
			}
			if visible && f.Match(&c) && !yield(c, nil) {
				return
			}
		}
	}
}

// tenantView decides what a tenant may see; the empty tenant sees everything.
type tenantView struct {
	service *Service
	tenant  string
	nodes   map[bos.ComponentID]bool
	asked   time.Time
}

func (v *tenantView) refresh(ctx context.Context) (err error) {
	v.asked = v.service.now()
	v.nodes, err = v.service.ownedNodes(ctx, v.tenant)
	return err
}

// sees reports whether the tenant may see the change, and whether it owns other nodes than before.
func (v *tenantView) sees(ctx context.Context, c *bos.Change) (visible, resync bool, err error) {
	if v.tenant == "" {
		return true, false, nil
	}
	switch c.Kind {
	case bos.ChangeResync, bos.ChangeOptions:
		return true, false, nil
	case bos.ChangeSession, bos.ChangeTemplate:
		return c.Tenant == v.tenant, false, nil
	case bos.ChangeComponent:
		if v.service.now().Sub(v.asked) >= ownershipAge {
			before := v.nodes
			if err := v.refresh(ctx); err != nil {
				return false, false, err
			}
			resync = !maps.Equal(before, v.nodes)
		}
		return v.nodes[bos.ComponentID(c.ID)], resync, nil
	}
	return false, false, nil
}
