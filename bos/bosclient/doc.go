// Package bosclient asks a BOS API server, ours or the reference's, with the methods of bos.API:
//
//	client, err := bosclient.New("https://gw/apis/bos", bosclient.Config{TokenFile: "/run/token"})
//	...
//	for component, err := range client.ListComponents(ctx, bos.ComponentFilter{Status: []bos.Status{bos.StatusFailed}}) {
//
// Error answers come back as *bos.StatusError and match the sentinels of package bos, just as if the service had been
// called in process. A server that cannot be reached, or does not answer in time, is bos.ErrUnavailable. A 404 of
// something that is not one of our additions is bos.ErrNotFound.
//
// Requests that may be repeated (GET, PUT, DELETE) are, for Config.RetryBudget, when the server cannot be reached or
// answers 500, 502, 503 or 504. Others are repeated only when they were never sent. A DELETE that is repeated after
// its answer was lost may find nothing left and fail with bos.ErrNotFound.
//
// What the API of this module adds to that of the reference (events, leases, guarded patches, boot artifacts, settings)
// fails with bos.ErrUnsupported against a reference server, or does without as the method says.
package bosclient
