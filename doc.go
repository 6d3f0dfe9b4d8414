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
// An operator of your own is a type with three methods; see examples/custom-operator for a complete program:
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
