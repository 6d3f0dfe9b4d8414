package bos

import (
	"crypto/sha1" //nolint:gosec // the reference's database keys are SHA-1; nothing is secured by them
	"encoding/hex"
)

// TenantKey identifies a session or a session template: names are unique per tenant. The empty tenant is the system.
type TenantKey struct {
	Tenant string
	Name   string
}

// DatabaseKey returns the key under which the reference stores the record: the hexadecimal SHA-1 of the tenant, a
// dash, and that of the name. Source: BOS v2, Redis layout.
func (k TenantKey) DatabaseKey() string { return hexSHA1(k.Tenant) + "-" + hexSHA1(k.Name) }

// String is for people: "name", or "name (tenant t)".
func (k TenantKey) String() string {
	if k.Tenant == "" {
		return k.Name
	}
	return k.Name + " (tenant " + k.Tenant + ")"
}

func hexSHA1(s string) string {
	sum := sha1.Sum([]byte(s)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}
