// Package bos is the vocabulary of the Boot Orchestration Service: components, session templates, sessions, options,
// changes and errors, as typed Go values that read and write the JSON of the BOS v2 API without losing a member.
//
// It does no I/O and imports the standard library alone. bosserver.Service implements [API] over a store,
// bosclient.Client over HTTP; operators and tools are written against the small interfaces of this package.
//
// Optional members of a record are pointers, because BOS tells an absent member from an empty one; [Value] reads them:
//
//	kernel := c.DesiredArtifacts().Kernel // "" when there is none
//	policy := bos.Value(c.RetryPolicy)
package bos
