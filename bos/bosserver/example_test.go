package bosserver_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/bootorch/bosgo/bos/bosserver"
	"github.com/bootorch/bosgo/store/memstore"
)

// An API server over a store in memory, without any other service.
func Example() {
	st := memstore.New()
	defer st.Close()
	server := httptest.NewServer(bosserver.NewHandler(bosserver.New(st, bosserver.Config{}), bosserver.HandlerConfig{}))
	defer server.Close()

	req, err := http.NewRequest(http.MethodPut, server.URL+"/v2/components/x3000c0s1b0n0", strings.NewReader(`{"enabled":true}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Print(resp.Status, "\n", string(body))
	// Output:
	// 200 OK
	// {"id":"x3000c0s1b0n0","status":{"status_override":"on_hold"},"enabled":true}
}
