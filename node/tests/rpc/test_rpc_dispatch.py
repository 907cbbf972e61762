"""JSON-RPC 2.0: whatever the bytes, the answer is a valid one, and tells nothing of the inside."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.net.limits import Bucket
from provnode.rpc import errors
from provnode.rpc.access import LOCAL, Caller, Callers, Right
from provnode.rpc.dispatch import MAX_BATCH, Dispatcher
from provnode.rpc.methods import Methods as NodeMethods
from tests.support.network import LocalNetwork

Json = Any  # what json.loads gives
DEEP = b"[" * 40 + b"]" * 40
NAMES = ("echo", "broken", "forever", "missing")


class Methods:
    """Methods that answer, break, refuse, and never return."""

    names = frozenset(NAMES)

    def __init__(self) -> None:
        self.called: list[str] = []

    async def call(self, caller: Caller, name: str, params: dict[str, Any]) -> object:
        self.called.append(name)
        caller.require(Right.SUBMIT if name == "missing" else Right.READ)
        if name == "broken":
            raise ZeroDivisionError("secret inside")
        if name == "missing":
            raise errors.RpcError(errors.NOT_FOUND, "no such thing", "not_found")
        if name == "forever":
            await asyncio.Event().wait()
        return params


def answer(
    body: bytes, methods: Methods | None = None, *, caller: Caller = LOCAL, seconds: float = 5.0
) -> Json:
    found = asyncio.run(Dispatcher(methods or Methods(), seconds).answer(caller, body))
    return None if found is None else json.loads(found)


def request(method: object = "echo", **more: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method} | more


def ask(value: object, **more: Json) -> Json:
    return answer(json.dumps(value).encode(), **more)


def test_a_result_comes_with_the_requests_own_id() -> None:
    for ident in (0, -1, 2**53 - 1, "", "x" * 128, None):
        found = ask(request(id=ident, params={"a": [1]}))
        assert found == {"jsonrpc": "2.0", "id": ident, "result": {"a": [1]}}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", errors.PARSE),
        (b"{", errors.PARSE),
        (b"\xff\xfe", errors.PARSE),
        (b"\xef\xbb\xbf{}", errors.PARSE),
        (b"nonsense", errors.PARSE),
        (b"[" * 100_000, errors.PARSE),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":' + DEEP + b"}}", errors.PARSE),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"echo"}', errors.PARSE),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":NaN}}', errors.PARSE),
        (b'{"jsonrpc":"2.0","id":1' + b"0" * 30 + b',"method":"echo"}', errors.PARSE),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"echo"}', errors.PARSE),
        (b"[]", errors.INVALID_REQUEST),
        (b"null", errors.INVALID_REQUEST),
        (b'"text"', errors.INVALID_REQUEST),
        (b"{}", errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0"}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"echo"}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":2.0,"id":1,"method":"echo"}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":1}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"echo"}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"echo"}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":[1],"method":"echo"}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":"' + b"x" * 129 + b'","method":"echo"}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","extra":1}', errors.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"__init__"}', errors.METHOD_NOT_FOUND),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}', errors.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":1,"method":"echo","params":null}', errors.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":1,"method":"missing"}', errors.NOT_FOUND),
        (b'{"jsonrpc":"2.0","id":1,"method":"broken"}', errors.INTERNAL),
        (b'{"jsonrpc":"2.0","id":1,"method":"forever"}', errors.TIMED_OUT),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_standard_code(body: bytes, code: int) -> None:
    found = answer(body, seconds=0.05)
    assert found["error"]["code"] == code
    assert len(found["error"]["message"]) < 300
    # the id is told where the request could be read so far
    readable = code != errors.PARSE and b'"id":1,' in body
    assert found["id"] == (1 if readable else None)


def test_a_batch_is_answered_in_order_without_its_notifications() -> None:
    batch = [
        request(id=1),
        {"jsonrpc": "2.0", "method": "echo"},
        7,
        request("none", id=2),
        request("missing", id=3),
    ]
    methods = Methods()
    found = ask(batch, methods=methods)
    assert [(one["id"], one.get("error", {}).get("code")) for one in found] == [
        (1, None),
        (None, errors.INVALID_REQUEST),
        (2, errors.METHOD_NOT_FOUND),
        (3, errors.NOT_FOUND),
    ]
    assert methods.called == ["echo", "echo", "missing"]


def test_a_batch_is_bounded_in_number_and_time() -> None:
    assert ask([request()] * (MAX_BATCH + 1))["error"]["code"] == errors.INVALID_REQUEST
    assert len(ask([request()] * MAX_BATCH)) == MAX_BATCH
    found = ask([request("forever")] * 3 + [request("missing")], seconds=0.05)
    # one deadline for all: the second has no time of its own, nor has what came last
    assert [one["error"]["code"] for one in found][:3] == [errors.TIMED_OUT] * 3


def test_notifications_are_carried_out_and_never_answered() -> None:
    for method in ("echo", "missing", "broken", "unknown"):
        methods = Methods()
        assert ask({"jsonrpc": "2.0", "method": method}, methods=methods) is None
        assert methods.called == ([method] if method in NAMES else [])
    assert ask([{"jsonrpc": "2.0", "method": "echo"}] * 2) is None


def test_an_id_of_null_is_answered() -> None:
    assert ask(request(id=None))["result"] == {}


def test_a_defect_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    found = ask(request("broken"))
    assert "secret" not in json.dumps(found) and "Zero" not in json.dumps(found)
    assert "secret inside" in caplog.text  # but the log has it


def test_a_caller_without_the_right_is_refused() -> None:
    reader = Caller("reader@zjex", frozenset({Right.READ}))
    assert "result" in ask(request(), caller=reader)
    assert ask(request("missing"), caller=reader)["error"]["code"] == errors.FORBIDDEN


def test_rights_come_from_the_genesis() -> None:
    callers = Callers({"zjex": None}, 1.0, 1.0)  # type: ignore[dict-item]  # only the name counts today
    callers.get("v1", "zjex").require(Right.SUBMIT)
    with pytest.raises(errors.RpcError, match="evil@other has no right to read"):
        callers.get("evil", "other").require(Right.READ)


def test_a_bucket_outlives_connections_and_memory_is_bounded() -> None:
    callers = Callers({}, 1.0, 1.0)
    first = callers.get("v1", "zjex")
    assert callers.get("v1", "zjex") is first
    assert callers.get("v1", "zjfin") is not first
    for number in range(2_000):
        callers.get(f"x{number}", "zjex")
    assert len(callers._known) == 1024
    assert callers.get("v1", "zjex") is not first


def test_each_request_of_a_batch_takes_its_turn() -> None:
    async def scenario() -> None:
        caller = Caller("v1@zjex", frozenset(Right), Bucket(0.001, 2.0, time.monotonic()))
        dispatcher = Dispatcher(Methods(), 0.1)
        body = json.dumps([request(id=number) for number in range(4)]).encode()
        found = json.loads(await dispatcher.answer(caller, body) or b"")
        # the bucket had two; the others would wait for many minutes
        assert ["result" in one for one in found] == [True, True, False, False]
        assert dispatcher.outcomes == {("echo", 0): 2, ("echo", errors.TIMED_OUT): 2}

    asyncio.run(scenario())


def test_each_transaction_of_a_submission_takes_its_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        network = LocalNetwork(tmp_path)
        await network.start("v1")
        caller = Caller("v1@zjex", frozenset(Right), Bucket(0.001, 2.0, time.monotonic()))
        dispatcher = Dispatcher(NodeMethods(network.nodes["v1"]), 1.0)
        for count, code in ((2, 0), (1, errors.TIMED_OUT)):
            params = {"transactions": [network.transaction().hex() for _ in range(count)]}
            await dispatcher.answer(
                caller, json.dumps(request("submit_transactions", params=params)).encode()
            )
            assert dispatcher.outcomes["submit_transactions", code] == 1
        await network.stop()

    asyncio.run(scenario())


def valid(found: Json, batch: bool = False) -> bool:
    if batch and isinstance(found, list):
        return bool(found) and all(valid(one) for one in found)
    if not isinstance(found, dict) or found.get("jsonrpc") != "2.0" or "id" not in found:
        return False
    if "error" in found:
        error = found["error"]
        return "result" not in found and type(error["code"]) is int and type(error["message"]) is str
    return set(found) == {"jsonrpc", "id", "result"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | json_values,
        "id": json_values,
        "method": st.sampled_from(["echo", "broken", "missing"]) | json_values,
        "params": json_values,
        "extra": json_values,
    },
)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_get_a_valid_answer(body: bytes) -> None:
    assert valid(answer(body))


@settings(max_examples=300, deadline=None)
@given(requests | st.lists(requests, max_size=5) | json_values)
def test_any_json_gets_a_valid_answer_or_was_a_notification(value: object) -> None:
    found = ask(value)
    if found is None:
        sent = value if isinstance(value, list) else [value]
        assert sent and all(isinstance(one, dict) and "id" not in one and "method" in one for one in sent)
    else:
        assert valid(found, batch=True)
