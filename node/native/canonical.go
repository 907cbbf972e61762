package main

import "bytes"

const (
	maxDepth   = 32
	maxInteger = "9007199254740991" // 2^53 - 1
)

// span is a part of a buffer, by offsets.
type span struct{ from, to int }

// plainObject tells whether text is one JSON object in its canonical spelling that needs none of the
// rules that only the full reader knows: no escapes, no fractions, no bytes beyond UTF-8, keys ascending,
// integers and depth within the bounds of provnode.ledger.canonical. Where it says no, the full reader decides.
// part is where the value of one of the outermost keys lies.
func plainObject(text []byte, key string) (part span, plain bool) {
	reader := plainReader{text: text, key: key}
	if len(text) == 0 || text[0] != '{' || !reader.object(1) || reader.at != len(text) {
		return span{}, false
	}
	return reader.part, true
}

type plainReader struct {
	text []byte
	at   int
	key  string
	part span
}

func (r *plainReader) next(expected byte) bool {
	if r.at < len(r.text) && r.text[r.at] == expected {
		r.at++
		return true
	}
	return false
}

func (r *plainReader) value(depth int) bool {
	if r.at >= len(r.text) {
		return false
	}
	switch c := r.text[r.at]; {
	case c == '"':
		_, ok := r.string()
		return ok
	case c == '{':
		return depth <= maxDepth && r.object(depth)
	case c == '[':
		return depth <= maxDepth && r.array(depth)
	case c == 't':
		return r.word("true")
	case c == 'f':
		return r.word("false")
	case c == 'n':
		return r.word("null")
	default:
		return r.integer()
	}
}

func (r *plainReader) word(word string) bool {
	if !bytes.HasPrefix(r.text[r.at:], []byte(word)) {
		return false
	}
	r.at += len(word)
	return true
}

func (r *plainReader) integer() bool {
	negative := r.next('-')
	start := r.at
	for r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9' {
		r.at++
	}
	digits := r.text[start:r.at]
	switch {
	case len(digits) == 0 || len(digits) > len(maxInteger):
		return false
	case digits[0] == '0':
		return len(digits) == 1 && !negative
	default: // what follows is a comma or the end of what it is in, or the reader refuses it there
		return len(digits) < len(maxInteger) || string(digits) <= maxInteger
	}
}

// string reads to the closing quote; what may only stand escaped, or is no plain ASCII or UTF-8, is refused.
func (r *plainReader) string() (content []byte, ok bool) {
	if !r.next('"') {
		return nil, false
	}
	start := r.at
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[start : r.at-1], true
		case c == '\\' || c < 0x20 || c == 0x7f:
			return nil, false
		}
		r.at++
	}
	return nil, false
}

func (r *plainReader) array(depth int) bool {
	r.at++
	if r.next(']') {
		return true
	}
	for r.value(depth + 1) {
		if r.next(']') {
			return true
		}
		if !r.next(',') {
			return false
		}
	}
	return false
}

func (r *plainReader) object(depth int) bool {
	r.at++
	if r.next('}') {
		return true
	}
	var before []byte
	for first := true; ; first = false {
		key, ok := r.string()
		if !ok || (!first && bytes.Compare(before, key) >= 0) || !r.next(':') {
			return false
		}
		before = key
		start := r.at
		if !r.value(depth + 1) {
			return false
		}
		if depth == 1 && string(key) == r.key {
			r.part = span{start, r.at}
		}
		if r.next('}') {
			return true
		}
		if !r.next(',') {
			return false
		}
	}
}
