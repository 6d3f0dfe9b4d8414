package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// load measures the API over HTTP, one kind of request after the other, each for d.
func (s *system) load(ctx context.Context, d time.Duration, ids []string) ([]APIResult, error) {
	some := func(n int) []string { return ids[:min(n, len(ids))] }
	bulk := make([]map[string]any, 0, 1000)
	for _, id := range some(1000) {
		bulk = append(bulk, map[string]any{"id": id, "error": ""})
	}
	bulkBody := func(i int) []byte {
		for _, item := range bulk {
			item["error"] = fmt.Sprintf("bench %d", i)
		}
		body, err := json.Marshal(bulk)
		if err != nil {
			panic(err) // strings always marshal
		}
		return body
	}
	requests := []struct {
		name    string
		clients int
		make    func(i int) (method, path string, body []byte)
	}{
		{fmt.Sprintf("GET components, all %d", len(ids)), 1, func(int) (string, string, []byte) { return "GET", "/v2/components", nil }},
		{"GET components, status without a match", 1, func(int) (string, string, []byte) { return "GET", "/v2/components?status=failed", nil }},
		{"GET components, 8 ids", 1, func(int) (string, string, []byte) {
			return "GET", "/v2/components?ids=" + strings.Join(some(8), ","), nil
		}},
		{"GET components, 100 ids", 1, func(int) (string, string, []byte) {
			return "GET", "/v2/components?ids=" + strings.Join(some(100), ","), nil
		}},
		{"GET one component", 1, func(int) (string, string, []byte) { return "GET", "/v2/components/" + ids[0], nil }},
		{fmt.Sprintf("PATCH %d components in one request", len(bulk)), 1, func(i int) (string, string, []byte) { return "PATCH", "/v2/components", bulkBody(i) }},
		{"PATCH one component, 16 clients", 16, func(i int) (string, string, []byte) {
			return "PATCH", "/v2/components/" + ids[rand.IntN(len(ids))], []byte(fmt.Sprintf(`{"error":"bench %d"}`, i))
		}},
	}
	results := make([]APIResult, 0, len(requests))
	for _, r := range requests {
		res, err := s.one(ctx, d, r.clients, r.make)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		res.Name = r.name
		results = append(results, res)
	}
	_, err := s.do(ctx, "PATCH", "/v2/components?skip_bad_ids=true", bulkBody(0)) // and leave no errors behind
	return results, err
}

// one sends requests of a kind from some clients for d.
func (s *system) one(ctx context.Context, d time.Duration, clients int, next func(i int) (method, path string, body []byte)) (APIResult, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			var own []time.Duration
			var err error
			for i := 0; err == nil && time.Since(start) < d; i++ {
				method, path, body := next(i*clients + c)
				var took time.Duration
				took, err = s.do(ctx, method, path, body)
				own = append(own, took)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	return APIResult{Clients: clients, PerSecond: float64(len(all)) / took.Seconds(), Latency: latencyOf(all)}, failed
}

// do sends one request and reads the whole answer.
func (s *system) do(ctx context.Context, method, path string, body []byte) (time.Duration, error) {
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	if resp.StatusCode >= 300 {
		return 0, fmt.Errorf("answer %s", resp.Status)
	}
	return time.Since(start), nil
}
