package reporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// DefaultCommandTimeout is how long a token program may run.
	DefaultCommandTimeout = 30 * time.Second
	// commandGrace is how long its output may stay open after it ended: a child may have inherited it.
	commandGrace = 500 * time.Millisecond
	// commandOutput is the most that is read of its output.
	commandOutput = 1 << 20
)

// TokenCommand runs a program that prints the token. The program sees PATH and SPIRE_AGENT_PATH of the environment and
// nothing else. It is killed after a time, and so are the programs that it started.
type TokenCommand struct {
	Args       []string      // program and arguments; no shell is involved
	SpireAgent string        // the value of SPIRE_AGENT_PATH; "" leaves it out
	Timeout    time.Duration // 0 means DefaultCommandTimeout
}

// Token runs the program.
func (c TokenCommand) Token(ctx context.Context, _ bool) (string, error) {
	out, err := c.run(ctx)
	if err != nil {
		return "", err
	}
	token, err := cleanToken(out)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Args[0], err)
	}
	return token, nil
}

func (c TokenCommand) run(parent context.Context) ([]byte, error) {
	timeout := orDefault(c.Timeout, DefaultCommandTimeout)
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if c.SpireAgent != "" {
		cmd.Env = append(cmd.Env, "SPIRE_AGENT_PATH="+c.SpireAgent)
	}
	out := limitedBuffer{left: commandOutput}
	cmd.Stdout = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = commandGrace
	err := cmd.Run()
	switch {
	case parent.Err() != nil:
		return nil, fmt.Errorf("%s: was still running: %w", c.Args[0], parent.Err())
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: killed after %v", c.Args[0], timeout)
	case errors.Is(err, exec.ErrWaitDelay): // it ended well; a child of it still holds the output
	case err != nil:
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%s: %w", c.Args[0], err)
		}
		return nil, err
	}
	return out.Bytes(), nil
}

// limitedBuffer is a buffer that forgets what exceeds its limit.
type limitedBuffer struct {
	bytes.Buffer
	left int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}
