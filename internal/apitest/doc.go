// Package apitest runs the API server as a process of its own and does to it what happens in a machine room: it is
// killed and stopped under load, its database goes away, and callers send what no client would.
package apitest
