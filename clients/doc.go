// Package clients is the parent of the clients of the lesser services that BOS drives: bss, ims, manifest and tapms. Its
// tests are the contract of all service clients, those of hsm, pcs and cfs included.
package clients
