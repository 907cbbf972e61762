"""The two processes that the Pulumi engine starts beside itself, run by this very interpreter.

The engine that is built from its Go module comes without them. Both end when the engine does, so that a
killed engine leaves nothing behind that still changes the network.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

_WATCH_SECONDS = 0.2


def main() -> None:
    """Run the plugin named by the first argument: ``language`` or ``resource``."""
    kind = sys.argv.pop(1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if kind == "language":
        _serve_language()
    else:
        runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _serve_language() -> None:
    """Serve the engine's requests to run a program; prints the port, as the engine expects."""
    import grpc  # type: ignore[import-untyped]  # ships no types

    # The SDK's own server for programs that are functions; here the function runs a folder's __main__.py.
    # It is not exported, but the SDK is pinned to an exact version.
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime.proto import language_pb2, language_pb2_grpc

    class ProgramServer(LanguageServer):
        def __init__(self) -> None:
            super().__init__(lambda: None)

        def Run(  # noqa: N802 - the protocol's name
            self, request: language_pb2.RunRequest, context: grpc.ServicerContext
        ) -> language_pb2.RunResponse:
            folder = Path(request.info.program_directory or request.pwd)
            self.program = lambda: _run_program(folder)
            done: language_pb2.RunResponse = super().Run(request, context)  # type: ignore[no-untyped-call]  # as the SDK wrote it
            return done

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(ProgramServer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):  # so the engine tells a plugin that it has finished
        server.wait_for_termination()


def _run_program(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    runpy.run_path(str(folder / "__main__.py"), run_name="__main__")


if __name__ == "__main__":
    main()
