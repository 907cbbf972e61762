package main

/*
#include <stdint.h>
*/
import "C"

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
	"unsafe"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// What provsm_read_transactions says of each; a caller takes to the full reader what is not `signed` or `forged`.
const (
	unread  = 0 // not of the plain form, which says nothing about whether it is right
	signed  = 1 // its signature holds
	forged  = 2 // its signature does not hold
	unknown = 3 // its signer is not among those given
)

const (
	readPlaces = 7 // the index of the signer; where signature, body and the part of the body begin and end
	readHashes = 4 // id, leaf, body, part
)

// form is what every plain transaction of a chain begins with and what its hashes begin with.
type form struct {
	payload, id, leaf, signed []byte
	key                       string
}

// fields of one transaction, as places in it.
type fields struct{ signer, signature, body, part span }

// bin reads a MessagePack byte string at its shortest, str a text likewise.
func bin(raw []byte, at int) (span, bool) {
	rest := len(raw) - at
	switch {
	case rest >= 2 && raw[at] == 0xc4:
		return within(raw, at+2, int(raw[at+1]), 0)
	case rest >= 3 && raw[at] == 0xc5:
		return within(raw, at+3, int(binary.BigEndian.Uint16(raw[at+1:])), 1<<8)
	case rest >= 5 && raw[at] == 0xc6:
		return within(raw, at+5, int(binary.BigEndian.Uint32(raw[at+1:])), 1<<16)
	}
	return span{}, false
}

func str(raw []byte, at int) (span, bool) {
	rest := len(raw) - at
	switch {
	case rest >= 1 && raw[at]>>5 == 5:
		return within(raw, at+1, int(raw[at]&31), 0)
	case rest >= 2 && raw[at] == 0xd9:
		return within(raw, at+2, int(raw[at+1]), 32)
	}
	return span{}, false
}

// within is the part of that length, unless a shorter spelling has room for it (below least).
func within(raw []byte, from, length, least int) (span, bool) {
	if length < least || length > len(raw)-from {
		return span{}, false
	}
	return span{from, from + length}, true
}

// split finds the fields of pack([payload, signer, signature]) with payload = form.payload | pack(body).
func (f *form) split(raw []byte) (found fields, plain bool) {
	if len(raw) == 0 || raw[0] != 0x93 {
		return found, false
	}
	payload, ok := bin(raw, 1)
	if !ok || !bytes.HasPrefix(raw[payload.from:payload.to], f.payload) {
		return found, false
	}
	if found.body, ok = bin(raw[:payload.to], payload.from+len(f.payload)); !ok || found.body.to != payload.to {
		return found, false
	}
	if found.signer, ok = str(raw, payload.to); !ok {
		return found, false
	}
	if found.signature, ok = bin(raw, found.signer.to); !ok || found.signature.to != len(raw) {
		return found, false
	}
	body := raw[found.body.from:found.body.to]
	if !utf8.Valid(body) {
		return found, false
	}
	part, plain := plainObject(body, f.key)
	found.part = span{found.body.from + part.from, found.body.from + part.to}
	return found, plain && part.to > 0
}

// hashes writes the id, the leaf, and the hashes of the body and of its part, 32 bytes each.
func (f *form) hashes(raw []byte, at fields, out []byte) {
	state := sm3.New()
	sum := func(place int, prefix, data []byte) {
		state.Reset()
		state.Write(prefix)
		state.Write(data)
		state.Sum(out[place*sm3.Size : place*sm3.Size])
	}
	// the id is over pack([payload, signer]), which lies in the transaction but for its first byte
	sum(0, f.id, raw[1:at.signer.to])
	sum(1, f.leaf, raw)
	sum(2, nil, raw[at.body.from:at.body.to])
	sum(3, nil, raw[at.part.from:at.part.to])
}

type reading struct {
	form     form
	signers  map[string]int
	points   []byte
	raws     [][]byte
	places   []uint32
	hashes   []byte
	verdicts []byte
}

// read does one transaction.
func (r *reading) read(index int) {
	raw := r.raws[index]
	r.verdicts[index] = unread
	at, plain := r.form.split(raw)
	if !plain {
		return
	}
	hashes := r.hashes[index*readHashes*sm3.Size : (index+1)*readHashes*sm3.Size]
	r.form.hashes(raw, at, hashes)
	signer, known := r.signers[string(raw[at.signer.from:at.signer.to])]
	places := r.places[index*readPlaces : (index+1)*readPlaces]
	places[0] = uint32(signer)
	for place, one := range []span{at.signature, at.body, at.part} {
		places[2*place+1], places[2*place+2] = uint32(one.from), uint32(one.to)
	}
	if !known {
		r.verdicts[index] = unknown
		return
	}
	r.verdicts[index] = forged
	key, signature := parsed(point(r.points[signer*pointBytes:])), raw[at.signature.from:at.signature.to]
	if key == nil || len(signature) > maxSignature {
		return
	}
	if sm2.VerifyASN1(key.key, key.digest(r.form.signed, hashes[:sm3.Size]), signature) {
		r.verdicts[index] = signed
	}
}

// provsm_read_transactions reads and verifies each of count transactions of the plain form, see `form`, whose
// five parts lie one behind the other. Signers are named by their ids and have points of 65 bytes. It writes
// for each: seven places, four hashes of 32 bytes, and a verdict.
//
//export provsm_read_transactions
func provsm_read_transactions(parts, partLengths unsafe.Pointer, partTotal C.uint64_t,
	ids, idLengths unsafe.Pointer, idTotal, idCount C.uint64_t, points unsafe.Pointer,
	raws, lengths unsafe.Pointer, total, count C.uint64_t,
	places, hashes, verdicts unsafe.Pointer) C.int32_t {
	return guard(func() error {
		form, err := readForm(parts, partLengths, partTotal)
		if err != nil {
			return err
		}
		names, err := cut(ids, idLengths, idTotal, idCount)
		if err != nil {
			return err
		}
		work := reading{form: form, signers: make(map[string]int, len(names))}
		for index, name := range names {
			work.signers[string(name)] = index
		}
		if work.raws, err = cut(raws, lengths, total, count); err != nil {
			return err
		}
		work.points = view(points, idCount*pointBytes)
		work.places = unsafe.Slice((*uint32)(places), int(count)*readPlaces)
		work.hashes = view(hashes, count*readHashes*sm3.Size)
		work.verdicts = view(verdicts, count)
		return spread(len(work.raws), len(work.raws) >= minParallelVerify, work.read)
	})
}

func readForm(parts, lengths unsafe.Pointer, total C.uint64_t) (form, error) {
	found, err := cut(parts, lengths, total, 5)
	if err != nil {
		return form{}, err
	}
	return form{found[0], found[1], found[2], found[3], string(found[4])}, nil
}
