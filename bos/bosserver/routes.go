package bosserver

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// eventsPath is the one route without a time limit.
const eventsPath = "/v2/events"

// routes is everything that is answered. A test compares it with the OpenAPI document.
func (h *handler) routes() []route {
	return []route{
		{"GET", "/", h.getVersions},
		{"GET", "/v2", h.getVersion},
		{"GET", "/v2/version", h.getVersion},
		{"GET", "/v2/healthz", h.getHealth},
		{"GET", "/openapi.json", h.getDocument},
		{"GET", "/openapi.yaml", h.getDocument},

		{"GET", "/v2/options", h.getOptions},
		{"PATCH", "/v2/options", h.patchOptions},
		{"GET", "/v2/settings", h.getSettings},
		{"PATCH", "/v2/settings", h.patchSettings},

		{"GET", "/v2/sessiontemplatetemplate", h.getExampleTemplate},
		{"GET", "/v2/sessiontemplates", h.listTemplates},
		{"GET", "/v2/sessiontemplates/{session_template_id}", h.getTemplate},
		{"PUT", "/v2/sessiontemplates/{session_template_id}", h.putTemplate},
		{"PATCH", "/v2/sessiontemplates/{session_template_id}", h.patchTemplate},
		{"DELETE", "/v2/sessiontemplates/{session_template_id}", h.deleteTemplate},
		{"GET", "/v2/sessiontemplatesvalid/{session_template_id}", h.validateTemplate},

		{"GET", "/v2/sessions", h.listSessions},
		{"POST", "/v2/sessions", h.createSession},
		{"DELETE", "/v2/sessions", h.deleteSessions},
		{"GET", "/v2/sessions/{session_id}", h.getSession},
		{"PATCH", "/v2/sessions/{session_id}", h.patchSession},
		{"DELETE", "/v2/sessions/{session_id}", h.deleteSession},
		{"GET", "/v2/sessions/{session_id}/status", h.getSessionStatus},
		{"POST", "/v2/sessions/{session_id}/status", h.saveSessionStatus},

		{"GET", "/v2/components", h.listComponents},
		{"PUT", "/v2/components", h.putComponents},
		{"PATCH", "/v2/components", h.patchComponents},
		{"GET", "/v2/components/{component_id}", h.getComponent},
		{"PUT", "/v2/components/{component_id}", h.putComponent},
		{"PATCH", "/v2/components/{component_id}", h.patchComponent},
		{"DELETE", "/v2/components/{component_id}", h.deleteComponent},
		{"POST", "/v2/applystaged", h.applyStaged},

		{"POST", "/v2/componentpatches", h.patchGuarded},
		{"POST", "/v2/sessions/{session_id}/cancel", h.cancelSession},
		{"PUT", "/v2/bootartifacts/{token}", h.putBootArtifacts},
		{"DELETE", "/v2/bootartifacts", h.pruneBootArtifacts},
		{"PUT", "/v2/leases/{operator}", h.putLease},
		{"DELETE", "/v2/leases/{operator}", h.deleteLease},
		{"GET", "/v2/transitions", h.listPowerTransitions},
		{"PUT", "/v2/transitions/{id}", h.putPowerTransition},
		{"DELETE", "/v2/transitions/{id}", h.deletePowerTransition},
		{"GET", eventsPath, h.streamEvents},
	}
}

// answer writes v unless there is an error.
func answer[T any](c *call, v T, err error) error {
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, v)
}

