"""National cryptography behind one provider interface; never our own arithmetic."""

from provnode.crypto.provider import CryptoError, PrivateKey, Provider, get_provider

__all__ = ["CryptoError", "PrivateKey", "Provider", "get_provider"]
