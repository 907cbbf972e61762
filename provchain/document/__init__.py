"""YAML that people write: read with line numbers, checked against a frozen model, refused with precision."""

from provchain.document.checking import Wording, check
from provchain.document.problems import DocumentError, Finding, KeyPath, Problem, key_text
from provchain.document.reading import Document, parse, read

__all__ = [
    "Document",
    "DocumentError",
    "Finding",
    "KeyPath",
    "Problem",
    "Wording",
    "check",
    "key_text",
    "parse",
    "read",
]
