r"""What every crypto provider must answer: the standards' examples, and inputs that must not pass.

`test_crypto_conformance.py` puts them to a provider. The owner of a token runs it there too,
with the PIN in a file that the URI's pin-source names::

    CREDENTIALS_DIRECTORY=FOLDER \
    pytest node/tests/crypto/test_crypto_conformance.py --provider pkcs11 --key URI-FILE
"""

from __future__ import annotations

# GB/T 32918.5-2017, annex A.2: the recommended curve, ID 1234567812345678, message "message digest"
EXAMPLE_KEY = bytes.fromhex(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
EXAMPLE_MESSAGE = b"message digest"
EXAMPLE_R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
EXAMPLE_S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
# GB/T 32905-2016, annex A
EXAMPLE_HASHES = {
    b"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    b"abcd" * 16: "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
}
# RFC 8998, appendix A.1: SM4-GCM, which GB/T 32907 itself has no example of
SEAL_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
SEAL_AAD = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
SEAL_PLAIN = bytes.fromhex("".join(byte * 8 for byte in ("aa", "bb", "cc", "dd", "ee", "ff", "ee", "aa")))
SEALED = bytes.fromhex(
    "00001234567800000000abcd"
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec"
)
ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
FIELD = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF


def integer(value: int, zeros: int = 0) -> bytes:
    """A DER INTEGER, with `zeros` bytes in front that DER forbids."""
    raw = bytes(zeros) + value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes([2, len(raw)]) + raw


def der(r: int, s: int) -> bytes:
    """A signature in DER."""
    body = integer(r) + integer(s)
    return bytes([0x30, len(body)]) + body


def numbers(signature: bytes) -> tuple[int, int]:
    """The r and s of a signature in DER."""
    split = 4 + signature[3]
    return int.from_bytes(signature[4:split], "big"), int.from_bytes(signature[split + 2 :], "big")


def spellings(signature: bytes) -> dict[str, bytes]:
    """Other encodings of a signature's two numbers, and what is near one: none of them may hold."""
    r, s = numbers(signature)
    body = integer(r) + integer(s)
    padded_r, padded_s = integer(r, 1) + integer(s), integer(r) + integer(s, 1)
    long_integer = b"\x02\x81" + integer(r)[1:] + integer(s)
    negative = bytes([2, 32]) + (2**256 - r).to_bytes(32, "big") + integer(s)
    return {
        "longer length": b"\x30\x81" + bytes([len(body)]) + body,
        "longest length": b"\x30\x84\0\0\0" + bytes([len(body)]) + body,
        "indefinite length": b"\x30\x80" + body + b"\0\0",
        "zero before r": bytes([0x30, len(padded_r)]) + padded_r,
        "zero before s": bytes([0x30, len(padded_s)]) + padded_s,
        "longer length of r": bytes([0x30, len(long_integer)]) + long_integer,
        "negative r": bytes([0x30, len(negative)]) + negative,
        "byte behind": signature + b"\0",
        "byte within": bytes([0x30, len(body) + 1]) + body + b"\0",
        "third number": bytes([0x30, len(body) + 3]) + body + b"\x02\x01\x01",
        "set": b"\x31" + signature[1:],
        "octets": signature[:2] + b"\x04" + signature[3:],
        "high tag": b"\x3f\x10" + signature[1:],
        "primitive": b"\x10" + signature[1:],
        "raw": r.to_bytes(32, "big") + s.to_bytes(32, "big"),
        "hollow": b"\x30\x00",
        "empty numbers": bytes.fromhex("300402000200"),
        "s beyond the order": der(r, s + ORDER),
        "r beyond the order": der(r + ORDER, s),
        "zero r": der(0, s),
        "zero s": der(r, 0),
        "r and s changed": der(s, r),
        "s negated": der(r, ORDER - s),
        "r + s = n": der(r, ORDER - r),
        "cut": signature[:-1],
        "huge": signature * 10_000,
        "empty": b"",
    }


def points(public: bytes) -> dict[str, bytes]:
    """What is no point of the curve, is one in another form, or is another one."""
    x, y = public[1:33], public[33:]
    other_y = (FIELD - int.from_bytes(y, "big")).to_bytes(32, "big")
    return {
        "infinity": b"\0",
        "padded infinity": bytes(65),
        "origin": b"\x04" + bytes(64),
        "compressed": bytes([2 + (y[31] & 1)]) + x,
        "compressed, padded": bytes([2 + (y[31] & 1)]) + x + bytes(32),
        "hybrid": bytes([6 + (y[31] & 1)]) + x + y,
        "off the curve": b"\x04" + y + x,
        "field's prime": b"\x04" + FIELD.to_bytes(32, "big") + y,
        "other y": b"\x04" + x + other_y,
        "cut": public[:-1],
        "long": public + b"\0",
        "huge": public * 1000,
        "empty": b"",
    }
