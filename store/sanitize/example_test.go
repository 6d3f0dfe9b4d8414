package sanitize_test

import (
	"fmt"

	"github.com/bootorch/bosgo/store/sanitize"
)

func Example() {
	for _, action := range sanitize.Components(sanitize.Records{
		"x3000c0s1b0n0": []byte(`{"id": "x3000c0s1b0n0", "enabled": false}`),
		"x3000c0s1b0n1": []byte(`{"enabled": false}`),
	}) {
		fmt.Println(action)
	}
	// Output:
	// components x3000c0s1b0n1: delete (it has no id)
}
