package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"sync"
	"unsafe"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
)

const (
	pemType    = "PRIVATE KEY"
	pointBytes = 65
	// Parsed public keys in each of two generations: validators and the signers of recent transactions.
	keptKeys = 4096
)

// The signer's distinguishing identifier, GB/T 35276: the default where none is agreed.
var identity = []byte("1234567812345678")

var (
	errKey    = errors.New("not an SM2 key")
	errHandle = errors.New("no such key")
)

type point [pointBytes]byte

// publicKey is a point with Z, the hash of its identity and itself that precedes what it signs.
type publicKey struct {
	key *ecdsa.PublicKey
	z   []byte
}

// digest is e = SM3(Z | message) of GB/T 32918.2, 6.1 and 7.1; the message may come in parts.
func (key *publicKey) digest(message ...[]byte) []byte {
	state := sm3.New()
	state.Write(key.z)
	for _, part := range message {
		state.Write(part)
	}
	return state.Sum(nil)
}

func newPublic(key *ecdsa.PublicKey) (*publicKey, error) {
	z, err := sm2.CalculateZA(key, identity)
	return &publicKey{key, z}, err
}

// Two generations, of which the younger one fills up: what is in use survives, and the bound holds.
var known struct {
	sync.Mutex
	young, old map[point]*publicKey
}

// parsed returns the public key of a point, or nil where the bytes are no point of the curve.
func parsed(at point) *publicKey {
	known.Lock()
	key, young := known.young[at]
	if !young {
		key = known.old[at]
	}
	known.Unlock()
	if young {
		return key
	}
	if key == nil {
		bare, err := sm2.NewPublicKey(at[:])
		if err != nil {
			return nil
		}
		if key, err = newPublic(bare); err != nil {
			return nil
		}
	}
	known.Lock()
	defer known.Unlock()
	if known.young == nil || len(known.young) >= keptKeys {
		known.old, known.young = known.young, make(map[point]*publicKey)
	}
	known.young[at] = key
	return key
}

type privateKey struct {
	key    *sm2.PrivateKey
	public *publicKey
}

var held = struct {
	sync.RWMutex
	last uint64
	keys map[uint64]privateKey
}{keys: make(map[uint64]privateKey)}

// keep stores a key and tells the caller its handle and public point.
func keep(key *sm2.PrivateKey, handle, public unsafe.Pointer) error {
	shown, err := newPublic(&key.PublicKey)
	if err != nil {
		return err
	}
	out := unsafe.Slice((*byte)(public), pointBytes)
	out[0] = 4
	key.X.FillBytes(out[1:33])
	key.Y.FillBytes(out[33:])
	held.Lock()
	defer held.Unlock()
	held.last++
	held.keys[held.last] = privateKey{key, shown}
	*(*uint64)(handle) = held.last
	return nil
}

func find(handle uint64) (privateKey, error) {
	held.RLock()
	defer held.RUnlock()
	key, ok := held.keys[handle]
	if !ok {
		return key, errHandle
	}
	return key, nil
}

func forget(handle uint64) error {
	key, err := find(handle)
	if err != nil {
		return err
	}
	held.Lock()
	defer held.Unlock()
	delete(held.keys, handle)
	clear(key.key.D.Bits())
	return nil
}

// decode reads the one key of a PEM. What gmsm lets pass is made anew from its number, which must be in
// [1, n-2] (GB/T 32918.1, 6.1).
func decode(text []byte) (*sm2.PrivateKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(block.Headers) != 0 || len(bytes.TrimSpace(rest)) != 0 {
		return nil, errKey
	}
	defer clear(block.Bytes)
	found, err := smx509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := found.(*sm2.PrivateKey)
	if !ok {
		return nil, errKey
	}
	number := key.D.FillBytes(make([]byte, 32))
	defer clear(number)
	made, err := sm2.NewPrivateKey(number)
	if err != nil || !belongs(block.Bytes, made) {
		return nil, errKey
	}
	return made, nil
}

// belongs tells whether the public point that PKCS#8 (RFC 5958) tells beside the number, if it does
// (RFC 5915), is that of the number: a damaged file must not be taken for another key.
func belongs(der []byte, key *sm2.PrivateKey) bool {
	var outer struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	var inner struct {
		Version int
		Number  []byte
		Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return false
	}
	defer clear(outer.Key)
	if _, err := asn1.Unmarshal(outer.Key, &inner); err != nil {
		return false
	}
	defer clear(inner.Number)
	// what the parser passes over would be seen by others
	again, err := asn1.Marshal(inner)
	defer clear(again)
	if err != nil || !bytes.Equal(again, outer.Key) {
		return false
	}
	told := inner.Public.Bytes
	if len(told) == 0 {
		return true
	}
	own := make([]byte, pointBytes)
	own[0] = 4
	key.X.FillBytes(own[1:33])
	key.Y.FillBytes(own[33:])
	return bytes.Equal(told, own)
}
