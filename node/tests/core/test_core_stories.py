"""The rules of the consensus, told as stories: see story.py for how they read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.story import make_validators, retell

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


def test_there_are_stories() -> None:
    assert len(STORIES) >= 15


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_happens_as_told(path: Path) -> None:
    told = path.read_text(encoding="utf-8")
    assert told.count("\n> ") >= 3
    assert retell(told) == told


def test_a_heavy_validator_counts_by_its_power() -> None:
    """Five of eight, with one more, are the quorum of six."""
    validators = make_validators({"v1": 1, "v2": 5, "v3": 1, "v4": 1})
    proposer = validators.proposer(1, 0)
    lines = retell(
        f"> machine v1\n> start\n> proposal A in round 0 by {proposer}\n> prevote v3 A in round 0\n"
        "> prevote v4 A in round 0\n> prevote v2 A in round 0\n",
        validators=validators,
    ).splitlines()
    assert lines[lines.index("> prevote v4 A in round 0") + 1] == "nothing"
    assert "precommit A" in lines[lines.index("> prevote v2 A in round 0") :]
