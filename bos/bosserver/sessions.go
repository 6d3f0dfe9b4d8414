package bosserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/store"
)

// ListSessions returns the sessions that match, in a stable order.
func (s *Service) ListSessions(ctx context.Context, f bos.SessionFilter) ([]bos.Session, error) {
	if err := checkSessionFilter(&f); err != nil {
		return nil, err
	}
	now := s.now()
	list := []bos.Session{}
	for session, err := range s.st.Sessions().Scan(ctx, store.Page[bos.TenantKey]{}) {
		if err != nil {
			return nil, storeError(err)
		}
		if matchSession(&f, &session, now) {
			list = append(list, session)
		}
	}
	return list, nil
}

func checkSessionFilter(f *bos.SessionFilter) error {
	switch f.Status {
	case "", bos.SessionPending, bos.SessionRunning, bos.SessionComplete:
	default:
		return &bos.FieldError{Field: "status", Reason: quoteText(string(f.Status)) + " is not one of ['pending', 'running', 'complete']"}
	}
	for _, age := range []*time.Duration{f.MinAge, f.MaxAge} {
		if age != nil && *age < 0 {
			return &bos.FieldError{Field: "age", Reason: "an age is not negative"}
		}
	}
	return nil
}

// matchSession reports whether the session passes the filter. Start times are whole seconds and the present hardly ever
// is, so that a session started "now" is older than no time at all.
func matchSession(f *bos.SessionFilter, s *bos.Session, now time.Time) bool {
	if f.Tenant != "" && string(s.Tenant) != f.Tenant || f.Status != "" && s.State() != f.Status {
		return false
	}
	if f.MinAge == nil && f.MaxAge == nil {
		return true
	}
	if s.Status == nil {
		return false
	}
	start, ok := s.Status.StartTime.Time()
	if !ok {
		return false
	}
	age := now.UTC().Truncate(time.Second).Sub(start)
	return (f.MinAge == nil || age >= *f.MinAge) && (f.MaxAge == nil || age < *f.MaxAge)
}

// GetSession returns one session.
func (s *Service) GetSession(ctx context.Context, key bos.TenantKey) (bos.Session, error) {
	session, err := s.st.Sessions().Get(ctx, key)
	return session, orNotFound(err, noSession(key))
}

// CreateSession creates a session, which then waits to be set up.
func (s *Service) CreateSession(ctx context.Context, tenant string, c bos.SessionCreate) (bos.Session, error) {
	if err := checkTyped("V2SessionCreate", c); err != nil {
		return bos.Session{}, err
	}
	if err := s.verifyTenant(ctx, tenant); err != nil {
		return bos.Session{}, err
	}
	if err := s.checkPaused(ctx); err != nil {
		return bos.Session{}, err
	}
	if err := s.checkLimit(ctx, c.Limit); err != nil {
		return bos.Session{}, err
	}
	template, err := s.st.Templates().Get(ctx, bos.TenantKey{Tenant: tenant, Name: c.TemplateName})
	if err != nil {
		return bos.Session{}, orNotFound(err, invalid("Session Template Name invalid: %s", c.TemplateName))
	}
	f, err := s.validate(ctx, &template, c.Operation)
	switch {
	case err != nil:
		return bos.Session{}, err
	case f.level == levelError:
		return bos.Session{}, invalid("Session template fails check: %s", f.text)
	}
	if c.Name == "" {
		c.Name = s.newID()
	}
	session := bos.Session{
		Name: c.Name, Tenant: bos.NullString(tenant), Operation: c.Operation, TemplateName: c.TemplateName, Limit: c.Limit,
		Stage: c.Stage, IncludeDisabled: c.IncludeDisabled,
		Status: &bos.SessionStatus{StartTime: s.stamp(), Status: bos.SessionPending},
	}
	return session, s.storeSession(ctx, session)
}

