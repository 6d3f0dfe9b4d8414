package hsm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/hsm"
	"github.com/bootorch/bosgo/hsm/hsmtest"
)

// Ask HSM which nodes it knows. The fake stands in for the service.
func Example() {
	server := httptest.NewServer(hsmtest.Handler(hsmtest.NewNodes("x3000c0s1b0n0")))
	defer server.Close()

	inventory, err := hsm.New(server.URL, hsm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	known, err := inventory.Query(context.Background(), []bos.ComponentID{"x3000c0s1b0n0", "x3000c0s2b0n0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for id, node := range known {
		fmt.Println(id, node.Role, node.Arch, node.Enabled)
	}
	// Output: x3000c0s1b0n0 Compute X86 true
}

// BenchmarkNodes reads the records of 50,000 nodes, each among 20 records of other parts. Memory goes to the nodes alone.
func BenchmarkNodes(b *testing.B) {
	var body strings.Builder
	body.WriteString(`{"Components":[`)
	for i := range 50_000 {
		for part := range 19 {
			fmt.Fprintf(&body, `{"ID":"x%dc0s%db0n0p%d","Type":"Processor","State":"Populated","Flag":"OK"},`, i/64, i%64, part)
		}
		fmt.Fprintf(&body, `{"ID":"x%dc0s%db0n0","Type":"Node","State":"Ready","Flag":"OK","Enabled":true,"Role":"Compute","NID":%d,"NetType":"Sling","Arch":"X86","Class":"Mountain"},`, i/64, i%64, i+1)
	}
	text := strings.TrimSuffix(body.String(), ",") + `]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
	defer server.Close()
	inventory, err := hsm.New(server.URL, hsm.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if nodes, err := inventory.Nodes(b.Context()); err != nil || len(nodes) != 50_000 {
			b.Fatalf("%d nodes, error %v", len(nodes), err)
		}
	}
}
