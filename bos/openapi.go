package bos

import _ "embed"

// OpenAPI is the OpenAPI 3.0 document of the API, as YAML. Callers must not change it.
//
//go:embed openapi.yaml
var OpenAPI []byte
