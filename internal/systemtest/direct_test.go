package systemtest

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosserver"
)

// directAPI is the API of BOS for operators in the process of its server, as bos serve runs them. Each call passes the
// process's watcher like the HTTP request that it stands for.
type directAPI struct {
	p   *process
	api *bosserver.Service
}

// ask makes a call.
func ask[T any](ctx context.Context, d directAPI, method, path string, call func() (T, error)) (T, error) {
	var answer T
	var answered error
	r := &request{operator: bos.Writer(ctx), service: "bos", method: method, path: path}
	err := d.p.carry(r, func() (int, error) {
		if answer, answered = call(); answered != nil {
			return bos.AsStatus(answered).Status, nil
		}
		return http.StatusOK, nil
	})
	if err != nil {
		var none T
		return none, fmt.Errorf("%w: %w", bos.ErrUnavailable, err)
	}
	return answer, answered
}

// tell makes a call that answers nothing.
func tell(ctx context.Context, d directAPI, method, path string, call func() error) error {
	_, err := ask(ctx, d, method, path, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

func (d directAPI) ListComponents(ctx context.Context, f bos.ComponentFilter) iter.Seq2[bos.Component, error] {
	return func(yield func(bos.Component, error) bool) {
		found, err := ask(ctx, d, http.MethodGet, "/v2/components", func() (all []bos.Component, err error) {
			for c, err := range d.api.ListComponents(ctx, f) {
				if err != nil {
					return nil, err
				}
				all = append(all, c)
			}
			return all, nil
		})
		for c := range slices.Values(found) {
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(bos.Component{}, err)
		}
	}
}

func (d directAPI) PatchComponents(ctx context.Context, tenant string, ps []bos.ComponentPatch, skip bool) ([]bos.Component, error) {
	return ask(ctx, d, http.MethodPatch, "/v2/components", func() ([]bos.Component, error) { return d.api.PatchComponents(ctx, tenant, ps, skip) })
}

func (d directAPI) PatchGuarded(ctx context.Context, p bos.GuardedPatches) (bos.GuardedResult, error) {
	return ask(ctx, d, http.MethodPost, "/v2/componentpatches", func() (bos.GuardedResult, error) { return d.api.PatchGuarded(ctx, p) })
}

func (d directAPI) CreateComponents(ctx context.Context, cs []bos.Component) ([]bos.ComponentID, error) {
	return ask(ctx, d, http.MethodPut, "/v2/components", func() ([]bos.ComponentID, error) { return d.api.CreateComponents(ctx, cs) })
}

func (d directAPI) ListSessions(ctx context.Context, f bos.SessionFilter) ([]bos.Session, error) {
	return ask(ctx, d, http.MethodGet, "/v2/sessions", func() ([]bos.Session, error) { return d.api.ListSessions(ctx, f) })
}

func (d directAPI) GetSession(ctx context.Context, key bos.TenantKey) (bos.Session, error) {
	return ask(ctx, d, http.MethodGet, "/v2/sessions/"+key.Name, func() (bos.Session, error) { return d.api.GetSession(ctx, key) })
}

func (d directAPI) PatchSession(ctx context.Context, key bos.TenantKey, p bos.SessionPatch) (bos.Session, error) {
	return ask(ctx, d, http.MethodPatch, "/v2/sessions/"+key.Name, func() (bos.Session, error) { return d.api.PatchSession(ctx, key, p) })
}

func (d directAPI) CancelSession(ctx context.Context, key bos.TenantKey, reason string) (bos.SessionCanceled, error) {
	return ask(ctx, d, http.MethodPost, "/v2/sessions/"+key.Name+"/cancel", func() (bos.SessionCanceled, error) { return d.api.CancelSession(ctx, key, reason) })
}

func (d directAPI) DeleteSession(ctx context.Context, key bos.TenantKey) error {
	return tell(ctx, d, http.MethodDelete, "/v2/sessions/"+key.Name, func() error { return d.api.DeleteSession(ctx, key) })
}

func (d directAPI) DeleteSessions(ctx context.Context, f bos.SessionFilter) error {
	return tell(ctx, d, http.MethodDelete, "/v2/sessions", func() error { return d.api.DeleteSessions(ctx, f) })
}

func (d directAPI) SaveSessionStatus(ctx context.Context, key bos.TenantKey) (bos.ExtendedStatus, error) {
	return ask(ctx, d, http.MethodPost, "/v2/sessions/"+key.Name+"/status", func() (bos.ExtendedStatus, error) { return d.api.SaveSessionStatus(ctx, key) })
}

func (d directAPI) GetTemplate(ctx context.Context, key bos.TenantKey) (bos.SessionTemplate, error) {
	return ask(ctx, d, http.MethodGet, "/v2/sessiontemplates/"+key.Name, func() (bos.SessionTemplate, error) { return d.api.GetTemplate(ctx, key) })
}

func (d directAPI) PutBootArtifacts(ctx context.Context, token bos.BSSToken, a bos.BootArtifacts) error {
	return tell(ctx, d, http.MethodPut, "/v2/bootartifacts/"+url.PathEscape(string(token)), func() error { return d.api.PutBootArtifacts(ctx, token, a) })
}

func (d directAPI) PruneBootArtifacts(ctx context.Context, unused time.Duration) (int, error) {
	return ask(ctx, d, http.MethodDelete, "/v2/bootartifacts", func() (int, error) { return d.api.PruneBootArtifacts(ctx, unused) })
}

func (d directAPI) PowerTransitions(ctx context.Context, ids []string) ([]bos.PowerTransition, error) {
	return ask(ctx, d, http.MethodGet, "/v2/transitions", func() ([]bos.PowerTransition, error) { return d.api.PowerTransitions(ctx, ids) })
}

func (d directAPI) PutPowerTransition(ctx context.Context, t bos.PowerTransition) error {
	return tell(ctx, d, http.MethodPut, "/v2/transitions/"+t.ID, func() error { return d.api.PutPowerTransition(ctx, t) })
}

func (d directAPI) DeletePowerTransition(ctx context.Context, id string) error {
	return tell(ctx, d, http.MethodDelete, "/v2/transitions/"+id, func() error { return d.api.DeletePowerTransition(ctx, id) })
}

func (d directAPI) Options(ctx context.Context) (bos.Options, error) {
	return ask(ctx, d, http.MethodGet, "/v2/options", func() (bos.Options, error) { return d.api.Options(ctx) })
}

func (d directAPI) Settings(ctx context.Context) (bos.Settings, error) {
	return ask(ctx, d, http.MethodGet, "/v2/settings", func() (bos.Settings, error) { return d.api.Settings(ctx) })
}

func (d directAPI) Changes(ctx context.Context, f bos.ChangeFilter) iter.Seq2[bos.Change, error] {
	return func(yield func(bos.Change, error) bool) {
		changes, err := ask(ctx, d, http.MethodGet, "/v2/events", func() (iter.Seq2[bos.Change, error], error) { return d.api.Changes(ctx, f), nil })
		if err != nil {
			yield(bos.Change{}, err)
			return
		}
		changes(yield)
	}
}

func (d directAPI) AcquireLease(ctx context.Context, operator, holder string, ttl time.Duration) (bos.Lease, error) {
	return ask(ctx, d, http.MethodPut, "/v2/leases/"+operator, func() (bos.Lease, error) { return d.api.AcquireLease(ctx, operator, holder, ttl) })
}

func (d directAPI) ReleaseLease(ctx context.Context, operator, holder string) error {
	return tell(ctx, d, http.MethodDelete, "/v2/leases/"+operator, func() error { return d.api.ReleaseLease(ctx, operator, holder) })
}
