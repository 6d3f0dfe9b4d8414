package app

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// pipes is a listener inside the process, for synctest.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects and sends a request.
func (p *pipes) dial(t *testing.T, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close() })
	p.accept <- there
	if _, err := io.WriteString(here, request); err != nil {
		t.Fatal(err)
	}
	return here, bufio.NewReader(here)
}

func request(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: bos\r\n\r\n" }

// TestServeHTTPEndsAtOnce stops a server with an idle connection and an open stream.
func TestServeHTTPEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ln := newPipes()
		ended := make(chan error, 1)
		go func() {
			ended <- ServeHTTP(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/stream" {
					_ = http.NewResponseController(w).Flush()
					<-ctx.Done() // as the event streams do
				}
			}), discard())
		}()
		_, idle := ln.dial(t, request("/"))
		if answer, err := http.ReadResponse(idle, nil); err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
		_, stream := ln.dial(t, request("/stream"))
		answer, err := http.ReadResponse(stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		streamEnded := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, answer.Body)
			streamEnded <- err
		}()
		synctest.Wait()
		begin := time.Now()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 100*time.Millisecond { // of the bubble's time, in which nothing computes
			t.Errorf("the server took %s to stop", took)
		}
		if err := <-streamEnded; err != nil {
			t.Errorf("the stream broke off: %v", err)
		}
		if _, err := idle.ReadByte(); err == nil {
			t.Error("the idle connection is still open")
		}
	})
}

// TestServeHTTPFinishesWhatItHas stops a server while requests are under way: one that ends in time, one that waits for
// its context and one that never ends.
func TestServeHTTPFinishesWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ln := newPipes()
		ended := make(chan error, 1)
		release := make(chan struct{})
		defer close(release)
		go func() {
			ended <- ServeHTTP(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/slow":
					select {
					case <-time.After(time.Second):
					case <-r.Context().Done():
						t.Error("a request that still had time was cut off")
					}
				case "/waits":
					<-r.Context().Done()
					if cause := context.Cause(r.Context()); !errors.Is(cause, bos.ErrUnavailable) {
						t.Errorf("the cause is %v", cause)
					}
					w.WriteHeader(http.StatusServiceUnavailable)
				default:
					<-release
				}
			}), discard())
		}()
		answers := make(chan int, 2)
		for _, path := range []string{"/slow", "/waits"} {
			_, r := ln.dial(t, request(path))
			go func() {
				answer, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					answers <- 0
					return
				}
				answers <- answer.StatusCode
			}()
		}
		_, never := ln.dial(t, request("/never"))
		synctest.Wait()
		begin := time.Now()
		stop()
		if first, second := <-answers, <-answers; first != 200 || second != 503 {
			t.Errorf("answers %d and %d, want 200 and 503", first, second)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the server took %s to stop", took)
		}
		if _, err := never.ReadByte(); err == nil {
			t.Error("the request that never ends was answered")
		}
	})
}
