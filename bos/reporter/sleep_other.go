//go:build !linux

package reporter

import (
	"context"
	"time"
)

// BootSleep waits for d or until ctx ends. On systems other than Linux it is [Sleep].
func BootSleep(ctx context.Context, d time.Duration) { Sleep(ctx, d) }
