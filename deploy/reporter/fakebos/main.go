// Command fakebos is as much of the BOS API as the package test needs: components that can be put, patched and read.
// It listens on a free port of this machine and says so as bos-api does.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
)

func main() {
	var mu sync.Mutex
	components := make(map[string]map[string]any)
	http.HandleFunc("PUT /v2/components", func(w http.ResponseWriter, r *http.Request) {
		var list []map[string]any
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, c := range list {
			components[fmt.Sprint(c["id"])] = c
		}
	})
	http.HandleFunc("/v2/components/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		c, ok := components[r.PathValue("id")]
		if !ok {
			http.Error(w, `{"title":"Component not found","status":404,"detail":"no such component"}`, http.StatusNotFound)
			return
		}
		if r.Method == http.MethodPatch {
			var patch map[string]any
			if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			c["actual_state"] = patch["actual_state"]
		}
		json.NewEncoder(w).Encode(c)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "listening on http://%s\n", l.Addr())
	log.Fatal(http.Serve(l, nil))
}