// checkPaused refuses new sessions while BOS is paused. That is a conflict rather than an outage: it ends by somebody's
// hand, so that trying again by itself, as clients and meshes do after a 503, is no remedy.
func (s *Service) checkPaused(ctx context.Context) error {
	settings, err := s.Settings(ctx)
	if err == nil && settings.Paused {
		err = &bos.StatusError{
			Status: http.StatusConflict, Err: bos.ErrConflict,
			Detail: "BOS is paused for maintenance and accepts no sessions until the setting 'paused' is false again (bos settings update paused=false)",
		}
	}
	return err
}

// checkLimit applies the options about limits.
func (s *Service) checkLimit(ctx context.Context, limit string) error {
	options, err := s.Options(ctx)
	switch {
	case err != nil:
		return err
	case limit == "" && options.SessionLimitRequired:
		return invalid("session_limit_required option is set, but this session has no limit specified")
	case !limitNIDs(limit):
		return nil
	case options.RejectNIDs:
		return invalid("reject_nids: session limit appears to contain NIDs: %s", limit)
	}
	s.log.WarnContext(ctx, "session limit appears to contain NIDs", "limit", limit)
	return nil
}

// storeSession writes a new session and its hidden identity, unless the name is taken. A status that a session of the
// same name has left behind goes.
func (s *Service) storeSession(ctx context.Context, session bos.Session) error {
	key := session.Key()
	incarnation := s.newID()
	err := s.st.Transact(ctx, func(tx store.Tx) error {
		_, err := tx.Sessions().Get(key)
		switch {
		case err == nil:
			return sessionExists(key)
		case !isNotFound(err):
			if _, corrupt := errors.AsType[*store.CorruptError](err); corrupt {
				return sessionExists(key)
			}
			return err
		}
		return errors.Join(
			tx.Sessions().Put(key, session),
			tx.Incarnations().Put(key, incarnation),
			tx.SavedStatuses().Delete(key),
		)
	})
	return storeError(err)
}

// PatchSession changes a session.
func (s *Service) PatchSession(ctx context.Context, key bos.TenantKey, p bos.SessionPatch) (bos.Session, error) {
	if err := checkTyped("V2SessionUpdate", p); err != nil {
		return bos.Session{}, err
	}
	if completes(&p) && bos.Writer(ctx) != "" {
		return s.completeSession(ctx, key, p, func(*bos.Session) bool { return true })
	}
	session, err := s.st.Sessions().Update(ctx, key, func(session *bos.Session) error {
		if starts(&p) && bos.Writer(ctx) != "" && over(session) {
			return noLonger(key)
		}
		mergeSession(session, &p)
		return nil
	})
	return session, orNotFound(err, noSession(key))
}

func starts(p *bos.SessionPatch) bool {
	return p.Status != nil && bos.Value(p.Status.Status) == bos.SessionRunning
}

// noLonger is the answer to an operator that has set up a session which was canceled meanwhile.
func noLonger(key bos.TenantKey) error {
	return &bos.StatusError{Status: http.StatusConflict, Detail: "Session '" + key.Name + "' is canceled or complete", Err: bos.ErrConflict}
}

func completes(p *bos.SessionPatch) bool {
	return p.Status != nil && bos.Value(p.Status.Status) == bos.SessionComplete
}

// completeSession ends a session on behalf of an operator of ours and saves its status in the same step, so that a
// crash in between leaves no complete session whose status goes on changing. Other writers save it themselves, as the
// reference's operator does. A session ends once, and one that is being canceled ends as canceled. One that does not match
// stays as it is.
func (s *Service) completeSession(ctx context.Context, key bos.TenantKey, p bos.SessionPatch, match func(*bos.Session) bool) (bos.Session, error) {
	summary, err := s.summarize(ctx, key)
	if errors.Is(err, bos.ErrInvalid) {
		summary, err = &extended{}, nil // the tenant is gone and owns nothing; its session must end nevertheless
	}
	if err != nil {
		return bos.Session{}, err
	}
	var session bos.Session
	err = s.st.Transact(ctx, func(tx store.Tx) error {
		before, err := tx.Sessions().Get(key)
		if err != nil {
			return err
		}
		if session = before.Clone(); before.State() == bos.SessionComplete || !match(&before) {
			return nil
		}
		mergeSession(&session, &p)
		if before.Canceled() {
			session.Status.Error = before.Status.Error
		}
		return errors.Join(
			tx.Sessions().Put(key, session),
			tx.SavedStatuses().Put(key, summary.of(&session, s.now())),
		)
	})
	return session, orNotFound(err, noSession(key))
}

