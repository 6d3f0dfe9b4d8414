package fleet

import (
	"math"
	"testing"
)

// TestWords: a value keeps its number, the zero value has number 0, and when the numbers
// are used up further values are as good as none.
func TestWords(t *testing.T) {
	var w words[int]
	if got := w.at(5); got != 0 {
		t.Errorf("a number nobody has is %d", got)
	}
	for i := range math.MaxUint16 + 10 {
		want := uint16(i)
		if i >= math.MaxUint16 {
			want = 0
		}
		if got := w.index(i); got != want {
			t.Fatalf("%d has number %d, want %d", i, got, want)
		}
	}
	if w.index(7) != 7 || w.at(7) != 7 || w.index(math.MaxUint16+3) != 0 {
		t.Error("numbers have changed")
	}
}
