package bostest_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/bootorch/bosgo/bos"
	"github.com/bootorch/bosgo/bos/bosclient"
	"github.com/bootorch/bosgo/bos/bostest"
)

// TestChangesSurviveBrokenConnections follows the changes while every connection is cut again and again: each write is
// seen, in order, and no resync is needed.
func TestChangesSurviveBrokenConnections(t *testing.T) {
	f := bostest.NewServer(t, bostest.Options{})
	c, err := bosclient.New(f.URL, bosclient.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	write := func(n int) {
		if _, err := f.Service.PutComponent(ctx, "a", bos.Component{RetryPolicy: new(n)}); err != nil {
			t.Error(err)
		}
	}
	const writes = 5
	write(0)
	since := f.Service.Cursor()
	n := 1
	for ; n <= writes; n++ {
		write(n)
	}
	seen := 0
	for change, err := range c.Changes(ctx, bos.ChangeFilter{Since: since}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if got, want := change.Cursor.Revision, since.Revision+uint64(seen); change.Kind != bos.ChangeComponent || got != want {
			t.Fatalf("%s at %d, want the write at %d", change.Kind, got, want)
		}
		if seen == 2*writes {
			break
		}
		if seen >= writes {
			f.CutConnections()
			write(n)
			n++
		}
	}
	if ctx.Err() != nil {
		t.Fatalf("%d changes are seen, want %d", seen, 2*writes)
	}
}

// TestChangesKnowTheirPlace cuts a stream that has seen no event yet: what is written meanwhile is not lost either.
func TestChangesKnowTheirPlace(t *testing.T) {
	f := bostest.NewServer(t, bostest.Options{})
	if _, err := f.Service.PutComponent(t.Context(), "a", bos.Component{Enabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	streams := make(chan struct{}, 10)
	c, err := bosclient.New(f.URL, bosclient.Config{Transport: &watched{read: streams}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	changes := make(chan bos.Change)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for change := range c.Changes(ctx, bos.ChangeFilter{}) {
			changes <- change
			return
		}
	}()
	<-streams // the place has been read
	f.CutConnections()
	if _, err := f.Service.PutComponent(ctx, "b", bos.Component{Enabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	select {
	case change := <-changes:
		if change.Kind != bos.ChangeComponent || change.ID != "b" {
			t.Errorf("%+v, want the write of b", change)
		}
	case <-ctx.Done():
		t.Error("no change is seen")
	}
	cancel()
	<-done
}

// watched is the network, and tells when the first bytes of an answer have been read.
type watched struct {
	http.Transport

	read chan<- struct{}
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.Transport.RoundTrip(r)
	if err == nil {
		res.Body = &watchedBody{ReadCloser: res.Body, read: w.read}
	}
	return res, err
}

type watchedBody struct {
	io.ReadCloser

	read  chan<- struct{}
	began bool
}

// Read tells of the first read when the second begins: by then the reader has dealt with what it got.
func (b *watchedBody) Read(p []byte) (int, error) {
	if b.began {
		select {
		case b.read <- struct{}{}:
		default:
		}
	}
	b.began = true
	return b.ReadCloser.Read(p)
}
