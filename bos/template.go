package bos

// CFSParameters choose a CFS configuration.
type CFSParameters struct {
	Configuration *string `json:"configuration,omitempty"` // up to 127 characters, may be empty
	Extra         Extra   `json:"-"`
}

// Arch is the processor architecture of a boot set. Source: BOS v2 API, V2BootSet.arch.
type Arch string

// The architectures; a boot set without one is stored as X86.
const (
	ArchX86     Arch = "X86"
	ArchARM     Arch = "ARM"
	ArchOther   Arch = "Other"
	ArchUnknown Arch = "Unknown"
)

// BootSet is a set of nodes and what they boot. Source: BOS v2 API, V2BootSet.
type BootSet struct {
	Name                      *string        `json:"name,omitempty"` // must equal the key; accepted in requests, never stored
	Path                      string         `json:"path"`           // S3 URL of the image manifest
	Type                      string         `json:"type"`           // "s3"
	ETag                      *string        `json:"etag,omitempty"`
	CFS                       *CFSParameters `json:"cfs,omitempty"`
	KernelParameters          *string        `json:"kernel_parameters,omitempty"`
	NodeList                  []string       `json:"node_list,omitempty"`
	NodeRolesGroups           []string       `json:"node_roles_groups,omitempty"`
	NodeGroups                []string       `json:"node_groups,omitempty"`
	Arch                      *Arch          `json:"arch,omitempty"`
	RootfsProvider            *string        `json:"rootfs_provider,omitempty"` // "sbps" or absent
	RootfsProviderPassthrough *string        `json:"rootfs_provider_passthrough,omitempty"`
	Extra                     Extra          `json:"-"`
}

// SessionTemplate is a named collection of boot sets. Source: BOS v2 API, V2SessionTemplate.
type SessionTemplate struct {
	Name        string             `json:"name,omitempty"`
	Tenant      NullString         `json:"tenant"`
	Description *string            `json:"description,omitempty"` // 1 to 1023 characters
	EnableCFS   *bool              `json:"enable_cfs,omitempty"`  // absent counts as true
	CFS         *CFSParameters     `json:"cfs,omitempty"`
	BootSets    map[string]BootSet `json:"boot_sets"` // 1 to 127
	Extra       Extra              `json:"-"`
}

// Key returns the identity of the template.
func (t *SessionTemplate) Key() TenantKey {
	return TenantKey{Tenant: string(t.Tenant), Name: t.Name}
}

// TemplatePatch changes a template: boot sets are merged by name, other members replaced.
// Source: BOS v2 API, V2SessionTemplatePatch.
type TemplatePatch struct {
	Description *string            `json:"description,omitempty"`
	EnableCFS   *bool              `json:"enable_cfs,omitempty"`
	CFS         *CFSParameters     `json:"cfs,omitempty"`
	BootSets    map[string]BootSet `json:"boot_sets,omitempty"`
}
