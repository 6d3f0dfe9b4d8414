package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	defaultReportWorkers = 64
	reportTimeout        = 13 * time.Second // connect 3 s, read 10 s
	reportRatio          = 0.75             // of bos_update_frequency

	// Between tries a reporter waits on the clock of the machine, but at least
	// this long per earlier try, and never longer than the cap because of it.
	reportFloor    = 20 * time.Millisecond
	reportFloorCap = time.Second
)

// reporter sends the nodes' reports with a bounded number of goroutines, which
// exist only while there is something to send.
type reporter struct {
	send    func(ctx context.Context, xname, token string) (int, error)
	max     int
	queue   []pendingReport
	running int
	wg      sync.WaitGroup
}

// pendingReport is a node that wants to report in the life it has.
type pendingReport struct {
	n    *node
	life uint32
}

// backoff is the reporter's wait before try n = 1, 2, …: 0, 2, 4, … 30 s.
func backoff(try int) time.Duration {
	return min(time.Duration(2*(try-1))*time.Second, 30*time.Second)
}

// startReporter is the start of bos-reporter on a booted node. m.mu is held.
func (m *Machine) startReporter(n *node) {
	if n.loaded == nil || n.loaded.reportedToken() == "" || m.reporter.send == nil || m.use(n, "reporter_dead") != nil {
		m.idle(n)
		return
	}
	delay := time.Duration(0)
	if f := m.use(n, "reporter_delay"); f != nil {
		delay = m.scaled(f.duration)
	}
	m.afterNode(n, delay, func() {
		m.idle(n)
		m.enqueueReport(n)
	})
}

// enqueueReport hands the node to the workers. m.mu is held.
func (m *Machine) enqueueReport(n *node) {
	if m.ctx == nil || m.ctx.Err() != nil {
		return
	}
	m.reporter.queue = append(m.reporter.queue, pendingReport{n, n.life})
	if m.reporter.running < m.reporter.max {
		m.reporter.running++
		m.reporter.wg.Go(m.reportAll)
	}
}

// reportAll sends reports until there is none left.
func (m *Machine) reportAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.reporter.running-- }()
	for len(m.reporter.queue) > 0 && m.ctx.Err() == nil {
		job := m.reporter.queue[0]
		m.reporter.queue = m.reporter.queue[1:]
		if job.n.life != job.life {
			continue // it went down meanwhile
		}
		xname, token := m.identity(job.n)
		m.mu.Unlock()
		status, err := m.reporter.send(m.ctx, xname, token)
		m.mu.Lock()
		if job.n.life == job.life && m.ctx.Err() == nil {
			m.reported(job.n, status, err)
		}
	}
}

// identity is what the node says about itself. m.mu is held.
func (m *Machine) identity(n *node) (xname, token string) {
	xname, token = n.spec.Xname, n.loaded.reportedToken()
	if f := m.use(n, "reporter_wrong_token"); f != nil {
		token = f.Value
	}
	if f := m.use(n, "reporter_lies_xname"); f != nil {
		xname = f.Value
	}
	return xname, token
}

// reported takes the answer to a report: accepted, or to be tried again for as
// long as the node lives. m.mu is held.
func (m *Machine) reported(n *node, status int, err error) {
	if err == nil && status/100 == 2 {
		m.count.reports++
		first := !n.reported
		n.reported, n.reportTry = true, 0
		if period := n.loaded.period; period > 0 {
			// The period is a promise to BOS, whose actual-state TTL runs on the
			// wall clock: it is not scaled.
			wait := time.Duration(reportRatio * float64(period))
			if first {
				wait = time.Duration(m.chance(n, "report") * float64(wait))
			}
			m.afterNode(n, wait, func() { m.enqueueReport(n) })
		}
		return
	}
	m.count.reportRetries++
	n.reportTry++
	if n.reportTry == 1 || n.reportTry%16 == 0 {
		m.log.Debug("report not accepted", "xname", n.spec.Xname, "status", status, "try", n.reportTry, "err", err)
	}
	wait := m.scaled(m.backoff(n.reportTry + 1))
	wait = max(wait, min(reportFloorCap, time.Duration(n.reportTry)*reportFloor))
	m.afterNode(n, wait, func() { m.enqueueReport(n) })
}

// httpReport is the request that bos-reporter sends. Tokens in a
// file are read for every report: they may be renewed.
func httpReport(base, tokenFile string, workers int) (func(context.Context, string, string) (int, error), error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("BOS URL %q: want http://HOST:PORT or https://HOST/PATH", base)
	}
	base = strings.TrimSuffix(base, "/")
	client := &http.Client{
		Timeout:   reportTimeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the token must not leave the gateway
		},
	}
	return func(ctx context.Context, xname, token string) (int, error) {
		body, err := json.Marshal(map[string]any{"id": xname, "actual_state": map[string]string{"bss_token": token}})
		if err != nil {
			return 0, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPatch, base+"/v2/components/"+url.PathEscape(xname), bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Content-Type", "application/json")
		if tokenFile != "" {
			bearer, err := os.ReadFile(tokenFile)
			if err != nil {
				return 0, fmt.Errorf("token file: %w", err)
			}
			req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(bearer)))
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // keeps the connection; the content is of no interest
		return resp.StatusCode, nil
	}, nil
}
