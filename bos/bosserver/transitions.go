package bosserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// PowerTransitions returns the power transitions that operators have open, or had a moment ago.
func (s *Service) PowerTransitions(ctx context.Context, ids []string) ([]bos.PowerTransition, error) {
	found := []bos.PowerTransition{}
	if ids == nil {
		for t, err := range s.st.PowerTransitions().Scan(ctx, store.Page[string]{}) {
			if err != nil {
				return nil, storeError(err)
			}
			found = append(found, t)
		}
		return found, nil
	}
	byID, err := s.st.PowerTransitions().GetMany(ctx, ids)
	if err != nil {
		return nil, storeError(err)
	}
	for _, t := range byID {
		found = append(found, t)
	}
	slices.SortFunc(found, func(a, b bos.PowerTransition) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// PutPowerTransition creates or replaces the record of t.ID.
func (s *Service) PutPowerTransition(ctx context.Context, t bos.PowerTransition) error {
	if !bos.ValidName(t.ID) {
		return &bos.FieldError{Field: "id", Reason: quoteText(t.ID) + " is not the id of a power transition"}
	}
	if err := checkTyped("PowerTransition", t); err != nil {
		return err
	}
	return storeError(s.st.PowerTransitions().Put(ctx, t.ID, t))
}

// DeletePowerTransition removes a record, if there is one.
func (s *Service) DeletePowerTransition(ctx context.Context, id string) error {
	err := s.st.PowerTransitions().Delete(ctx, id)
	if errors.Is(err, bos.ErrNotFound) {
		return nil
	}
	return storeError(err)
}

// systemOnly refuses tenants.
func (c *call) systemOnly() error {
	if c.tenant == "" {
		return nil
	}
	return fmt.Errorf("%s is not for tenants: %w", c.route.path, bos.ErrForbidden)
}

func (h *handler) listPowerTransitions(c *call) error {
	if err := c.systemOnly(); err != nil {
		return err
	}
	var ids []string
	if c.has("ids") {
		ids = strings.Split(c.param("ids"), ",")
	}
	v, err := h.api.PowerTransitions(c.ctx(), ids)
	return answer(c, v, err)
}

func (h *handler) putPowerTransition(c *call) error {
	if err := c.systemOnly(); err != nil {
		return err
	}
	t, err := decode[bos.PowerTransition](c.body)
	if err != nil {
		return err
	}
	t.ID = c.r.PathValue("id")
	return answerNothing(c, h.api.PutPowerTransition(c.ctx(), t))
}

func (h *handler) deletePowerTransition(c *call) error {
	if err := c.systemOnly(); err != nil {
		return err
	}
	return answerNothing(c, h.api.DeletePowerTransition(c.ctx(), c.r.PathValue("id")))
}
