// Package fleet is a simulated HPC machine: its nodes, and the services that BOS
// talks to — HSM, PCS, CAPMC, CFS, BSS, IMS, S3 and TAPMS — over HTTP.
//
// A [Machine] is made from a [Config], served through [Machine.Handler] and
// brought to life by [Machine.Run]. Nodes power on, fetch their boot script, load
// what BSS says, report to BOS, get configured by CFS, shut down when asked, and
// do all of it badly when a [Fault] says so.
//
// [Machine.Gateway] is the way in from outside of the mesh, with bearer tokens;
// [Machine.Service] serves one service alone, and [Machine.Refusing] tells when the
// address of one is to be closed.
//
// Every duration of the hardware, of PCS and of CFS is divided by Config.Speed.
// Speed 0 is hardware that takes no time: everything that is due happens at once,
// through the same code. What the machine does depends on the seed, on the
// requests it gets and on nothing else.
//
// The clock runs by itself, or with Config.Manual stands still until
// [Machine.Advance] or [Machine.AdvanceUntilIdle] moves it: hours of 50,000 nodes are
// then a matter of seconds, and the same each time. Only what a client of a service
// sees, such as an injected latency, keeps running on the clock on the wall.
//
// Machines are large: a node costs about 250 bytes when the machine is made and 400 after
// a boot, of which a hundred are its history and what [Machine.Spent] tells. It has no
// goroutine and no timer, shares what it has in common with others, and what a request
// writes to many nodes is written once.
//
// One goroutine runs the whole machine from one agenda of events; reports to BOS
// go through a bounded number of further ones. What is in a report and when it is
// repeated is decided by package reporter, which real nodes run.
//
// Where to find what:
//
//   - the machine and its time: machine.go, clock.go, event.go; what it is made of:
//     inventory.go, xname.go
//   - a node and its life: node.go, boot.go, report.go; what its time went into: spent.go
//   - one service each: bss.go, capmc.go, ims.go, s3.go, tapms.go; hsm.go with its
//     requests in hsm*.go, groups.go and locks.go; pcs.go (power states) and
//     transition.go (commands); cfs.go with its requests in cfs*.go and batcher.go, which
//     runs the sessions
//   - the way in from outside: gateway.go, auth.go
//   - what goes wrong: fault.go, the kinds in faultkind.go, their text form in
//     faulttext.go, what they do to requests in faulthttp.go; what they do to nodes is
//     where it happens: look for the name of the kind
//   - /_sim: control.go; common to all: http.go, json.go, words.go
package fleet
