package bos

import "time"

// Lease is the right to be the one actor of an operator for a while.
type Lease struct {
	Holder    string        `json:"holder,omitempty"`
	Token     int64         `json:"token"`      // fencing token: only grows, a new one whenever the holder changes
	ExpiresIn time.Duration `json:"expires_in"` // from the moment the request was sent; whole seconds on the wire
}
