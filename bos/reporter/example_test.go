package reporter_test

import (
	"fmt"
	"net/http"

	"github.com/bootorch/bosgo/bos/reporter"
)

// The pure half tells a simulated node what to send and when, without a goroutine or a clock.
func Example() {
	line := reporter.ParseCommandLine("console=tty0 xname=x3000c0s19b1n0 bss_referral_token=5b1c bos_update_frequency=4h")
	id, _ := line.Value(reporter.ParamXname)
	token, _ := line.Value(reporter.ParamToken)
	ttl, _ := line.Value(reporter.ParamTTL)

	report := reporter.Report{ID: id, BSSToken: token}
	fmt.Println(reporter.Method, report.Path(), string(report.Body()))

	var backoff reporter.Backoff
	for _, status := range []int{http.StatusConflict, http.StatusNotFound, http.StatusOK} {
		answer := reporter.Answer{Outcome: reporter.OutcomeOf(status), Status: status}
		if answer.Outcome == reporter.Accepted {
			period, _ := reporter.Period(ttl)
			fmt.Println("next report in", reporter.FirstWait(period, 0.5), "and then every", period)
			break
		}
		fmt.Println("again in", backoff.Next(answer, 0.5))
	}
	// Output:
	// PATCH /v2/components/x3000c0s19b1n0 {"id":"x3000c0s19b1n0","actual_state":{"bss_token":"5b1c"}}
	// again in 2s
	// again in 4s
	// next report in 1h30m0s and then every 3h0m0s
}