// answerNothing is 204 unless there is an error.
func answerNothing(c *call, err error) error {
	if err == nil {
		c.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (h *handler) getVersions(c *call) error {
	v, err := h.api.Version(c.ctx())
	v.Links = []bos.Link{{Rel: "self", Href: h.link(c.r, "/")}}
	return answer(c, []bos.Version{v}, err)
}

func (h *handler) getVersion(c *call) error {
	v, err := h.api.Version(c.ctx())
	v.Links = []bos.Link{{Rel: "self", Href: h.link(c.r, "/")}, {Rel: "versions", Href: h.link(c.r, "/v2")}}
	return answer(c, v, err)
}

// link returns the URL of a path of ours as the caller sees it.
func (h *handler) link(r *http.Request, path string) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if h.cfg.ProxyPath != "" && r.Header.Get("X-Forwarded-For") != "" {
		path = "/" + strings.Trim(h.cfg.ProxyPath, "/") + "/" + strings.TrimPrefix(path, "/")
	}
	return scheme + "://" + r.Host + path
}

func (h *handler) getHealth(c *call) error {
	v, err := h.api.Health(c.ctx())
	return answer(c, v, err)
}

func (h *handler) getDocument(c *call) error {
	contentType, data := "application/json", h.doc.json
	if strings.HasSuffix(c.route.path, ".yaml") {
		contentType, data = "application/yaml", bos.OpenAPI
	}
	c.w.Header().Set("Content-Type", contentType)
	_, err := c.w.Write(data)
	return ignoreGone(err)
}

func (h *handler) getOptions(c *call) error {
	v, err := h.api.Options(c.ctx())
	return answer(c, v, err)
}

func (h *handler) patchOptions(c *call) error {
	p, err := decodeOptions(c.body)
	if err != nil {
		return err
	}
	v, err := h.api.UpdateOptions(c.ctx(), p)
	return answer(c, v, err)
}

// decodeOptions reads options by their exact names: "Polling_Frequency" is an unknown option.
func decodeOptions(body []byte) (p bos.OptionsPatch, err error) {
	members, err := decode[map[string]json.RawMessage](body)
	if err != nil {
		return p, err
	}
	known := schemaOf("V2Options").properties
	extra := bos.Extra{}
	for name, raw := range members {
		if _, ok := known[name]; !ok {
			extra[name] = raw
			delete(members, name)
		}
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return p, err
	}
	if p, err = decode[bos.OptionsPatch](rest); len(extra) > 0 {
		p.Extra = extra
	}
	return p, err
}

func (h *handler) getSettings(c *call) error {
	v, err := h.api.Settings(c.ctx())
	return answer(c, v, err)
}

func (h *handler) patchSettings(c *call) error {
	p, err := decode[bos.SettingsPatch](c.body)
	if err != nil {
		return err
	}
	v, err := h.api.UpdateSettings(c.ctx(), p)
	return answer(c, v, err)
}

func (h *handler) getExampleTemplate(c *call) error {
	t, err := h.api.ExampleTemplate(c.ctx())
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, templateBody{t.Description, t.EnableCFS, t.CFS, t.BootSets})
}

func (c *call) templateKey() bos.TenantKey {
	return bos.TenantKey{Tenant: c.tenant, Name: c.r.PathValue("session_template_id")}
}

func (h *handler) listTemplates(c *call) error {
	v, err := h.api.ListTemplates(c.ctx(), c.tenant)
	return answer(c, v, err)
}

func (h *handler) getTemplate(c *call) error {
	v, err := h.api.GetTemplate(c.ctx(), c.templateKey())
	return answer(c, v, err)
}

func (h *handler) putTemplate(c *call) error {
	t, err := decode[bos.SessionTemplate](c.body)
	if err != nil {
		return err
	}
	v, err := h.api.PutTemplate(c.ctx(), c.templateKey(), t)
	return answer(c, v, err)
}

func (h *handler) patchTemplate(c *call) error {
	p, err := decode[bos.TemplatePatch](c.body)
	if err != nil {
		return err
	}
	v, err := h.api.PatchTemplate(c.ctx(), c.templateKey(), p)
	return answer(c, v, err)
}

func (h *handler) deleteTemplate(c *call) error {
	return answerNothing(c, h.api.DeleteTemplate(c.ctx(), c.templateKey()))
}

func (h *handler) validateTemplate(c *call) error {
	v, err := h.api.ValidateTemplate(c.ctx(), c.templateKey())
	return answer(c, v, err)
}

func (c *call) sessionKey() bos.TenantKey {
	return bos.TenantKey{Tenant: c.tenant, Name: c.r.PathValue("session_id")}
}

// sessionFilter reads the filter of a list or deletion.
func (c *call) sessionFilter() (f bos.SessionFilter, err error) {
	f = bos.SessionFilter{Tenant: c.tenant, Status: bos.SessionState(c.param("status"))}
	if f.MinAge, err = c.age("min_age"); err != nil {
		return f, err
	}
	f.MaxAge, err = c.age("max_age")
	return f, err
}

// age reads an age; nil when it is not given. One that reaches back beyond the year 1 is refused, as no date can be
// older; between that and the 292 years that a time.Duration holds, it counts as those.
func (c *call) age(name string) (*time.Duration, error) {
	text := c.param(name)
	if text == "" {
		return nil, nil
	}
	d, err := bos.ParseAge(text, false)
	if err == nil {
		return &d, nil
	}
	n, numErr := strconv.ParseInt(text[:len(text)-1], 10, 64)
	weeks := map[byte]int64{'m': 7 * 24 * 60, 'h': 7 * 24, 'd': 7, 'w': 1}[text[len(text)-1]|0x20]
	if numErr != nil || weeks == 0 || n/weeks > 2000*52 {
		return nil, invalid("Error parsing age field: date value out of range")
	}
	return new(time.Duration(1<<63 - 1)), nil
}

