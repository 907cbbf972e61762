// Package main is libprovsm: SM2, SM3 and SM4-GCM of gmsm behind calls that take flat buffers.
//
// One call does a whole batch, as entering Go costs more than hashing a transaction. Nothing here computes on
// numbers: that is gmsm's. Private keys stay on this side; a caller holds integers that name them.
//
// Every call returns one of the codes below. The buffers belong to the caller, who also checks their lengths.
package main

/*
#include <stdint.h>
*/
import "C"

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/sm4"
	"github.com/emmansun/gmsm/smx509"
)

// The calls below and what they take; it grows when one of them changes.
const abi = 4

const (
	done    = 0
	refused = 1 // the input is not what the call takes
	failed  = 2 // the library panicked
)

const (
	nonceBytes = 12
	tagBytes   = 16
	// The DER of two integers below 2^256; nothing longer is a signature.
	maxSignature = 72
	// Batches of fewer are done by the calling thread.
	minParallelVerify = 4
	minParallelHash   = 64 * 1024 // bytes
	// What a worker takes at a time.
	share = 4
)

var (
	errRange = errors.New("lengths beyond the buffer")
	errPanic = errors.New("panic in a worker")
)

func main() {}

// What lasts here are trees' nodes, which hold no pointers: to collect often costs next to nothing, and keeps
// the memory near to what is in use, not at twice that.
func init() { debug.SetGCPercent(25) }

// guard runs a call; a panic ends as a code, never in the caller's frames.
func guard(call func() error) (code C.int32_t) {
	code = failed
	defer func() { _ = recover() }()
	switch err := call(); err {
	case nil:
		return done
	case errPanic:
		return failed
	default:
		return refused
	}
}

// view shows the caller's memory as a slice, without a copy.
func view(at unsafe.Pointer, length C.uint64_t) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at), int(length))
}

// cut splits a buffer in which messages lie one behind the other.
func cut(buffer, lengths unsafe.Pointer, total, count C.uint64_t) ([][]byte, error) {
	rest := view(buffer, total)
	parts := make([][]byte, count)
	for at, length := range unsafe.Slice((*uint64)(lengths), int(count)) {
		if length > uint64(len(rest)) {
			return nil, errRange
		}
		parts[at], rest = rest[:length], rest[length:]
	}
	return parts, nil
}

// spread does count pieces of work on all processors.
func spread(count int, parallel bool, work func(at int)) error {
	workers := min(runtime.GOMAXPROCS(0), (count+share-1)/share)
	if !parallel || workers < 2 {
		for at := range count {
			work(at)
		}
		return nil
	}
	var next atomic.Int64
	var broken atomic.Bool
	var group sync.WaitGroup
	run := func() {
		defer group.Done()
		defer func() {
			if recover() != nil {
				broken.Store(true)
			}
		}()
		for {
			end := int(next.Add(share))
			for at := end - share; at < min(end, count); at++ {
				work(at)
			}
			if end >= count {
				return
			}
		}
	}
	group.Add(workers)
	for range workers - 1 {
		go run()
	}
	run()
	group.Wait()
	if broken.Load() {
		return errPanic
	}
	return nil
}

//export provsm_abi
func provsm_abi() C.int32_t { return abi }

// provsm_hash_batch writes SM3(prefix | message), 32 bytes, of each of count messages.
//
//export provsm_hash_batch
func provsm_hash_batch(prefix unsafe.Pointer, prefixLength C.uint64_t, messages, lengths unsafe.Pointer,
	total, count C.uint64_t, digests unsafe.Pointer) C.int32_t {
	return guard(func() error {
		parts, err := cut(messages, lengths, total, count)
		if err != nil {
			return err
		}
		start, out := view(prefix, prefixLength), view(digests, count*sm3.Size)
		return spread(len(parts), total >= minParallelHash, func(at int) {
			state := sm3.New()
			state.Write(start)
			state.Write(parts[at])
			state.Sum(out[at*sm3.Size : at*sm3.Size])
		})
	})
}

