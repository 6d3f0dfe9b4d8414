package operator

import (
	"sync"
	"time"
)

// maxWoken is the number of ids up to which a pass looks at them alone.
const maxWoken = 3000

// inbox collects what wakes the loop between two passes.
type inbox struct {
	mu    sync.Mutex
	ids   map[string]bool
	full  bool          // a full pass is wanted
	since time.Time     // of the first thing in it
	bell  chan struct{} // rings when there may be something new; holds one ring
}

func newInbox() *inbox { return &inbox{ids: map[string]bool{}, bell: make(chan struct{}, 1)} }

// add asks for a pass that looks at id.
func (b *inbox) add(id string) {
	b.mu.Lock()
	b.begin()
	if len(b.ids) <= maxWoken {
		b.ids[id] = true
	}
	b.mu.Unlock()
	b.ring()
}

// addFull asks for a full pass.
func (b *inbox) addFull() {
	b.mu.Lock()
	b.begin()
	b.full = true
	b.mu.Unlock()
	b.ring()
}

// begin notes the time of the first thing; mu is held.
func (b *inbox) begin() {
	if !b.full && len(b.ids) == 0 {
		b.since = time.Now()
	}
}

func (b *inbox) ring() {
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// waiting returns since when something waits.
func (b *inbox) waiting() (since time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.full || len(b.ids) > 0
}

// take empties the inbox.
func (b *inbox) take() (ids map[string]bool, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids, full = b.ids, b.full
	b.ids, b.full = map[string]bool{}, false
	return ids, full
}
