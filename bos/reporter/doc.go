// Package reporter tells BOS what a node has booted.
//
// BSS hands a booting node the parameter bss_referral_token on the kernel command line. The node reports that
// token as its actual state; BOS looks it up and so knows which kernel, initrd and parameters really run. The
// report is repeated at three quarters of the option component_actual_state_ttl, because BOS forgets an
// actual state that is older than that.
//
// The package has two halves. The pure one says what is sent and when, without doing any of it: [ParseCommandLine],
// [Report], [ReadAnswer] and [OutcomeOf], [Backoff], [Period]. A simulator of thousands of nodes drives it from one
// event queue. The other half does it: [Reporter] runs the endless cycle of one node, [TokenSource] finds the
// credentials, [Transport] talks to the gateway, and [Load] collects the settings of the command bos-reporter.
//
// Only the standard library is imported, so that the command stays one small static file.
//
// Reading order: period.go, report.go, answer.go, backoff.go, reporter.go.
package reporter
