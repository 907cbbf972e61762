package main

/*
#include <stdint.h>
*/
import "C"

import (
	"bytes"
	"errors"
	"hash"
	"slices"
	"sync"
	"unsafe"

	"github.com/emmansun/gmsm/sm3"
)

const (
	nodeBytes = 1 + 2*sm3.Size
	leafKind  = 'L'
	innerKind = 'I'
	treeDepth = 8 * sm3.Size
	// A place, see provnode.ledger.tree: its length, and room for all bits of a key and the depth.
	placeBytes = 1 + sm3.Size + 2
	// What the caller gets of a node that was made, and of one that is missing.
	madeBytes    = sm3.Size + nodeBytes + placeBytes
	missingBytes = sm3.Size + placeBytes
	// Room that is kept from one update to the next.
	mostMade = 16 * 1024 * 1024
)

var errTree = errors.New("not a node, or a key twice")

type digest = [sm3.Size]byte

// node is a leaf with key and value, or an inner node with the hashes of its two sides.
type node struct {
	kind        byte
	first, last digest
}

// item is a key with its new value.
type item struct{ key, value digest }

// tree is the newest part of a state tree (provnode.ledger.tree): nodes by their hashes, in two generations of
// which the younger fills up. What it lacks its caller has.
type tree struct {
	sync.Mutex
	leaf, inner []byte
	most        int
	young, old  map[digest]node
	made        []byte // room that each update uses anew
}

var trees = struct {
	sync.Mutex
	last uint64
	held map[uint64]*tree
}{held: make(map[uint64]*tree)}

func findTree(handle uint64) (*tree, error) {
	trees.Lock()
	defer trees.Unlock()
	if found := trees.held[handle]; found != nil {
		return found, nil
	}
	return nil, errHandle
}

func (t *tree) keep(hash digest, found node) {
	if len(t.young) >= t.most {
		t.old, t.young = t.young, make(map[digest]node)
	}
	t.young[hash] = found
}

func (t *tree) find(hash digest) (node, bool) {
	found, ok := t.young[hash]
	if !ok {
		found, ok = t.old[hash]
	}
	return found, ok
}

// update is one batch on its way down the tree; what it made lies in `made` as the caller gets it.
type update struct {
	tree    *tree
	given   map[digest]node
	made    []byte
	stale   map[digest]struct{}
	missing []byte
	state   hash.Hash
}

// appendPlace adds where the node stands at this depth on the way to a key.
func appendPlace(flat []byte, key digest, depth int) []byte {
	whole, rest := depth>>3, depth&7
	start := len(flat)
	flat = append(append(flat, 0), key[:whole]...)
	if rest > 0 {
		flat = append(flat, key[whole]&byte(uint16(0xff00)>>rest))
	}
	flat = append(flat, byte(depth>>8), byte(depth))
	flat[start] = byte(len(flat) - start - 1)
	for len(flat) < start+placeBytes {
		flat = append(flat, 0)
	}
	return flat
}

func (u *update) load(hash digest) (node, bool) {
	if found, ok := u.given[hash]; ok {
		return found, true
	}
	return u.tree.find(hash)
}

// look collects the nodes that place would ask for and that nobody has.
func (u *update) look(at digest, depth int, items []item) {
	if at == (digest{}) || len(items) == 0 {
		return
	}
	found, ok := u.load(at)
	if !ok {
		u.missing = appendPlace(append(u.missing, at[:]...), items[0].key, depth)
		return
	}
	if found.kind == innerKind && depth < treeDepth {
		cut := split(items, depth)
		u.look(found.first, depth+1, items[:cut])
		u.look(found.last, depth+1, items[cut:])
	}
}

