package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bootorch/bosgo/bos/reporter"
)

// What a node sends, how an answer is read and when the next report is due is
// decided by the package of the real reporter. This file drives it for thousands
// of nodes at a time.

const (
	defaultReportWorkers = 64
	reportTimeout        = reporter.DefaultConnectTimeout + reporter.DefaultReadTimeout

	// Between tries a reporter waits on the clock of the machine, but at least
	// this long per earlier try, and never longer than the cap because of it.
	reportFloor    = 20 * time.Millisecond
	reportFloorCap = time.Second
)

// sendReport is one try of a node to report.
type sendReport func(ctx context.Context, xname string, r reporter.Report) reporter.Answer

// reportQueue sends the nodes' reports with a bounded number of goroutines, which
// exist only while there is something to send.
type reportQueue struct {
	send    sendReport // nil: nodes report to nobody
	max     int
	queue   []pendingReport
	running int
	idle    *sync.Cond // on the lock of the machine: running is 0 again
	wg      sync.WaitGroup
}

// pendingReport is a node that wants to report in the life it has.
type pendingReport struct {
	n       *node
	life    uint32
	refused *refusals // of this report; nil for none
}

// refusals are the tries of a report that has not been accepted yet.
type refusals struct {
	backoff reporter.Backoff
	tries   int
}

// kernelLine is what the node's reporter reads from /proc/cmdline. The node has
// loaded a kernel.
func (n *node) kernelLine() reporter.CommandLine {
	return reporter.ParseCommandLine(n.loaded.commandLine(n, ""))
}

// report is what the node has to say about itself, and how often; ok is false where
// its reporter would have nothing to report, or would not know for whom. A period of
// zero means once.
func (n *node) report() (r reporter.Report, period time.Duration, ok bool) {
	line := n.kernelLine()
	r.ID, _ = line.Value(reporter.ParamXname)
	r.BSSToken, _ = line.Value(reporter.ParamToken)
	ttl, _ := line.Value(reporter.ParamTTL)
	period, _ = reporter.Period(ttl) // right even where the TTL is not
	return r, period, r.BSSToken != "" && reporter.CheckID(r.ID) == nil
}

// startReporter is the start of bos-reporter on a booted node. m.mu is held.
func (m *Machine) startReporter(n *node) {
	if n.loaded == nil || m.reports.send == nil || m.use(n, "reporter_dead") != nil {
		m.idle(n)
		return
	}
	delay := time.Duration(0)
	if f := m.use(n, "reporter_delay"); f != nil {
		delay = m.scaled(f.duration)
	}
	m.afterNode(n, delay, (*Machine).firstReport)
}

func (m *Machine) firstReport(n *node) {
	m.idle(n)
	m.newReport(n)
}

// newReport starts a report of the node. m.mu is held.
func (m *Machine) newReport(n *node) { m.enqueueReport(n, nil) }

// enqueueReport hands a report to the workers. m.mu is held.
func (m *Machine) enqueueReport(n *node, refused *refusals) {
	if m.ctx == nil || m.ctx.Err() != nil {
		return
	}
	m.reports.queue = append(m.reports.queue, pendingReport{n, n.life, refused})
	if m.reports.running < m.reports.max {
		m.reports.running++
		m.reports.wg.Go(m.reportAll)
	}
}

// reportAll sends reports until there is none left.
func (m *Machine) reportAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() {
		if m.reports.running--; m.reports.running == 0 {
			m.reports.idle.Broadcast()
		}
	}()
	for len(m.reports.queue) > 0 && m.ctx.Err() == nil {
		job := m.reports.queue[0]
		if m.reports.queue = m.reports.queue[1:]; len(m.reports.queue) == 0 {
			m.reports.queue = nil
		}
		if job.n.life != job.life {
			continue // it went down meanwhile
		}
		r, period, ok := job.n.report()
		if !ok {
			continue
		}
		m.twist(job.n, &r)
		m.mu.Unlock()
		answer := m.reports.send(m.ctx, job.n.xname, r)
		m.mu.Lock()
		if job.n.life == job.life && m.ctx.Err() == nil {
			m.reported(job, period, answer)
		}
	}
}

// twist makes a node that lies do so. m.mu is held.
func (m *Machine) twist(n *node, r *reporter.Report) {
	if f := m.use(n, "reporter_wrong_token"); f != nil {
		r.BSSToken = f.Value
	}
	if f := m.use(n, "reporter_lies_xname"); f != nil {
		r.ID = f.Value
	}
}

