package bosserver

import (
	"testing"
)

func TestDocumentIsValid(t *testing.T) {
	d := loadDocument()
	if len(d.ops) < 30 || len(d.schemas) < 30 {
		t.Errorf("operations = %d, schemas = %d: the document is not complete", len(d.ops), len(d.schemas))
	}
}
