"""What an engine's verb answers, and what counts as no answer."""

from __future__ import annotations

import pytest

from provchain.conductor import engine
from provchain.errors import ProvchainError


def answering(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell on this machine answer in the place of a host."""
    monkeypatch.setattr(engine, "ssh_argv", lambda network, host, remote: ["sh", "-c", script])


@pytest.mark.parametrize(
    ("script", "refusals", "answer"),
    [
        ("echo yes", False, "yes\n"),
        ("echo refused; exit 1", True, "refused\n"),
        ("echo refused; exit 1", False, None),
        ("exit 1", True, None),
        ("echo half; exit 255", True, None),
        ("cat", False, "asked"),
    ],
)
def test_a_refusal_is_an_answer_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, script: str, refusals: bool, answer: str | None
) -> None:
    answering(monkeypatch, script)
    if answer is not None:
        assert engine.call("n", "h", "v", stdin="asked", timeout=20, refusals=refusals) == answer
    else:
        with pytest.raises(ProvchainError, match="h: v failed with exit code"):
            engine.call("n", "h", "v", stdin="asked", timeout=20, refusals=refusals)


def test_a_host_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "exec sleep 30")
    with pytest.raises(ProvchainError, match="h: no answer to v within"):
        engine.call("n", "h", "v", timeout=0.2)
