// Package app assembles the programs from the packages: it reads flags and the environment into a configuration, opens
// the store, builds clients, server and operators, and runs them until they are told to stop. It is the one place that
// knows all drivers.
package app