// place puts sorted items into a subtree and returns the subtree's new hash.
func (u *update) place(at digest, depth int, items []item) digest {
	if len(items) == 0 {
		return at
	}
	if at == (digest{}) {
		return u.build(depth, items)
	}
	found, ok := u.load(at)
	if !ok || depth > treeDepth {
		panic(errTree)
	}
	u.stale[at] = struct{}{}
	if found.kind == leafKind {
		return u.build(depth, with(items, item{found.first, found.last}))
	}
	cut := split(items, depth)
	left := u.place(found.first, depth+1, items[:cut])
	return u.join(left, u.place(found.last, depth+1, items[cut:]), items[0].key, depth)
}

// with is the items and one more, unless its key is among them.
func with(items []item, more item) []item {
	at := 0
	for at < len(items) && bytes.Compare(items[at].key[:], more.key[:]) < 0 {
		at++
	}
	if at < len(items) && items[at].key == more.key {
		return items
	}
	all := append(make([]item, 0, len(items)+1), items[:at]...)
	return append(append(all, more), items[at:]...)
}

// build makes a subtree that holds just these items.
func (u *update) build(depth int, items []item) digest {
	switch {
	case len(items) == 0:
		return digest{}
	case len(items) == 1:
		return u.add(u.tree.leaf, node{leafKind, items[0].key, items[0].value}, items[0].key, depth)
	case depth >= treeDepth:
		panic(errTree)
	}
	cut := split(items, depth)
	left := u.build(depth+1, items[:cut])
	return u.join(left, u.build(depth+1, items[cut:]), items[0].key, depth)
}

func (u *update) join(left, right, key digest, depth int) digest {
	return u.add(u.tree.inner, node{innerKind, left, right}, key, depth)
}

func (u *update) add(prefix []byte, found node, key digest, depth int) (hash digest) {
	at := len(u.made) + sm3.Size
	u.made = append(append(append(append(u.made, hash[:]...), found.kind), found.first[:]...), found.last[:]...)
	u.state.Reset()
	u.state.Write(prefix)
	u.state.Write(u.made[at+1:])
	u.state.Sum(hash[:0])
	copy(u.made[at-sm3.Size:], hash[:])
	u.made = appendPlace(u.made, key, depth)
	return hash
}

