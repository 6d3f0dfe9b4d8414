package apitest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
)

// TestStopsInOrder stops the server while a request is under way, a stream of changes is open and connections are idle:
// the stream ends while the request still waits, the request is answered and kept, and the server leaves with 0.
func TestStopsInOrder(t *testing.T) {
	t.Parallel()
	url := "bolt:" + t.TempDir() + "/bos.db"
	s := start(t, url)
	if _, err := s.client().PutComponent(t.Context(), "x1", bos.Component{ID: "x1"}); err != nil {
		t.Fatal(err)
	}
	for range 8 { // each stays open after its answer
		send(t, s, "GET /v2/version HTTP/1.1\r\nHost: bos\r\n\r\n").answer(t)
	}
	stream := send(t, s, "GET /v2/events HTTP/1.1\r\nHost: bos\r\n\r\n")
	events := stream.answer(t)
	body := `{"error":"written while the server stopped"}`
	patch := send(t, s, fmt.Sprintf("PATCH /v2/components/x1 HTTP/1.1\r\nHost: bos\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body)))
	if answer, err := http.ReadResponse(patch.r, nil); err != nil || answer.StatusCode != 100 {
		t.Fatal(answer, err) // the server does not read the body yet
	}

	begin := time.Now()
	s.terminate()
	if _, err := io.Copy(io.Discard, events.Body); err != nil {
		t.Errorf("the stream broke off: %v", err)
	}
	streamEnded := time.Since(begin)
	patch.write(t, body)
	if answer := patch.answer(t); answer.StatusCode != 200 {
		t.Errorf("the request under way: %s", answer.Status)
	}
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit %d\n%s", code, s.log())
	}
	t.Logf("stream ended after %s, server after %s", streamEnded.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	if _, err := net.Dial("tcp", s.addr()); err == nil {
		t.Error("something still listens")
	}

	s = start(t, url)
	if c, err := s.client().GetComponent(t.Context(), "", "x1"); err != nil || c.ErrorText() != "written while the server stopped" {
		t.Errorf("x1 has %q, %v", c.ErrorText(), err)
	}
}
