// Package svctest holds the contract tests of BOS v2 services section 14 that need more than a client: the operators, the
// API and the reporter against services that misbehave. Those of the clients alone are beside the clients.
package svctest