func (h *handler) listSessions(c *call) error {
	f, err := c.sessionFilter()
	if err != nil {
		return err
	}
	v, err := h.api.ListSessions(c.ctx(), f)
	return answer(c, v, err)
}

func (h *handler) createSession(c *call) error {
	create, err := decode[bos.SessionCreate](c.body)
	if err != nil {
		return err
	}
	v, err := h.api.CreateSession(c.ctx(), c.tenant, create)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusCreated, v)
}

func (h *handler) deleteSessions(c *call) error {
	f, err := c.sessionFilter()
	if err != nil {
		return err
	}
	return answerNothing(c, h.api.DeleteSessions(c.ctx(), f))
}

func (h *handler) getSession(c *call) error {
	v, err := h.api.GetSession(c.ctx(), c.sessionKey())
	return answer(c, v, err)
}

func (h *handler) patchSession(c *call) error {
	p, err := decodeSessionPatch(c.body)
	if err != nil {
		return err
	}
	v, err := h.api.PatchSession(c.ctx(), c.sessionKey(), p)
	return answer(c, v, err)
}

// decodeSessionPatch reads a patch in which null is not the same as absent.
func decodeSessionPatch(body []byte) (bos.SessionPatch, error) {
	p, err := decode[bos.SessionPatch](body)
	if err != nil || p.Status == nil {
		return p, err
	}
	raw, err := decode[struct {
		Status map[string]json.RawMessage `json:"status"`
	}](body)
	if string(raw.Status["end_time"]) == "null" {
		p.Status.EndTime = new(bos.NullString(""))
	}
	if string(raw.Status["error"]) == "null" {
		p.Status.Error = new(bos.NullString(""))
	}
	return p, err
}

func (h *handler) deleteSession(c *call) error {
	return answerNothing(c, h.api.DeleteSession(c.ctx(), c.sessionKey()))
}

func (h *handler) getSessionStatus(c *call) error {
	v, err := h.api.SessionStatus(c.ctx(), c.sessionKey())
	return answer(c, v, err)
}

func (h *handler) saveSessionStatus(c *call) error {
	v, err := h.api.SaveSessionStatus(c.ctx(), c.sessionKey())
	return answer(c, v, err)
}

func (c *call) componentID() bos.ComponentID { return bos.ComponentID(c.r.PathValue("component_id")) }

// splitIDs reads ids joined by commas. Nothing is trimmed.
func splitIDs(text string) []bos.ComponentID {
	parts := strings.Split(text, ",")
	ids := make([]bos.ComponentID, len(parts))
	for i, p := range parts {
		ids[i] = bos.ComponentID(p)
	}
	return ids
}

// componentFilter reads the filter of a list.
func (c *call) componentFilter() bos.ComponentFilter {
	f := bos.ComponentFilter{
		Tenant:        c.tenant,
		Session:       c.param("session"),
		StagedSession: c.param("staged_session"),
		Phase:         bos.Phase(c.param("phase")),
		StartAfter:    bos.ComponentID(c.param("start_after_id")),
	}
	if c.has("ids") {
		f.IDs = splitIDs(c.param("ids"))
	}
	if c.has("enabled") {
		f.Enabled = new(c.flag("enabled"))
	}
	if c.has("status") {
		for status := range strings.SplitSeq(c.param("status"), ",") {
			f.Status = append(f.Status, bos.Status(status))
		}
	}
	f.PageSize, _ = strconv.Atoi(c.param("page_size")) // checked against the schema; absent is 0
	return f
}

func (h *handler) listComponents(c *call) error {
	return writeList(c.w, h.api.ListComponents(c.ctx(), c.componentFilter()))
}

func (h *handler) putComponents(c *call) error {
	cs, err := decodeList[bos.Component](c.body)
	if err != nil {
		return err
	}
	if c.r.Header.Get("If-None-Match") == "*" {
		ids, err := h.api.CreateComponents(c.ctx(), cs)
		if err != nil {
			return err
		}
		if ids == nil {
			ids = []bos.ComponentID{}
		}
		return writeList(c.w, h.api.ListComponents(c.ctx(), bos.ComponentFilter{IDs: ids}))
	}
	written, err := h.api.PutComponents(c.ctx(), cs)
	if err != nil {
		return err
	}
	return writeComponents(c, written)
}

func writeComponents(c *call, cs []bos.Component) error {
	return writeList(c.w, func(yield func(bos.Component, error) bool) {
		for _, v := range cs {
			if !yield(v, nil) {
				return
			}
		}
	})
}

// componentsUpdate is the filter form of a bulk change.
type componentsUpdate struct {
	Patch   bos.ComponentPatch `json:"patch"`
	Filters struct {
		IDs     string `json:"ids"`
		Session string `json:"session"`
	} `json:"filters"`
}

