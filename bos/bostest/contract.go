package bostest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/bootorch/bosgo/bos"
)

// contract checks answers against the OpenAPI document of package bos.
type contract struct {
	router routers.Router
	err    error
}

// openAPI reads the document once.
var openAPI = sync.OnceValue(func() *contract {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(bos.OpenAPI)
	if err != nil {
		return &contract{err: err}
	}
	if err := doc.Validate(loader.Context); err != nil {
		return &contract{err: err}
	}
	doc.Servers = nil // match paths alone
	router, err := legacy.NewRouter(doc)
	return &contract{router: router, err: err}
})

// check returns how an answer differs from what the document says of its route and status. An answer of an unknown
// route, or to an unknown method, must be the problem that says so.
func (c *contract) check(req *http.Request, res *http.Response, body []byte) error {
	if c.err != nil {
		return c.err
	}
	if req.Method == http.MethodHead {
		return nil // as GET, without the body
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("find the route: %w", err)
	}
	if route.Operation.Responses.Status(res.StatusCode) == nil && res.StatusCode < 300 {
		return fmt.Errorf("status %d is not documented", res.StatusCode)
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 res.StatusCode,
		Header:                 res.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}
