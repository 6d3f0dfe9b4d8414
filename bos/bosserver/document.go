package bosserver

import (
	"context"
	"fmt"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/bootorch/bosgo/bos"
)

// document is the API's OpenAPI document in the form that serves requests.
type document struct {
	json    []byte // as served at /openapi.json
	schemas map[string]*schema
	ops     map[string]*operation // by "METHOD /path"
}

// operation is one method of one path.
type operation struct {
	params       []parameter
	body         *schema // nil = none is read
	bodyRequired bool
}

// parameter is a query, path or header parameter.
type parameter struct {
	in, name string
	required bool
	schema   *schema
}

// loadDocument reads the embedded document once.
var loadDocument = sync.OnceValue(func() *document {
	doc, err := parseDocument(bos.OpenAPI)
	if err != nil {
		panic(fmt.Sprintf("bosserver: the embedded OpenAPI document is broken: %v", err)) // a test would have found it
	}
	return doc
})

func parseDocument(data []byte) (*document, error) {
	src, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, err
	}
	if err := src.Validate(context.Background()); err != nil {
		return nil, err
	}
	d := &document{schemas: map[string]*schema{}, ops: map[string]*operation{}}
	if d.json, err = src.MarshalJSON(); err != nil {
		return nil, err
	}
	for name, ref := range src.Components.Schemas {
		d.schemas[name] = compileSchema(ref)
	}
	for path, item := range src.Paths.Map() {
		for method, srcOp := range item.Operations() {
			op := &operation{}
			for _, list := range []openapi3.Parameters{item.Parameters, srcOp.Parameters} {
				for _, p := range list {
					op.params = append(op.params, parameter{
						in: p.Value.In, name: p.Value.Name, required: p.Value.Required, schema: compileSchema(p.Value.Schema),
					})
				}
			}
			if srcOp.RequestBody != nil {
				op.bodyRequired = srcOp.RequestBody.Value.Required
				op.body = compileSchema(srcOp.RequestBody.Value.Content["application/json"].Schema)
			}
			d.ops[method+" "+path] = op
		}
	}
	return d, nil
}

// schemaOf returns a schema by the name the document gives it.
func schemaOf(name string) *schema {
	s, ok := loadDocument().schemas[name]
	if !ok {
		panic("bosserver: no schema " + name + " in the OpenAPI document")
	}
	return s
}
