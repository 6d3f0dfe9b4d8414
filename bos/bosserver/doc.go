// Package bosserver answers the BOS API: [Service] holds the business rules over a store, [NewHandler] puts HTTP around
// any bos.API.
//
//	svc := bosserver.New(st, bosserver.Config{Images: ims, Manifests: s3, Tenants: tapms})
//	http.ListenAndServe("127.0.0.1:9000", bosserver.NewHandler(svc, bosserver.HandlerConfig{}))
//
// What happens to a record is decided by pure functions, each in a file of its own: merge.go, autofields.go,
// sanitize.go, validate.go, extended.go, applystaged.go. Requests are checked against the OpenAPI document of package
// bos; see schema.go.
package bosserver
