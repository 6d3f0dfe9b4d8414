package apitest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// conversation is a connection on which a test says what it likes.
type conversation struct {
	net.Conn
	r *bufio.Reader
}

// dial connects.
func dial(t *testing.T, s *server) *conversation {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.addr(), safety)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(safety))
	return &conversation{c, bufio.NewReader(c)}
}

// send connects and says something.
func send(t *testing.T, s *server, text string) *conversation {
	t.Helper()
	c := dial(t, s)
	c.write(t, text)
	return c
}

func (c *conversation) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads the head of an answer and, unless it is a stream, its body.
func (c *conversation) answer(t *testing.T) *http.Response {
	t.Helper()
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Header.Get("Content-Type") != "text/event-stream" {
		drain(answer.Body)
	}
	return answer
}
