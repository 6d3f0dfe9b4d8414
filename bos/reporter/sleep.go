package reporter

import (
	"context"
	"time"
)

// Sleep waits for d or until ctx ends. While the machine is suspended its clock stands still; see [BootSleep].
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