// reported takes the answer to a report: accepted, or to be tried again for as
// long as the node lives. The period is a promise to BOS, whose actual-state TTL runs
// on the wall clock: it is not scaled. m.mu is held.
func (m *Machine) reported(job pendingReport, period time.Duration, a reporter.Answer) {
	n := job.n
	if a.Outcome == reporter.Accepted {
		m.count.reports++
		wait := period
		if !n.reported {
			wait = reporter.FirstWait(period, m.chance(n, "report"))
		}
		n.reported = true
		if period > 0 {
			m.schedule(event{at: m.now() + wait, n: n, life: n.life, steady: true, do: (*Machine).newReport})
		}
		return
	}
	m.count.reportRetries++
	refused := job.refused
	if refused == nil {
		refused = new(refusals)
	}
	refused.tries++
	tries := refused.tries
	if tries == 1 || tries%16 == 0 {
		m.log.Debug("report not accepted", "xname", n.xname, "outcome", a.Outcome, "try", tries, "err", a.Text)
	}
	pause := refused.backoff.Next(a, m.chance(n, "backoff "+strconv.Itoa(tries)))
	wait := max(m.scaled(pause), min(reportFloorCap, time.Duration(tries)*reportFloor))
	wait = max(wait, min(pause, a.RetryAfter)) // the server asks in its own time, not in the machine's
	m.afterNode(n, wait, func(m *Machine, n *node) { m.enqueueReport(n, refused) })
}

// hookReport sends reports through Config.Report.
func hookReport(hook func(ctx context.Context, xname, token string) (int, error)) sendReport {
	return func(ctx context.Context, _ string, r reporter.Report) reporter.Answer {
		status, err := hook(ctx, r.ID, r.BSSToken)
		if err != nil {
			return reporter.ReadAnswer(nil, err, r.BSSToken)
		}
		return reporter.Answer{Outcome: reporter.OutcomeOf(status), Status: status}
	}
}

// bosURL reads Config.BOSURL.
func bosURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		return nil, fmt.Errorf("BOS URL %q: want http://HOST:PORT or https://HOST/PATH", text)
	}
	base, err := reporter.BaseURL(text, "", true)
	if err != nil {
		return nil, fmt.Errorf("BOS URL: %w", err)
	}
	return url.Parse(base)
}

// bosTransport makes the connections to BOS that the nodes share.
func bosTransport(workers int) http.RoundTripper {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers, IdleConnTimeout: 30 * time.Second,
	}
}

// httpReport sends reports to BOS at base, each with the token that bearer has for
// the node; it may be empty.
func httpReport(base string, bearer func(ctx context.Context, xname string) (string, error), transport http.RoundTripper) sendReport {
	return func(ctx context.Context, xname string, r reporter.Report) reporter.Answer {
		token, err := bearer(ctx, xname)
		if err != nil {
			return reporter.Answer{Outcome: reporter.NoCredentials, Text: err.Error()}
		}
		ctx, cancel := context.WithTimeout(ctx, reportTimeout)
		defer cancel()
		req, err := r.Request(ctx, base, token)
		if err != nil {
			return reporter.ReadAnswer(nil, err)
		}
		resp, err := transport.RoundTrip(req) //nolint:bodyclose // ReadAnswer does
		if err == nil && reporter.OutcomeOf(resp.StatusCode) == reporter.Accepted {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // keeps the connection; the content is of no interest
		}
		return reporter.ReadAnswer(resp, err, token, r.BSSToken)
	}
}

// reporting sets up how nodes report to BOS, and the gateway's way to it.
func (m *Machine) reporting(cfg Config) error {
	if cfg.ThroughGateway && (cfg.BOSURL == "" || cfg.Report != nil) {
		return errors.New("reports through the gateway need the URL of BOS, and no Report")
	}
	var bos *url.URL
	var transport http.RoundTripper
	if cfg.BOSURL != "" {
		var err error
		if bos, err = bosURL(cfg.BOSURL); err != nil {
			return err
		}
		transport = bosTransport(m.reports.max)
	}
	m.routeGateway(bos, transport)
	bearer := func(ctx context.Context, _ string) (string, error) { return reporter.NoToken.Token(ctx, false) }
	switch {
	case cfg.TokenFile != "":
		bearer = func(ctx context.Context, _ string) (string, error) {
			return reporter.TokenFile(cfg.TokenFile).Token(ctx, false)
		}
	case cfg.ThroughGateway:
		bearer = func(_ context.Context, xname string) (string, error) { return m.NodeToken(xname) }
	}
	switch {
	case cfg.Report != nil:
		m.reports.send = hookReport(cfg.Report)
	case bos == nil:
	case cfg.ThroughGateway:
		m.reports.send = httpReport(GatewayURLs("http://gateway")["bos"], bearer, throughGateway{m})
	default:
		m.reports.send = httpReport(bos.String(), bearer, transport)
	}
	return nil
}