// split is how many of the sorted items go left at this depth.
func split(items []item, depth int) int {
	low, high := 0, len(items)
	for low < high {
		middle := (low + high) / 2
		if items[middle].key[depth>>3]>>(7-depth&7)&1 == 1 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// readNodes reads nodes, each with its hash before it, in records of a length.
func readNodes(flat []byte, record int, take func(hash digest, found node)) error {
	for ; len(flat) > 0; flat = flat[record:] {
		if len(flat) < record {
			return errRange
		}
		body := flat[sm3.Size:]
		if body[0] != leafKind && body[0] != innerKind {
			return errTree
		}
		take(digest(flat), node{body[0], digest(body[1:]), digest(body[1+sm3.Size:])})
	}
	return nil
}

func readItems(flat []byte) ([]item, error) {
	items := make([]item, len(flat)/(2*sm3.Size))
	for at := range items {
		part := flat[at*2*sm3.Size:]
		items[at] = item{digest(part), digest(part[sm3.Size:])}
	}
	slices.SortFunc(items, func(one, other item) int { return bytes.Compare(one.key[:], other.key[:]) })
	for at := range items {
		if at > 0 && items[at-1].key == items[at].key {
			return nil, errTree
		}
	}
	return items, nil
}

// provsm_tree makes a tree that keeps about `most` nodes; leaves and inner nodes are hashed behind a prefix.
//
//export provsm_tree
func provsm_tree(prefixes, lengths unsafe.Pointer, total, most C.uint64_t, handle unsafe.Pointer) C.int32_t {
	return guard(func() error {
		found, err := cut(prefixes, lengths, total, 2)
		if err != nil {
			return err
		}
		made := &tree{leaf: bytes.Clone(found[0]), inner: bytes.Clone(found[1]), most: max(1, int(most)/2)}
		made.young = make(map[digest]node)
		trees.Lock()
		defer trees.Unlock()
		trees.last++
		trees.held[trees.last] = made
		*(*uint64)(handle) = trees.last
		return nil
	})
}

// provsm_tree_free forgets a tree.
//
//export provsm_tree_free
func provsm_tree_free(handle C.uint64_t) C.int32_t {
	return guard(func() error {
		_, err := findTree(uint64(handle))
		trees.Lock()
		defer trees.Unlock()
		delete(trees.held, uint64(handle))
		return err
	})
}

// provsm_tree_update sets each key to its value: items are 64 bytes each, keys distinct. `given` are nodes of
// the tree at `root` that the caller has read, 97 bytes each. Where nodes are still missing, it writes how many
// to counts[0], to `out` their hashes and places, 67 bytes each, and does nothing else. Otherwise it writes the
// new root, to counts[1] and [2] how many nodes were made and how many have gone, and these to `out`: hash, node
// and place, 132 bytes each, then hashes.
// counts[3] holds the room in `out`, in bytes, and then what was needed: where that is more, nothing was
// written, and the same call with more room succeeds.
//
//export provsm_tree_update
func provsm_tree_update(handle C.uint64_t, root, items unsafe.Pointer, count C.uint64_t, given unsafe.Pointer,
	givenTotal C.uint64_t, newRoot, counts, out unsafe.Pointer) C.int32_t {
	return guard(func() error {
		found, err := findTree(uint64(handle))
		if err != nil {
			return err
		}
		sorted, err := readItems(view(items, count*2*sm3.Size))
		if err != nil {
			return err
		}
		found.Lock()
		defer found.Unlock()
		work := update{tree: found, given: make(map[digest]node), stale: make(map[digest]struct{}, 4*len(sorted)),
			made: found.made[:0], state: sm3.New()}
		defer func() {
			if found.made = work.made; cap(found.made) > mostMade {
				found.made = nil
			}
		}()
		err = readNodes(view(given, givenTotal), sm3.Size+nodeBytes, func(hash digest, one node) { work.given[hash] = one })
		if err != nil {
			return err
		}
		start := digest(view(root, sm3.Size))
		told := unsafe.Slice((*uint64)(counts), 4)
		told[0], told[1], told[2] = 0, 0, 0
		work.look(start, 0, sorted)
		if told[0] = uint64(len(work.missing) / missingBytes); told[0] == 0 {
			end := work.place(start, 0, sorted)
			copy(view(newRoot, sm3.Size), end[:])
		}
		return work.tell(told, out)
	})
}

// tell writes what came of it, if there is room.
func (u *update) tell(counts []uint64, out unsafe.Pointer) error {
	for at := 0; at < len(u.made); at += madeBytes { // a node may be replaced and then come back under its hash
		delete(u.stale, digest(u.made[at:]))
	}
	room, needed := counts[3], uint64(len(u.made)+len(u.stale)*sm3.Size+len(u.missing))
	counts[1], counts[2], counts[3] = uint64(len(u.made)/madeBytes), uint64(len(u.stale)), needed
	if needed > room {
		return nil
	}
	flat := append(view(out, C.uint64_t(needed))[:0], u.made...)
	for hash := range u.stale {
		flat = append(flat, hash[:]...)
	}
	_ = append(flat, u.missing...)
	return nil
}

// provsm_tree_settle keeps the nodes that an update made, and forgets those that have gone, as it wrote them.
//
//export provsm_tree_settle
func provsm_tree_settle(handle C.uint64_t, made unsafe.Pointer, madeTotal C.uint64_t,
	stale unsafe.Pointer, staleTotal C.uint64_t) C.int32_t {
	return guard(func() error {
		found, err := findTree(uint64(handle))
		if err != nil {
			return err
		}
		found.Lock()
		defer found.Unlock()
		for gone := view(stale, staleTotal); len(gone) >= sm3.Size; gone = gone[sm3.Size:] {
			delete(found.young, digest(gone))
			delete(found.old, digest(gone))
		}
		return readNodes(view(made, madeTotal), madeBytes, found.keep)
	})
}
