"""Certificate authorities of the organisations, and signed packages; all cryptography is OpenSSL's."""

from provchain.pki.authority import Authority, Wanted
from provchain.pki.openssl import ALGORITHMS, PkiError

__all__ = ["ALGORITHMS", "Authority", "PkiError", "Wanted"]
