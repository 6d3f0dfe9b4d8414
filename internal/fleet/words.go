package fleet

import "math"

// words numbers values of which there are few, so that many who have one can keep its
// number. Once there are 65,535 of them, further ones are all number 0, the zero value.
type words[T comparable] struct {
	list   []T
	number map[T]uint16
}

func (w *words[T]) index(v T) uint16 {
	if w.number == nil {
		var zero T
		w.list, w.number = []T{zero}, map[T]uint16{zero: 0}
	}
	i, ok := w.number[v]
	if !ok && len(w.list) < math.MaxUint16 {
		i = uint16(len(w.list))
		w.list = append(w.list, v)
		w.number[v] = i
	}
	return i
}

// at returns the value of a number that index gave.
func (w *words[T]) at(i uint16) (v T) {
	if int(i) < len(w.list) {
		v = w.list[i]
	}
	return v
}
