"""provnode: a BFT node for provincial business chains, with national cryptography throughout."""

__version__ = "0.1.0"
