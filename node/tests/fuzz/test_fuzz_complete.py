"""No way in is left out: every function that takes bytes or text of others apart is run by some target.

They are found in the sources, not in a list: by their names, and by what they call. That a target runs them
is seen, not claimed: the seeds and the corpus are run, and what is entered meanwhile is noted.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, get_args

import provnode
from provnode import wire
from provnode.rpc.methods import Methods
from tests.fuzz import corpus
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import attempt, seeds
from tests.fuzz.world import world

ROOT = Path(str(provnode.__file__)).parent
# what takes bytes or text apart: methods and functions of libraries, by their last name
TAKING_APART = {
    *("loads", "convert", "unpack", "unpack_from", "fromhex", "from_bytes", "b64decode", "literal_eval"),
    *("fromisoformat", "ip_address", "unquote", "load_pem_x509_crl", "load_der_x509_crl", "load_privatekey"),
    *("load_pem_x509_certificate", "load_der_x509_certificate", "next_event", "extractfile"),
}
NAMED = ("decode", "parse", "read_", "from_", "load_", "unpack", "open_key", "public_of", "verify_")
# why no target is needed
ELSEWHERE = {
    "provnode.cli.client:_read_all": "asks a node; lines and bundles have targets",
    "provnode.cli.main:_parser": "makes the parser of the command line",
    "provnode.cli.node:read_config": "load_config, with its error as the command's",
    "provnode.cli.store:_unpack": "gives a file to what unpacks or unseals it",
    "provnode.crypto.pkcs11:Pkcs11.load_private": "needs a token: test_crypto_pkcs11 has a stand-in",
    "provnode.crypto.pkcs11:Pkcs11.sign": "needs a token: test_crypto_pkcs11 has a stand-in",
    "provnode.crypto.sealed:load_kek": "takes 16 bytes as they are",
    "provnode.net.stream:Stream.read_exactly": "gives what TLS gave; frames have a target",
}


def _calls(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            # bytes.decode() takes no argument or an encoding; a decoder is given what to decode
            text = not node.args or isinstance(node.args[0], ast.Constant)
            if node.func.attr != "decode" or not text:
                yield node.func.attr


def _functions(
    tree: ast.AST, inside: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inside + node.name, node
            yield from _functions(node, f"{inside}{node.name}.<locals>.")
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{inside}{node.name}.")
        else:
            yield from _functions(node, inside)


@cache
def ways_in() -> frozenset[str]:
    """Every function of the node that takes apart what others may have made, as module:function."""
    found = set()
    for path in ROOT.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for name, node in _functions(ast.parse(path.read_text("utf-8"))):
            if len(node.body) == 1 and isinstance(node.body[0], ast.Expr):
                continue  # of a protocol: a docstring only
            bare = name.rsplit(".", 1)[-1]
            named = bare.lstrip("_").startswith(NAMED)
            if named or (TAKING_APART | {"decode"}) & set(_calls(node)):
                found.add(f"{module}:{name}")
    return frozenset(found)


@cache
def entered() -> tuple[frozenset[str], frozenset[str]]:
    """What is entered while every seed and every kept input is run: functions, and methods of the RPC."""
    codes: set[CodeType] = set()
    methods: set[str] = set()
    call = Methods.call.__code__

    def note(frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - the profiler's argument
        if event == "call":
            codes.add(frame.f_code)
            if frame.f_code is call:
                methods.add(frame.f_locals["name"])

    world()
    before = sys.getprofile()
    for target in TARGETS.values():
        for raw in (*seeds(target), *corpus.load(target.name)):
            sys.setprofile(note)  # each time: it is gone after a recursion that went too deep
            try:
                attempt(target, raw)
            finally:
                sys.setprofile(before)
    names = set()
    for code in codes:
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT):
            module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
            names.add(f"{module}:{code.co_qualname}")
    return frozenset(names), frozenset(methods)


def test_every_way_in_is_run_by_a_target() -> None:
    left_out = sorted(ways_in() - entered()[0] - ELSEWHERE.keys())
    assert left_out == [], (
        f"no fuzz target enters {left_out}: add a Target in node/tests/fuzz/targets_*.py whose `run` calls "
        "it and whose `seeds` lead there, or say in ELSEWHERE (test_fuzz_complete.py) why it needs none"
    )


def test_what_needs_no_target_is_there_and_is_run_by_none() -> None:
    stale = sorted(ELSEWHERE.keys() - ways_in() | ELSEWHERE.keys() & entered()[0])
    assert stale == [], f"ELSEWHERE (test_fuzz_complete.py) need no longer name {stale}"


def test_every_method_of_the_rpc_is_called() -> None:
    left_out = sorted(set(Methods(world().node).names) - entered()[1])
    assert left_out == [], (
        f"no seed of the target `rpc` calls {left_out}: add parameters that each takes to `calls()` in "
        "node/tests/fuzz/targets_rpc.py"
    )


def test_every_kind_of_message_is_a_seed() -> None:
    kinds = {type(wire.decode_message(raw)) for raw in seeds(TARGETS["message"])}
    left_out = sorted(kind.__name__ for kind in set(get_args(wire.Message)) - kinds)
    assert left_out == [], f"add {left_out} to `_messages()` in node/tests/fuzz/targets_wire.py"


def test_the_corpus_is_of_targets_and_small() -> None:
    files = {path.stem: path.stat().st_size for path in corpus.FOLDER.iterdir()}
    assert files.keys() <= TARGETS.keys(), "a file in node/tests/fuzz/corpus has no target"
    assert sum(files.values()) < 600_000
