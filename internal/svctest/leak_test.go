package svctest

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine outlives the tests: every answer is closed, and clients run nothing of their own.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
