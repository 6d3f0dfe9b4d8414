package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bootorch/bosgo/operator"
)

// metrics are what a process tells Prometheus, and whether it does its work. No xname, session or tenant is a label.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	passes   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	last     *prometheus.GaugeVec
	loops    []*operator.Loop
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bos_http_requests_total", Help: "Requests answered, by route.",
		}, []string{"route", "method", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bos_http_request_seconds", Help: "Time to answer a request, by route.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9),
		}, []string{"route", "method"}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bos_operator_passes_total", Help: "Finished passes, by result: ok or error.",
		}, []string{"operator", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bos_operator_tick_seconds", Help: "Duration of a pass.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9),
		}, []string{"operator"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bos_operator_last_pass_timestamp_seconds", Help: "End of the last pass, by result: ok or error.",
		}, []string{"operator", "result"}),
	}
	m.registry.MustRegister(m.requests, m.latency, m.passes, m.duration, m.last, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// request takes note of an answered request.
func (m *metrics) request(route, method string, code int, d time.Duration) {
	if route == "" {
		route = "unknown"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	m.latency.WithLabelValues(route, method).Observe(d.Seconds())
}

// pass takes note of a finished pass.
func (m *metrics) pass(p operator.PassInfo) {
	result := "ok"
	if p.Err != nil {
		result = "error"
	}
	m.passes.WithLabelValues(p.Operator, result).Inc()
	m.duration.WithLabelValues(p.Operator).Observe(p.Duration.Seconds())
	m.last.WithLabelValues(p.Operator, result).Set(float64(p.Start.Add(p.Duration).UnixMilli()) / 1000)
}

// add watches a loop: whether it is ready, and whether it is the one that acts.
func (m *metrics) add(l *operator.Loop) {
	l.Observe = m.pass
	m.loops = append(m.loops, l)
	labels := prometheus.Labels{"operator": l.Operator.Name()}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bos_operator_active", Help: "1 while this process is the one that runs the operator.", ConstLabels: labels,
	}, func() float64 {
		if l.Active() {
			return 1
		}
		return 0
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bos_operator_running_seconds", Help: "How long the present pass has been running; 0 between two.", ConstLabels: labels,
	}, func() float64 { return l.Running().Seconds() }))
}

// ready returns nil while every loop does what it should.
func (m *metrics) ready() error {
	var errs []error
	for _, l := range m.loops {
		errs = append(errs, l.Ready())
	}
	return errors.Join(errs...)
}

// handler serves /metrics, /livez and /readyz. A process that is not ready is not dead: an outage of a service must
// never get it restarted.
func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := m.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// metricsHelp describes the flag.
const metricsHelp = "address to serve /metrics, /livez and /readyz on; empty = nowhere"

// serve serves at addr until ctx ends; an empty addr serves nowhere. It returns once it listens.
func (m *metrics) serve(ctx context.Context, addr string, log *slog.Logger) error {
	if addr == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return UsageErrorf("--metrics-listen %q is not host:port, such as 127.0.0.1:9001 or :9001", addr)
	}
	ln, err := listenTCP(ctx, "--metrics-listen", addr)
	if err != nil {
		return err
	}
	go func() {
		if err := ServeHTTP(ctx, ln, m.handler(), log); err != nil {
			log.Error("metrics are no longer served", "err", err)
		}
	}()
	return nil
}
