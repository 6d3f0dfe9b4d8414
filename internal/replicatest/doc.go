// Package replicatest tests several API servers and operator processes on one Redis: restarts of all of them while nodes
// boot, changes that one server makes and another tells of, and a writer that tells nobody. It holds tests alone.
//
//	go test ./internal/replicatest
//	go test ./internal/replicatest -run Rolling -v -nodes 5000
package replicatest
