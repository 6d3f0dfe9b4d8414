// Package bosgo is a Boot Orchestration Service for HPC machines: it boots, reboots and shuts down thousands of nodes,
// keeps what each of them should run, and tells what happened and why. It speaks the BOS v2 API.
//
// This module is a library and the programs built from it. Read in this order:
//
//   - [github.com/bootorch/bosgo/bos] is the vocabulary: components, session templates, sessions, options, errors.
//   - [github.com/bootorch/bosgo/store] keeps the records; memstore, boltstore and redisstore are its drivers.
//   - [github.com/bootorch/bosgo/bos/bosserver] is the API, as methods and as an HTTP handler;
//     [github.com/bootorch/bosgo/bos/bosclient] has the same methods for a server elsewhere.
//   - [github.com/bootorch/bosgo/operator] is the frame for operators, yours included, and operator/builtin holds
//     the ten that make up BOS.
//   - [github.com/bootorch/bosgo/hsm], [github.com/bootorch/bosgo/pcs], [github.com/bootorch/bosgo/cfs] and clients/…
//     speak to the services that BOS drives; each has a fake and a mock for tests.
//   - [github.com/bootorch/bosgo/bos/reporter] runs on the nodes and reports what they booted.
//
// The examples are for vendors: custom-operator is an operator of your own, custom-power a power back end, custom-store a
// store, and embedded a whole BOS made of them. Their tests show how to test yours: operatortest has a BOS in memory,
// pcstest, hsmtest, storetest and so on have fakes, mocks and the suites that an implementation has to pass.
//
// An operator of your own is a type with three methods:
//
//	type Blink struct{ LEDs LEDs }
//
//	func (Blink) Name() string { return "blink-failed" }
//
//	func (Blink) Filter(operator.Tick) bos.ComponentFilter {
//		return bos.ComponentFilter{Status: []bos.Status{bos.StatusFailed}}
//	}
//
//	func (b Blink) Act(ctx context.Context, t operator.Tick, batch []bos.Component) ([]bos.ComponentPatch, error) {
//		return nil, b.LEDs.Blink(ctx, batch)
//	}
package bosgo
