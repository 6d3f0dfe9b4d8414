// Package limit reads and applies the limit of a session: a comma-separated list that narrows the nodes of each boot
// set, such as "Compute,&rack1,!x3000c0s1b0n0".
//
// The list is folded from left to right over a result that begins empty. A plain element adds its nodes, "&" keeps only
// those also in its nodes, "!" removes its nodes; so "!x1" alone selects nothing, and order matters. "all" and "*" mean
// the boot set itself, the name of a group, partition or role its members, and any other name the node of that name.
// Names are case-sensitive and not trimmed. Source: BOS v2, operators 4.4.
package limit

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bootorch/bosgo/bos"
)

// Op is what an element does with its nodes.
type Op byte

// The operators.
const (
	Add    Op = 0   // union, written without a sign
	Keep   Op = '&' // intersection
	Remove Op = '!' // difference
)

// Element is one member of the list.
type Element struct {
	Op   Op
	Name string // "all", "*", a group, partition or role, or a node; "" where a sign stands alone
}

// String returns the element as it is written.
func (e Element) String() string {
	if e.Op == Add {
		return e.Name
	}
	return string(e.Op) + e.Name
}

// all reports whether the element stands for the whole boot set.
func (e Element) all() bool { return e.Name == "all" || e.Name == "*" }

// Set is a set of nodes; ids with the value false are not in it.
type Set = map[bos.ComponentID]bool

// Expr is a parsed limit. The zero value limits nothing. It is immutable and safe for concurrent use.
type Expr struct {
	limited  bool // text was not empty: "," has no elements, but it does limit, to nothing
	elements []Element
}

// Parse reads a limit. Empty elements are ignored, so that "x1," is "x1"; the empty text limits nothing. Whatever the
// BOS API accepts is a limit; only text that is not UTF-8 is a *bos.FieldError.
func Parse(text string) (Expr, error) {
	if !utf8.ValidString(text) {
		return Expr{}, &bos.FieldError{Field: "limit", Reason: "not UTF-8 text"}
	}
	e := Expr{limited: text != ""}
	for part := range strings.SplitSeq(text, ",") {
		switch {
		case part == "":
		case part[0] == byte(Keep), part[0] == byte(Remove):
			e.elements = append(e.elements, Element{Op: Op(part[0]), Name: part[1:]})
		default:
			e.elements = append(e.elements, Element{Name: part})
		}
	}
	return e, nil
}

// Unlimited reports whether the expression limits nothing.
func (e Expr) Unlimited() bool { return !e.limited }

// Elements returns the members of the list in order. The slice belongs to the caller.
func (e Expr) Elements() []Element { return slices.Clone(e.elements) }

// String returns the limit in its shortest form; Parse of it gives the same expression.
func (e Expr) String() string {
	if e.limited && len(e.elements) == 0 {
		return ","
	}
	parts := make([]string, len(e.elements))
	for i, el := range e.elements {
		parts[i] = el.String()
	}
	return strings.Join(parts, ",")
}

// Names returns the names that mean something outside the boot set, each once, in order of appearance: all but "all"
// and "*". Without names no inventory is needed.
func (e Expr) Names() []string {
	var names []string
	seen := make(map[string]bool, len(e.elements))
	for _, el := range e.elements {
		if !el.all() && !seen[el.Name] {
			seen[el.Name] = true
			names = append(names, el.Name)
		}
	}
	return names
}

// NIDs returns the names that look like node numbers ("nid000001"), which BOS does not resolve. Blanks and letter case
// do not hide one, nor do repeated signs.
func (e Expr) NIDs() []string {
	return slices.DeleteFunc(e.Names(), func(name string) bool {
		return !bos.LooksLikeNID(strings.TrimLeft(name, "&! \t\r\n"))
	})
}

// Select returns the nodes of base that the limit leaves. members returns the nodes of a group, partition or role, and
// false for a name that is none of these, which then is the name of a node; it may return nodes outside base, and is
// not asked for "all" and "*". The result is a new set.
func (e Expr) Select(base Set, members func(name string) (Set, bool)) Set {
	result := make(Set, len(base))
	if e.Unlimited() {
		add(result, base, base)
		return result
	}
	for _, el := range e.elements {
		nodes, known := base, true
		if !el.all() {
			nodes, known = members(el.Name)
		}
		if !known {
			nodes = Set{bos.ComponentID(el.Name): true}
		}
		switch el.Op {
		case Add:
			add(result, nodes, base)
		case Keep:
			for id := range result {
				if !nodes[id] {
					delete(result, id)
				}
			}
		case Remove:
			for id, in := range nodes {
				if in {
					delete(result, id)
				}
			}
		}
	}
	return result
}

// add puts the nodes of set that are also in base into result. What lies outside base never reaches the result of a
// limit, whichever elements follow, so it is left out from the beginning.
func add(result, set, base Set) {
	for id, in := range set {
		if in && base[id] {
			result[id] = true
		}
	}
}
