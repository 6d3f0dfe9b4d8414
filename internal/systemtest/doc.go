// Package systemtest tests whole systems: API, operators and a simulated machine, with processes that crash, sleep and
// lose their services in the middle of the work. It holds tests alone.
//
// Most run in a synctest bubble, where a [world] carries the requests between its processes in memory and hours pass in
// milliseconds; those that need the operating system run operators as processes of their own.
//
//	go test ./internal/systemtest                                # some dozens of random histories
//	go test ./internal/systemtest -run Model -seeds 5000
//	go test ./internal/systemtest -run Model -seed 17 -v         # one history, told step by step
//	go test ./internal/systemtest -run Model -seed 17 -seeds 50  # from there on
//	go test ./internal/systemtest -run Faults -nodes 1000 -v
//
// Under the race detector, and with -short, a part of each enumeration has to do.
package systemtest
