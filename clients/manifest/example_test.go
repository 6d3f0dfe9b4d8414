package manifest_test

import (
	"fmt"
	"log"

	"github.com/bootorch/bosgo/clients/manifest"
)

// Decode the text of a manifest.
func ExampleDecode() {
	m, err := manifest.Decode("s3://boot-images/1/manifest.json", []byte(`{"version":"1.0","artifacts":[
		{"type":"application/vnd.cray.image.kernel","link":{"type":"s3","path":"s3://boot-images/1/kernel","etag":"dcaa"}}]}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Kernel.Path, m.Initrd == nil)
	// Output: s3://boot-images/1/kernel true
}
