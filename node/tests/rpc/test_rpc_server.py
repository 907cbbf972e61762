"""A node's RPC on real sockets: over SM TLS and on the unix socket, with callers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from provnode.rpc import errors
from provnode.rpc.access import Caller, Right
from provnode.rpc.client import CallError, Client
from provnode.rpc.server import RpcLimits
from tests.rpc.rpckit import Json, Served, read_response, served
from tests.support.waiting import until

Ask = Callable[[dict[str, object]], dict[str, object]]
Work = Callable[[Served], Awaitable[None]]
STATUS = {"jsonrpc": "2.0", "id": 1, "method": "node_status"}
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"


def serve(
    root: Path,
    work: Work,
    limits: RpcLimits | None = None,
    *,
    others: bool = False,
) -> None:
    async def scenario() -> None:
        async with served(root, limits, others=others) as it:
            await work(it)

    asyncio.run(scenario())


def test_a_transaction_goes_in_by_tls_and_every_method_tells_of_it(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        client = await it.remote()
        raw = it.network.transaction()
        sent = await client.call("submit_transaction", transaction=raw.hex(), wait_seconds=20)
        height, txid = sent["height"], sent["txid"]
        assert await client.call("wait_transaction", txid=txid) == sent
        found = await client.call("transaction", txid=txid)
        assert (found["height"], found["signer"]) == (height, "client@zjex")
        (operation,) = await client.call("objects", height=height)
        assert operation["object_id"] == "o-1" and operation["type"] == "create"
        block = await client.call("block", height=height)
        assert txid in block["transactions"]
        state = await client.call("consensus_state", height=height)
        assert len(state["certificate"]["signatures"]) >= 3 and state["hash"] == block["hash"]
        plain = await client.call("object", object_id="o-1")
        bundle = await client.call("object", object_id="o-1", version=0, proof=True)
        assert plain["object"] == bundle["snapshot"]
        (network,) = await client.call("network_list")
        options = await client.call("network_options", id=network["id"])
        assert set(options["operations"]) == {"create", "update", "overwrite", "delete"}
        told = await client.call("network_status")
        assert told["height"] >= height and len(told["peers"]) >= 2
        status = await client.call("node_status")
        needed = "name network chain_id version height block_hash block_time state_root genesis_hash"
        needed += " validator syncing peers certificate_expires organisation"
        assert set(needed.split()) <= set(status)
        more = [it.network.transaction().hex() for _ in range(3)]
        *ids, malformed, before = await client.call(
            "submit_transactions", transactions=[*more, "ff", raw.hex()]
        )
        assert [one["code"] for one in (malformed, before)] == ["malformed", "duplicate"]
        for one in ids:
            assert (await client.call("wait_transaction", txid=one["txid"]))["height"] > height
        with pytest.raises(CallError, match="committed before") as again:
            await client.call("submit_transaction", transaction=raw.hex())
        assert again.value.answered and again.value.code
        await client.close()

    serve(tmp_path, work, others=True)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("block", {"height": 1}, errors.NOT_FOUND),
        ("block", {"height": 0}, errors.INVALID_PARAMS),
        ("block", {"height": -1}, errors.INVALID_PARAMS),
        ("block", {"height": True}, errors.INVALID_PARAMS),
        ("block", {"height": "1"}, errors.INVALID_PARAMS),
        ("block", {"height": 1.0}, errors.INVALID_PARAMS),
        ("block", {}, errors.INVALID_PARAMS),
        ("block", {"height": 1, "more": 1}, errors.INVALID_PARAMS),
        ("objects", {"height": 9}, errors.NOT_FOUND),
        ("consensus_state", {"height": 9}, errors.NOT_FOUND),
        ("transaction", {"txid": "00" * 32}, errors.NOT_FOUND),
        ("transaction", {"txid": "00"}, errors.INVALID_PARAMS),
        ("transaction", {"txid": "zz" * 32}, errors.INVALID_PARAMS),
        ("transaction", {"txid": "0 " * 32}, errors.INVALID_PARAMS),
        ("object", {"object_id": "none"}, errors.NOT_FOUND),
        ("object", {"object_id": "none", "proof": True}, errors.NOT_FOUND),
        ("object", {"object_id": "x" * 129}, errors.INVALID_PARAMS),
        ("object", {"object_id": "none", "version": None}, errors.INVALID_PARAMS),
        ("object", {"object_id": "none", "version": 2**53 - 1}, errors.NOT_FOUND),
        ("network_status", {"id": "other"}, errors.NOT_FOUND),
        ("network_list", {"id": "test"}, errors.INVALID_PARAMS),
        ("node_status", {"verbose": True}, errors.INVALID_PARAMS),
        ("submit_transaction", {"transaction": "xyz"}, errors.INVALID_PARAMS),
        ("submit_transaction", {"transaction": ""}, errors.REFUSED),
        ("submit_transaction", {"transaction": "ff" * 100}, errors.REFUSED),
        ("submit_transaction", {"transaction": "", "wait_seconds": 61}, errors.INVALID_PARAMS),
        ("submit_transaction", {"transaction": "FF"}, errors.INVALID_PARAMS),
        ("submit_transaction", {"transaction": "f f"}, errors.INVALID_PARAMS),
        ("submit_transactions", {"transactions": []}, errors.INVALID_PARAMS),
        ("submit_transactions", {"transactions": ["00"] * 257}, errors.INVALID_PARAMS),
        ("submit_transactions", {"transactions": [1]}, errors.INVALID_PARAMS),
        ("submit_transactions", {"transactions": "00"}, errors.INVALID_PARAMS),
        ("wait_transaction", {"txid": "00" * 32, "seconds": 0}, errors.INVALID_PARAMS),
        ("wait_transaction", {"txid": "00" * 32, "seconds": 1}, errors.TIMED_OUT),
        ("no_method", {}, errors.METHOD_NOT_FOUND),
    ],
)
def test_wrong_parameters_are_refused(alone: Ask, method: str, params: dict[str, object], code: int) -> None:
    answer = alone({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    found = answer["error"]
    assert isinstance(found, dict) and found["code"] == code, found
    assert answer["id"] == 7 and "Traceback" not in str(found)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """One node for the whole table, asked by one event loop."""
    loop = asyncio.new_event_loop()
    context = served(tmp_path_factory.mktemp("alone"))
    it = loop.run_until_complete(context.__aenter__())
    yield lambda request: loop.run_until_complete(it.ask(request))
    loop.run_until_complete(context.__aexit__(None, None, None))
    loop.close()


def test_every_method_asks_for_its_right(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        async def code(rights: frozenset[Right], method: str) -> int:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
            answer = await it.rpc._dispatcher.answer(Caller("x@y", rights), body)
            return int(json.loads(answer or b"")["error"]["code"])

        names = it.rpc._dispatcher._methods.names
        assert {await code(frozenset(), name) for name in names} == {errors.FORBIDDEN}
        assert await code(frozenset({Right.READ}), "submit_transaction") == errors.FORBIDDEN
        # with the right, what is missing is the parameter
        assert await code(frozenset({Right.SUBMIT}), "submit_transaction") == errors.INVALID_PARAMS
        assert await code(frozenset({Right.READ}), "block") == errors.INVALID_PARAMS

    serve(tmp_path, work)


def test_http_that_is_wrong_is_refused_and_the_server_lives_on(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        limit = it.rpc._longest
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        cases: list[tuple[int, bytes]] = [
            (400, b"\x16\x03\x01\x00\x00 no http\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"),  # no host
            (400, POST + b"content-length: -1\r\n\r\n"),
            (400, POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx"),
            (501, POST + b"transfer-encoding: gzip\r\n\r\n"),
            (431, POST + b"x: " + b"y" * 20_000),
            (404, b"POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"),
            (404, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
            (404, b"DELETE /health HTTP/1.1\r\nhost: x\r\n\r\n"),
            (413, POST + f"content-length: {limit + 1}\r\n\r\n".encode() + b"x" * (limit + 1)),
            (413, POST + b"transfer-encoding: chunked\r\n\r\n" + (limit // 65_536 + 1) * chunk),
        ]
        for status, sent in cases:
            found, body = await it.raw(sent)
            assert found == status, (status, sent[:60], found)
            assert b"Traceback" not in body
        _, writer = await asyncio.open_unix_connection(it.socket)
        writer.write(POST + b"content-length: 10\r\n\r\n{}")  # and gone in the middle of a body
        writer.close()
        assert (await it.ask(STATUS))["result"]["name"] == "v1"

    serve(tmp_path, work)


def test_one_connection_serves_many_requests_also_when_they_come_at_once(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        reader, writer = await asyncio.open_unix_connection(it.socket)
        body = json.dumps(STATUS).encode()
        one = POST + f"content-length: {len(body)}\r\n\r\n".encode() + body
        note = json.dumps({"jsonrpc": "2.0", "method": "node_status"}).encode()
        writer.write(one * 3 + POST + f"content-length: {len(note)}\r\n\r\n".encode() + note + one)
        found = [await read_response(reader) for _ in range(5)]
        assert [status for status, _ in found] == [200, 200, 200, 204, 200]
        writer.close()

    serve(tmp_path, work)


def test_who_is_slow_or_idle_is_cut_off(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        for sent in (b"", b"POST / HT", POST + b"content-length: 10\r\n\r\n{"):
            reader, writer = await asyncio.open_unix_connection(it.socket)
            writer.write(sent)
            async with asyncio.timeout(10):  # far beyond the limits below
                assert await read_response(reader) == (0, b"")
            writer.close()

    serve(tmp_path, work, RpcLimits(idle_seconds=0.1, request_seconds=0.1))


def test_a_certificate_has_one_bucket_for_all_its_connections_and_local_callers_none(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        first, second = await it.remote(), await it.remote()
        other = await it.remote("v2")
        for client in (first, second):
            await client.call("node_status")
        slow = asyncio.ensure_future(first.call("node_status"))
        await other.call("node_status")
        for _ in range(50):
            await it.ask(STATUS)
        assert not slow.done()  # its turn comes after 1,000 s
        slow.cancel()
        for client in (first, second, other):
            await client.close()

    serve(tmp_path, work, RpcLimits(requests_a_second=0.001, burst=2.0))


def test_connections_are_capped(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        held = [await asyncio.open_unix_connection(it.socket) for _ in range(2)]
        await until(lambda: len(it.rpc._local) == 2, "both are served")
        reader, writer = await asyncio.open_unix_connection(it.socket)
        async with asyncio.timeout(10):  # far below the time that an idle connection has
            assert await reader.read() == b""
        for _, other in held:
            other.close()
        writer.close()
        await until(lambda: not it.rpc._local, "there is room again")
        assert (await it.ask(STATUS))["id"] == 1
        one = await it.remote()
        await one.call("node_status")
        with pytest.raises(CallError):
            await (await it.remote("v2")).call("node_status")
        await one.close()

    serve(tmp_path, work, RpcLimits(connections=1, local_connections=2))


def test_health_and_metrics_tell_how_the_node_is(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        async def get(target: str) -> tuple[int, str]:
            status, body = await it.raw(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            return status, body.decode()

        assert await get("/health") == (200, "ok\n")
        await it.ask(STATUS)
        await it.ask({"jsonrpc": "2.0", "id": 1, "method": "none"})
        status, text = await get("/metrics?any=1")
        assert status == 200
        assert 'provnode_info{version="0.1.0",network="test",chain_id="zhejiang"} 1' in text
        assert 'provnode_rpc_requests_total{method="node_status",code="0"} 1' in text
        assert f'provnode_rpc_requests_total{{method="",code="{errors.METHOD_NOT_FOUND}"}} 1' in text
        assert 'provnode_step_seconds_bucket{step="commit",le="+Inf"}' in text
        assert re.search(r"^provnode_store_bytes [1-9]\d+$", text, re.MULTILINE)
        it.node._threads.problem = "disk_full: no space"
        assert await get("/health") == (503, "disk_full: no space\n")
        assert "provnode_problem 1" in (await get("/metrics"))[1]

    async def with_blocks(it: Served) -> None:
        await until(lambda: it.node.ledger.height >= 2, "a block whose commit was timed")
        await work(it)

    serve(tmp_path, with_blocks, others=True)


def test_the_log_level_is_changed_at_run_time_on_the_host_only(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        async def ask(**params: object) -> Json:
            return await it.ask({"jsonrpc": "2.0", "id": 1, "method": "log_level", "params": params})

        before = logging.getLogger().level
        try:
            first = (await ask())["result"]
            assert (await ask(level="error"))["result"] == {"level": "error", "before": first["level"]}
            assert logging.getLogger().level == logging.ERROR
            assert "found 'loud', allowed: debug, info" in (await ask(level="loud"))["error"]["message"]
            assert (await ask())["result"]["level"] == "error"
            client = await it.remote()
            with pytest.raises(CallError, match="has no right to operate"):
                await client.call("log_level", level="debug")
            await client.close()
        finally:
            logging.getLogger().setLevel(before)

    serve(tmp_path, work)


def test_the_socket_is_for_owner_and_group_and_replaces_only_a_socket(tmp_path: Path) -> None:
    async def work(it: Served) -> None:
        assert stat.S_IMODE(it.socket.stat().st_mode) == 0o660
        await it.rpc.close()
        assert not it.socket.exists()
        it.socket.write_text("not mine")
        with pytest.raises(OSError, match="exists and is no socket"):
            await it.rpc.start("127.0.0.1", 0, it.socket)
        assert it.socket.read_text() == "not mine"

    serve(tmp_path, work)


def test_a_client_says_what_is_wrong_with_the_other_side(tmp_path: Path) -> None:
    answers = [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n",
        *(
            b"HTTP/1.1 200 ok\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
            for body in (b"[]", b"{}", b"null", b'{"jsonrpc":"2.0","id":9,"result":1}', b"[" * 9_999)
        ),
        b"",
    ]

    async def scenario() -> None:
        async def evil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers[0])
            writer.close()

        server = await asyncio.start_unix_server(evil, tmp_path / "evil.sock")
        while answers:
            client = await Client.local(tmp_path / "evil.sock", 5.0)
            with pytest.raises(CallError) as first:
                await client.call("node_status")
            assert not first.value.answered
            with pytest.raises(CallError, match=r".") as second:  # a broken connection stays broken
                await client.call("node_status")
            assert str(second.value) == str(first.value)
            await client.close()
            answers.pop(0)
        server.close()

    asyncio.run(scenario())


def test_a_client_waits_no_longer_than_it_was_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_unix_server(silent, tmp_path / "silent.sock")
        client = await Client.local(tmp_path / "silent.sock", 0.05)
        with pytest.raises(CallError, match="no answer within"):
            await client.call("node_status")
        await client.close()
        server.close()

    asyncio.run(scenario())


def test_a_client_waits_for_its_turn_to_be_accepted(tmp_path: Path) -> None:
    # with a full queue a connect fails at once; asyncio would take that for a connection
    async def scenario() -> None:
        path = tmp_path / "full.sock"
        with listening(path, backlog=0) as listener:
            first = await Client.local(path, 5.0)
            with pytest.raises(CallError, match=r"not accepted within 0\.1 s"):
                await Client.local(path, 0.1)
            second = asyncio.create_task(Client.local(path, 5.0))
            await asyncio.sleep(0.05)
            assert not second.done()
            accepted = [(await asyncio.to_thread(listener.accept))[0] for _ in range(2)]
            await (await second).close()
            await first.close()
            for one in accepted:
                one.close()

    asyncio.run(scenario())


@contextlib.contextmanager
def listening(path: Path, backlog: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(backlog)
        yield listener
