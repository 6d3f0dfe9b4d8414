package bos

import "context"

type sessionTenantKey struct{}

// WithSessionTenant says whose sessions the context's writes mean by the session names that they put into components;
// the empty tenant is the system. Components hold the bare name, and names repeat among tenants: with this the server
// knows the owner of each component it writes, and of the stage that one carries. Session set-up says so. ListComponents
// with a filter by session or staged session leaves out what is known to be another session's of that name; session
// completion asks so. Over HTTP it travels in the header Bos-Session-Tenant, of which a reference server takes no notice.
func WithSessionTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, sessionTenantKey{}, tenant)
}

// SessionTenant returns the tenant given to WithSessionTenant, and whether there was one.
func SessionTenant(ctx context.Context) (tenant string, known bool) {
	tenant, known = ctx.Value(sessionTenantKey{}).(string)
	return tenant, known
}
