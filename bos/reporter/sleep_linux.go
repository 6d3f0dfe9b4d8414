package reporter

import (
	"context"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// From linux/time.h and linux/timerfd.h.
const (
	clockBoottime = 7
	tfdNonblock   = syscall.O_NONBLOCK
	tfdCloexec    = syscall.O_CLOEXEC
)

// BootSleep waits for d or until ctx ends. Time that the machine spends suspended counts, and setting the wall clock
// changes nothing: the kernel's CLOCK_BOOTTIME measures it. Meanwhile no goroutine and no timer of Go's is
// busy. Where the kernel refuses it is like [Sleep].
func BootSleep(ctx context.Context, d time.Duration) {
	f, err := bootTimer(d)
	if err != nil {
		Sleep(ctx, d)
		return
	}
	defer f.Close()
	// A deadline in the past ends the read at once.
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var expirations [8]byte
	_, _ = f.Read(expirations[:])
}

// bootTimer returns a file that becomes readable after d.
func bootTimer(d time.Duration) (*os.File, error) {
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, clockBoottime, tfdNonblock|tfdCloexec, 0)
	if errno != 0 {
		return nil, errno
	}
	f := os.NewFile(fd, "timerfd")
	spec := struct{ interval, value syscall.Timespec }{value: syscall.NsecToTimespec(int64(max(d, 1)))}         // 0 would disarm it
	_, _, errno = syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0) //nolint:gosec // the pattern that package unsafe allows
	if errno != 0 {
		f.Close()
		return nil, errno
	}
	return f, nil
}