func (h *handler) patchComponents(c *call) error {
	skip := c.flag("skip_bad_ids")
	if c.body[skipSpace(c.body, 0)] == '[' {
		ps, err := decodeList[bos.ComponentPatch](c.body)
		if err != nil {
			return err
		}
		written, err := h.api.PatchComponents(c.ctx(), c.tenant, ps, skip)
		if err != nil {
			return err
		}
		return writeComponents(c, written)
	}
	update, err := decode[componentsUpdate](c.body)
	if err != nil {
		return err
	}
	where := bos.ComponentsPatch{Tenant: c.tenant, Session: update.Filters.Session, SkipBadIDs: skip, Patch: update.Patch}
	if update.Filters.IDs != "" {
		where.IDs = splitIDs(update.Filters.IDs)
	}
	written, err := h.api.PatchComponentsWhere(c.ctx(), where)
	if err != nil {
		return err
	}
	return writeComponents(c, written)
}

func (h *handler) getComponent(c *call) error {
	v, err := h.api.GetComponent(c.ctx(), c.tenant, c.componentID())
	return answer(c, v, err)
}

func (h *handler) putComponent(c *call) error {
	v, err := decode[bos.Component](c.body)
	if err != nil {
		return err
	}
	v, err = h.api.PutComponent(c.ctx(), c.componentID(), v)
	return answer(c, v, err)
}

func (h *handler) patchComponent(c *call) error {
	p, err := decode[bos.ComponentPatch](c.body)
	if err != nil {
		return err
	}
	v, err := h.api.PatchComponent(c.ctx(), c.tenant, c.componentID(), p)
	return answer(c, v, err)
}

func (h *handler) deleteComponent(c *call) error {
	return answerNothing(c, h.api.DeleteComponent(c.ctx(), c.tenant, c.componentID()))
}

func (h *handler) applyStaged(c *call) error {
	body, err := decode[struct {
		Xnames []bos.ComponentID `json:"xnames"`
	}](c.body)
	if err != nil {
		return err
	}
	v, err := h.api.ApplyStaged(c.ctx(), c.tenant, body.Xnames)
	return answer(c, v, err)
}

func (h *handler) patchGuarded(c *call) error {
	var p bos.GuardedPatches
	var err error
	for name, raw := range members(c.body) { // not by json.Unmarshal: the body is large, and has been checked
		switch name {
		case "lease":
			p.Lease, err = decode[int64](raw)
		case "patches":
			p.Patches, err = decodeList[bos.GuardedPatch](raw)
		}
		if err != nil {
			return err
		}
	}
	v, err := h.api.PatchGuarded(c.ctx(), p)
	return answer(c, v, err)
}

func (h *handler) putBootArtifacts(c *call) error {
	a, err := decode[bos.BootArtifacts](c.body)
	if err != nil {
		return err
	}
	return answerNothing(c, h.api.PutBootArtifacts(c.ctx(), bos.BSSToken(c.r.PathValue("token")), a))
}

func (h *handler) pruneBootArtifacts(c *call) error {
	if err := c.systemOnly(); err != nil {
		return err
	}
	seconds, err := strconv.Atoi(c.param("unused_for")) // checked to be a number
	if err != nil {
		return invalid("Missing query parameter 'unused_for'")
	}
	removed, err := h.api.PruneBootArtifacts(c.ctx(), time.Duration(seconds)*time.Second)
	return answer(c, struct {
		Removed int `json:"removed"`
	}{removed}, err)
}

// leaseBody is the body of a lease's requests.
type leaseBody struct {
	Holder     string `json:"holder"`
	TTLSeconds int    `json:"ttl_seconds"`
}

func (h *handler) putLease(c *call) error {
	body, err := decode[leaseBody](c.body)
	if err != nil {
		return err
	}
	lease, err := h.api.AcquireLease(c.ctx(), c.r.PathValue("operator"), body.Holder, time.Duration(body.TTLSeconds)*time.Second)
	return answer(c, struct {
		Token     int64 `json:"token"`
		ExpiresIn int   `json:"expires_in"`
	}{lease.Token, int(lease.ExpiresIn / time.Second)}, err)
}

func (h *handler) deleteLease(c *call) error {
	body := leaseBody{Holder: c.param("holder")}
	if len(c.body) > 0 {
		var err error
		if body, err = decode[leaseBody](c.body); err != nil {
			return err
		}
	}
	if body.Holder == "" {
		return invalid("'holder' is a required property")
	}
	return answerNothing(c, h.api.ReleaseLease(c.ctx(), c.r.PathValue("operator"), body.Holder))
}
