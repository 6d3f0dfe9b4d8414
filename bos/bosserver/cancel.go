package bosserver

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// CancelSession ends a session that is pending or running. First its error says so, from which moment on no set-up gives
// it another component; then its components are let go, a few at a time; then it is complete, with its summary, in one
// step. What a crash interrupts is completed by the next call, or by session-completion, which finds the session running
// with that error.
func (s *Service) CancelSession(ctx context.Context, key bos.TenantKey, reason string) (bos.SessionCanceled, error) {
	done := bos.SessionCanceled{Name: key.Name, Tenant: key.Tenant}
	if err := checkTyped("SessionCancel", cancelBody{reason}); err != nil {
		return done, err
	}
	c := &cancellation{Service: s, key: key, now: s.stamp()}
	nodes, err := s.ownedNodes(ctx, key.Tenant)
	switch {
	case errors.Is(err, bos.ErrInvalid): // the tenant is gone and owns nothing; its session must end nevertheless
		nodes = map[bos.ComponentID]bool{}
	case err != nil:
		return done, err
	}
	if err := c.announce(ctx, reason); err != nil {
		return done, err
	}
	if c.session.Stage {
		done.Unstaged, err = c.each(ctx, bos.ComponentFilter{StagedSession: key.Name, IDs: within(nodes, nil)}, c.unstage)
	} else {
		done.Components, err = c.each(ctx, bos.ComponentFilter{Session: key.Name, Enabled: new(true), IDs: within(nodes, nil)}, c.disable)
	}
	if err != nil {
		return done, err
	}
	_, err = s.completeSession(ctx, key, bos.SessionPatch{
		Status: &bos.SessionStatusPatch{Status: new(bos.SessionComplete), EndTime: new(bos.NullString(c.end()))},
	}, (*bos.Session).Canceled) // another one may have its name by now
	if isNotFound(err) {
		err = nil // deleted meanwhile
	}
	if err == nil {
		s.log.InfoContext(ctx, "session canceled", "session", key.Name, "tenant", key.Tenant, "reason", reason,
			"components", done.Components, "unstaged", done.Unstaged)
	}
	return done, err
}

// over reports whether a session takes no components any more: it is complete, or about to be.
func over(s *bos.Session) bool { return s.State() == bos.SessionComplete || s.Canceled() }

// cancellation is one call of CancelSession.
type cancellation struct {
	*Service
	key bos.TenantKey
	now bos.Timestamp

	session     bos.Session // as announced
	incarnation string
	listed      map[bos.ComponentID]bool // nil = all
}

// announce writes into the session that it is canceled, unless it says so already.
func (c *cancellation) announce(ctx context.Context, reason string) error {
	err := c.st.Transact(ctx, func(tx store.Tx) (err error) {
		if c.session, err = tx.Sessions().Get(c.key); err != nil {
			return err
		}
		if c.incarnation, err = tx.Incarnations().Get(c.key); err != nil && !isNotFound(err) {
			return err
		}
		switch {
		case c.session.Canceled():
			return nil
		case c.session.State() == bos.SessionComplete:
			return &bos.StatusError{
				Status: http.StatusConflict, Detail: "Session '" + c.key.Name + "' is complete already: there is nothing to cancel", Err: bos.ErrConflict,
			}
		}
		status := ensure(&c.session.Status)
		status.Status, status.Error = bos.SessionRunning, bos.NullString(bos.CanceledError(reason))
		return tx.Sessions().Put(c.key, c.session)
	})
	if c.session.Components != "" {
		c.listed = map[bos.ComponentID]bool{}
		for id := range strings.SplitSeq(c.session.Components, ",") {
			c.listed[bos.ComponentID(id)] = true
		}
	}
	return orNotFound(err, noSession(c.key))
}

// end returns when the session ends: now, but not before it began by another clock.
func (c *cancellation) end() bos.Timestamp {
	start, ok := c.session.Status.StartTime.Time()
	if now, _ := c.now.Time(); ok && now.Before(start) {
		return bos.Stamp(start)
	}
	return c.now
}

// each lets go of the components that match and belong to the session, and returns how many there were. It decides on
// what it finds in the transaction that writes, so that a component which another session has taken meanwhile stays as
// it is.
func (c *cancellation) each(ctx context.Context, f bos.ComponentFilter, let func(*bos.Component)) (int, error) {
	var ids []bos.ComponentID
	for found, err := range store.QueryComponents(ctx, c.st, f) {
		if err != nil {
			return 0, storeError(err)
		}
		ids = append(ids, found.ID)
	}
	total := 0
	for chunk := range slices.Chunk(ids, ownedStep) {
		var n int
		err := c.st.Transact(ctx, func(tx store.Tx) error {
			n = 0
			found, err := tx.Components().GetMany(chunk)
			if err != nil {
				return err
			}
			owned := tx.Owners()
			if c.session.Stage {
				owned = tx.StageOwners()
			}
			owners, err := owned.GetMany(chunk)
			if err != nil {
				return err
			}
			for _, id := range chunk {
				component, exists := found[id]
				owner, known := owners[id]
				if !exists || !f.MatchState(&component) || !c.owns(id, owner, known) {
					continue
				}
				let(&component)
				if err := tx.Components().Put(id, component); err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil {
			return total, storeError(err)
		}
		total += n
	}
	return total, nil
}

// owns reports whether a component that carries the session's name belongs to it. Where nobody has told whom the name
// means, only the components that its set-up listed do.
func (c *cancellation) owns(id bos.ComponentID, owner store.Owner, known bool) bool {
	if known && owner.Session == c.key.Name {
		return !foreign(owner, c.key, c.incarnation)
	}
	return c.listed == nil || c.listed[id]
}

// disable ends BOS's work on the component where it is. What had gone wrong before stays in its error.
func (c *cancellation) disable(component *bos.Component) {
	text := string(c.session.Status.Error)
	if before := component.ErrorText(); before != "" {
		text += " (before: " + before + ")"
	}
	component.Enabled = new(false)
	component.Error = new(cut(text, maxErrorLength))
}

// cut returns at most the first n bytes of a text, in whole characters.
func cut(text string, n int) string {
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "")
	}
	return text
}

// unstage clears a stage.
func (c *cancellation) unstage(component *bos.Component) {
	component.StagedState = &bos.StagedState{BootArtifacts: bos.BootArtifacts{}.Fields(), Configuration: new(""), LastUpdated: new(c.now)}
}

// cancelBody is the body of POST /v2/sessions/{session_id}/cancel.
type cancelBody struct {
	Reason string `json:"reason"`
}

func (h *handler) cancelSession(c *call) error {
	var body cancelBody
	if len(c.body) > 0 {
		var err error
		if body, err = decode[cancelBody](c.body); err != nil {
			return err
		}
	}
	v, err := h.api.CancelSession(c.ctx(), c.sessionKey(), body.Reason)
	return answer(c, v, err)
}
