"""Keys on a token, by a stand-in that signs digests with gmssl; what a URI, a PIN and a token may not be."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace

import PyKCS11
import pytest
from gmssl.sm2 import CryptSM2
from provnode.crypto import CryptoError, Provider, get_provider
from provnode.crypto.pkcs11 import Pkcs11
from provnode.crypto.sealed import Kek, open_key

NATIVE = get_provider("native")
KEY = NATIVE.generate()
MECHANISM = 0x80000211
PARTS = {
    "token": "chain",
    "object": "consensus%20key",
    "module-path": "/usr/lib/vendor.so",
    "pin-source": "pin",
    "x-sm2-sign": hex(MECHANISM),
}


def uri(**changes: str) -> bytes:
    found = PARTS | {name.replace("_", "-"): value for name, value in changes.items()}
    words = [f"{name}={value}" for name, value in found.items()]
    return f"pkcs11:{';'.join(words[:2])}?{'&'.join(words[2:])}\n".encode()


class Token:
    """What of PyKCS11 is used, with one key; `gone` is a token that was pulled out."""

    gone = False
    open = False
    point = b"\x04\x41" + KEY.public

    def load(self, module: str) -> None:
        if module != PARTS["module-path"]:
            raise PyKCS11.PyKCS11Error(PyKCS11.CKR_GENERAL_ERROR)

    def getSlotList(self, tokenPresent: bool) -> list[int]:  # noqa: N802, N803 - the library's names
        return [7] if tokenPresent else []

    def getTokenInfo(self, slot: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(label=f"{'chain' if slot == 7 else '':<32}")

    def openSession(self, slot: int) -> Token:  # noqa: N802
        assert slot == 7
        return self

    def login(self, pin: str) -> None:
        if self.open:
            raise PyKCS11.PyKCS11Error(PyKCS11.CKR_USER_ALREADY_LOGGED_IN)
        if pin != "1234":
            raise PyKCS11.PyKCS11Error(PyKCS11.CKR_PIN_INCORRECT)
        self.open = True

    def findObjects(self, template: list[tuple[int, object]]) -> list[object]:  # noqa: N802
        told = dict(template)
        return [told[PyKCS11.CKA_CLASS]] if told[PyKCS11.CKA_LABEL] == "consensus key" else []

    def getAttributeValue(self, found: object, asked: list[int]) -> list[tuple[int, ...]]:  # noqa: N802
        assert (found, asked) == (PyKCS11.CKO_PUBLIC_KEY, [PyKCS11.CKA_EC_POINT])
        return [tuple(self.point)]

    def sign(self, found: object, digest: bytes, mechanism: PyKCS11.Mechanism) -> list[int]:
        assert found == PyKCS11.CKO_PRIVATE_KEY
        assert mechanism.to_native().mechanism == MECHANISM
        if self.gone:
            raise PyKCS11.PyKCS11Error(PyKCS11.CKR_DEVICE_REMOVED)
        der = base64.b64decode(NATIVE.save_private(KEY).decode().split("-----")[2])
        at = der.index(bytes.fromhex("0201010420")) + 5
        signer = CryptSM2(private_key=der[at : at + 32].hex(), public_key=KEY.public[1:].hex())
        return list(bytes.fromhex(signer.sign(digest, "2b" * 32)))


@pytest.fixture
def hsm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Provider:
    (tmp_path / "pin").write_text("1234\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("PyKCS11.PyKCS11Lib", Token)
    return Pkcs11(NATIVE)


def test_what_the_token_signs_holds_for_all(hsm: Provider) -> None:
    key = hsm.load_private(uri())
    assert hsm.public_key(key) == key.public == KEY.public
    for message in (b"", b"message", bytes(1000)):
        signature = hsm.sign(key, message)
        for checker in (hsm, NATIVE, get_provider("openssl")):
            assert checker.verify(KEY.public, message, signature)
            assert not checker.verify(KEY.public, message + b"\0", signature)


def test_a_second_key_of_a_token_needs_no_second_login(hsm: Provider) -> None:
    first, second = hsm.load_private(uri()), hsm.load_private(uri())
    assert NATIVE.verify(KEY.public, b"m", hsm.sign(first, b"m"))
    assert NATIVE.verify(KEY.public, b"m", hsm.sign(second, b"m"))


def test_a_bare_point_is_taken_too(hsm: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Token, "point", KEY.public)
    assert hsm.load_private(uri()).public == KEY.public
    monkeypatch.setattr(Token, "point", KEY.public[1:])
    with pytest.raises(CryptoError, match="not an uncompressed SM2 point"):
        hsm.load_private(uri())


def test_a_key_is_neither_made_nor_given_out(hsm: Provider) -> None:
    with pytest.raises(CryptoError, match="vendor's tool"):
        hsm.generate()
    with pytest.raises(CryptoError, match="stays on its token"):
        hsm.save_private(hsm.load_private(uri()))
    with pytest.raises(CryptoError, match="not made by this provider"):
        hsm.sign(KEY, b"m")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (NATIVE.save_private(KEY), "not the URI"),
        (b"", "not the URI"),
        (b"\xff", "not the URI"),
        (uri()[7:], "not the URI"),
        (uri().replace(b"&x-sm2-sign", b"&x-other=1&x-sm2-sign"), "not the URI"),
        (uri().replace(b";object", b";token=twice;object"), "not the URI"),
        (uri(token=""), "not the URI"),
        (uri(x_sm2_sign="SM2"), "not the URI"),
        (uri(x_sm2_sign="0x100000000"), "not the URI"),
        (uri() + b" " * 20_000, "not the URI"),
        (uri(token="other"), "has no token 'other'"),
        (uri(object="other"), "has 0 objects 'other'"),
        (uri(module_path="/nowhere.so"), "key on token 'chain': .*CKR_GENERAL_ERROR"),
        (uri(pin_source="none"), "PIN: credential 'none': .*No such file"),
        (uri(pin_source="../pin"), "no credential '../pin'"),
    ],
)
def test_what_names_no_key_is_refused(hsm: Provider, text: bytes, refusal: str) -> None:
    with pytest.raises(CryptoError, match=refusal):
        hsm.load_private(text)


def test_a_wrong_pin_and_a_token_that_is_gone_are_errors(
    hsm: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = hsm.load_private(uri())
    monkeypatch.setattr(Token, "gone", True)
    with pytest.raises(CryptoError, match=r"signature by the token: .*CKR_DEVICE_REMOVED"):
        hsm.sign(key, b"m")
    (tmp_path / "pin").write_text("4321")
    with pytest.raises(CryptoError, match="CKR_PIN_INCORRECT") as caught:
        Pkcs11(NATIVE).load_private(uri())
    assert "4321" not in str(caught.value)


def test_it_is_chosen_by_its_name() -> None:
    assert get_provider("pkcs11").name == "pkcs11"


def test_the_uri_is_taken_where_keys_are_sealed() -> None:
    assert open_key(uri(), "consensus", Kek(bytes(16), NATIVE)) == uri()