// provsm_verify_batch writes one byte for each of count signatures: 1 if it holds, else 0. Public keys are
// uncompressed points of 65 bytes, signatures are DER.
//
//export provsm_verify_batch
func provsm_verify_batch(keys, messages, messageLengths unsafe.Pointer, messageTotal C.uint64_t,
	signatures, signatureLengths unsafe.Pointer, signatureTotal, count C.uint64_t,
	verdicts unsafe.Pointer) C.int32_t {
	return guard(func() error {
		texts, err := cut(messages, messageLengths, messageTotal, count)
		if err != nil {
			return err
		}
		signed, err := cut(signatures, signatureLengths, signatureTotal, count)
		if err != nil {
			return err
		}
		points, out := view(keys, count*pointBytes), view(verdicts, count)
		return spread(len(texts), len(texts) >= minParallelVerify, func(at int) {
			out[at] = 0
			key := parsed(point(points[at*pointBytes:]))
			if key != nil && sm2.VerifyASN1(key.key, key.digest(texts[at]), signed[at]) {
				out[at] = 1
			}
		})
	})
}

// provsm_generate makes a key: its handle and its public point of 65 bytes.
//
//export provsm_generate
func provsm_generate(handle, public unsafe.Pointer) C.int32_t {
	return guard(func() error {
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		return keep(key, handle, public)
	})
}

// provsm_load takes a key from an unencrypted PKCS#8 PEM.
//
//export provsm_load
func provsm_load(text unsafe.Pointer, length C.uint64_t, handle, public unsafe.Pointer) C.int32_t {
	return guard(func() error {
		key, err := decode(view(text, length))
		if err != nil {
			return err
		}
		return keep(key, handle, public)
	})
}

// provsm_save writes a key as PKCS#8 PEM; `length` holds the room and then what was written.
//
//export provsm_save
func provsm_save(handle C.uint64_t, text, length unsafe.Pointer) C.int32_t {
	return guard(func() error {
		key, err := find(uint64(handle))
		if err != nil {
			return err
		}
		der, err := smx509.MarshalPKCS8PrivateKey(key.key)
		if err != nil {
			return err
		}
		defer clear(der)
		encoded := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
		defer clear(encoded)
		return hand(encoded, text, length)
	})
}

// provsm_free forgets a key and wipes its number.
//
//export provsm_free
func provsm_free(handle C.uint64_t) C.int32_t {
	return guard(func() error { return forget(uint64(handle)) })
}

// provsm_sign writes a DER signature; `length` holds the room and then what was written.
//
//export provsm_sign
func provsm_sign(handle C.uint64_t, message unsafe.Pointer, messageLength C.uint64_t,
	signature, length unsafe.Pointer) C.int32_t {
	return guard(func() error {
		key, err := find(uint64(handle))
		if err != nil {
			return err
		}
		made, err := key.key.Sign(rand.Reader, key.public.digest(view(message, messageLength)), nil)
		if err != nil {
			return err
		}
		return hand(made, signature, length)
	})
}

// provsm_seal writes nonce | SM4-GCM ciphertext | tag, 28 bytes more than the plaintext.
//
//export provsm_seal
func provsm_seal(key, plain unsafe.Pointer, length C.uint64_t, extra unsafe.Pointer, extraLength C.uint64_t,
	sealed unsafe.Pointer) C.int32_t {
	return guard(func() error {
		mode, err := gcm(key)
		if err != nil {
			return err
		}
		out := view(sealed, length+nonceBytes+tagBytes)
		if _, err := rand.Read(out[:nonceBytes]); err != nil {
			return err
		}
		mode.Seal(out[nonceBytes:nonceBytes], out[:nonceBytes], view(plain, length), view(extra, extraLength))
		return nil
	})
}

// provsm_open writes the plaintext of what provsm_seal wrote, 28 bytes less, or refuses.
//
//export provsm_open
func provsm_open(key, sealed unsafe.Pointer, length C.uint64_t, extra unsafe.Pointer, extraLength C.uint64_t,
	plain unsafe.Pointer) C.int32_t {
	return guard(func() error {
		if length < nonceBytes+tagBytes {
			return errRange
		}
		mode, err := gcm(key)
		if err != nil {
			return err
		}
		in, out := view(sealed, length), view(plain, length-nonceBytes-tagBytes)
		_, err = mode.Open(out[:0], in[:nonceBytes], in[nonceBytes:], view(extra, extraLength))
		return err
	})
}

func gcm(key unsafe.Pointer) (cipher.AEAD, error) {
	block, err := sm4.NewCipher(view(key, sm4.BlockSize))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// hand copies a result to the caller if it fits.
func hand(result []byte, to, length unsafe.Pointer) error {
	room := (*uint64)(length)
	if uint64(len(result)) > *room {
		return errRange
	}
	copy(unsafe.Slice((*byte)(to), len(result)), result)
	*room = uint64(len(result))
	return nil
}