// DeleteSession deletes a session in any state, and its saved status.
func (s *Service) DeleteSession(ctx context.Context, key bos.TenantKey) error {
	return s.deleteSession(ctx, key, func(*bos.Session) bool { return true })
}

// deleteSession deletes a session if it matches. A record that cannot be read matches.
func (s *Service) deleteSession(ctx context.Context, key bos.TenantKey, match func(*bos.Session) bool) error {
	err := s.st.Transact(ctx, func(tx store.Tx) error {
		session, err := tx.Sessions().Get(key)
		if _, corrupt := errors.AsType[*store.CorruptError](err); err != nil && !corrupt {
			return err
		}
		if err == nil && !match(&session) {
			return nil
		}
		return errors.Join(tx.Sessions().Delete(key), tx.SavedStatuses().Delete(key), tx.Incarnations().Delete(key))
	})
	return orNotFound(err, noSession(key))
}

// DeleteSessions deletes every session that matches, each under its own tenant.
func (s *Service) DeleteSessions(ctx context.Context, f bos.SessionFilter) error {
	if f == (bos.SessionFilter{}) {
		s.log.WarnContext(ctx, "deleting all sessions of all tenants, whatever their state")
	}
	now := s.now()
	sessions, err := s.ListSessions(ctx, f)
	if err != nil {
		return err
	}
	for i := range sessions {
		err := s.deleteSession(ctx, sessions[i].Key(), func(session *bos.Session) bool { return matchSession(&f, session, now) })
		if err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

// SessionStatus returns the summary of a session: the saved one of a complete session, otherwise a new one.
func (s *Service) SessionStatus(ctx context.Context, key bos.TenantKey) (bos.ExtendedStatus, error) {
	session, err := s.GetSession(ctx, key)
	if err != nil {
		return bos.ExtendedStatus{}, err
	}
	if session.State() == bos.SessionComplete {
		saved, err := s.st.SavedStatuses().Get(ctx, key)
		if err == nil {
			return saved, nil
		}
		if !isNotFound(err) {
			return bos.ExtendedStatus{}, storeError(err)
		}
	}
	summary, err := s.summarize(ctx, key)
	if err != nil {
		return bos.ExtendedStatus{}, err
	}
	return summary.of(&session, s.now()), nil
}

// SaveSessionStatus computes the summary and keeps it, if the session still exists by then.
func (s *Service) SaveSessionStatus(ctx context.Context, key bos.TenantKey) (bos.ExtendedStatus, error) {
	if _, err := s.GetSession(ctx, key); err != nil {
		return bos.ExtendedStatus{}, err
	}
	summary, err := s.summarize(ctx, key)
	if err != nil {
		return bos.ExtendedStatus{}, err
	}
	var status bos.ExtendedStatus
	err = s.st.Transact(ctx, func(tx store.Tx) error {
		session, err := tx.Sessions().Get(key)
		if err != nil {
			return err
		}
		status = summary.of(&session, s.now())
		return tx.SavedStatuses().Put(key, status)
	})
	return status, orNotFound(err, noSession(key))
}

// summarize gathers what the components say about a session.
func (s *Service) summarize(ctx context.Context, key bos.TenantKey) (*extended, error) {
	nodes, err := s.ownedNodes(ctx, key.Tenant)
	if err != nil {
		return nil, err
	}
	e := &extended{}
	for c, err := range s.componentsOf(ctx, key, bos.ComponentFilter{Session: key.Name, IDs: within(nodes, nil)}) {
		if err != nil {
			return nil, err
		}
		e.addOwned(&c)
	}
	for _, err := range s.componentsOf(ctx, key, bos.ComponentFilter{StagedSession: key.Name, IDs: within(nodes, nil)}) {
		if err != nil {
			return nil, err
		}
		e.addStaged()
	}
	return e, nil
}
