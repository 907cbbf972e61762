"""Changes of the membership and revocation lists by the command, as organisations would make them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.clikit import Chain, Json, lines, provnode, refusal
from tests.support.pki import make_ca

ORGANISATIONS = ("zjcsd", "zjdata", "zjex", "zjfin")


class Four(Chain):
    """Four organisations, whose validators but v1 are names only: v1 has power enough to commit alone."""

    def write_genesis(self, **changes: object) -> None:
        super().write_genesis(**changes)
        document = json.loads(self.genesis.read_text())
        self.founders = {"zjex": self.keys["m1"]}
        document["validators"][0]["power"] = 7
        document["organisations"][0]["ca"] = self.ca.public_key.hex()
        for name in set(ORGANISATIONS) - {"zjex"}:
            self.founders[name] = self.root / f"{name}.pem"
            public = lines(provnode("keygen", "--out", self.founders[name]))[0]["public_key"]
            document["organisations"].append(document["organisations"][0] | {"name": name, "ca": ""})
            document["signers"].append({"id": f"m@{name}", "organisation": name, "public_key": public})
            document["validators"].append(
                {"name": f"v-{name}", "organisation": name, "public_key": self.key(), "power": 1}
            )
        self.genesis.write_text(json.dumps(document))

    def key(self) -> str:
        """A public key that nobody holds."""
        return self.provider.public_key(self.provider.generate()).hex()

    def founder(self, name: str) -> Path:
        """The configuration of an organisation's founding signer."""
        ident = "m1@zjex" if name == "zjex" else f"m@{name}"
        return self.config("m1", client_key=str(self.founders[name]), client_id=ident)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    chain = Four(tmp_path_factory.mktemp("four"))
    with chain.running():
        yield chain


def listed(chain: Four) -> Json:
    return lines(provnode("membership", "list", "--config", chain.config("m1")))[0]


def test_a_validator_is_proposed_approved_and_submitted(chain: Four, tmp_path: Path) -> None:
    before = listed(chain)
    assert before["sequence"] == 0 and len(before["validators"]) == 4 and before["pending"] == []
    config, proposal, new = chain.config("m1"), tmp_path / "change.json", chain.key()
    wanted: list[str | Path] = [
        "--organisation",
        "zjfin",
        "--public-key",
        new,
        "--power",
        "1",
        "--out",
        proposal,
    ]
    place = ["--address", "127.0.0.9", "--port", "26656"]
    assert "address and port" in refusal(
        provnode("membership", "propose", "add", "v9", *wanted, "--config", config)
    )
    done = provnode("membership", "propose", "add", "v9", *wanted, *place, "--config", config)
    assert done.returncode == 0, done.stderr
    change = json.loads(proposal.read_text())["change"]
    assert change["sequence"] == 1 and change["effective_height"] >= before["height"] + 600
    approvals = []
    for name in ORGANISATIONS:
        approvals.append(tmp_path / f"{name}.json")
        command = ("membership", "approve", proposal, "--out", approvals[-1])
        assert provnode(*command, "--config", chain.founder(name)).returncode == 0
    done = provnode("membership", "submit", proposal, *approvals[:2], "--config", chain.config("m1"))
    (found,) = lines(done)
    assert done.returncode == 1 and found["code"] == "too_few_approvals" and "zjex, zjfin" in found["error"]
    done = provnode("membership", "submit", proposal, *approvals[:0:-1], "--config", chain.config("m1"))
    (found,) = lines(done)
    assert done.returncode == 0 and found["ok"] and found["height"] > 0
    after = listed(chain)
    assert after["pending"] == [change] and after["sequence"] == 1
    assert change["validator"] == {
        "name": "v9",
        "organisation": "zjfin",
        "public_key": new,
        "power": 1,
        "address": "127.0.0.9",
        "port": 26656,
    }
    # one that is there needs no more than its name
    done = provnode("membership", "propose", "suspend", "v-zjfin", "--config", chain.config("m1"))
    (next_,) = lines(done)
    assert next_["change"]["sequence"] == 2
    assert next_["change"]["validator"]["public_key"] in {v["public_key"] for v in after["validators"]}


def test_what_can_not_be_proposed_or_approved_is_told(chain: Four, tmp_path: Path) -> None:
    config = chain.config("m1")
    file = tmp_path / "change.json"
    done = provnode("membership", "propose", "remove", "v-zjex9", "--config", config)
    assert "missing required field" in refusal(done)
    key = chain.key()
    assert (
        provnode(
            *("membership", "propose", "rekey", "v1", "--public-key", key, "--out", file, "--config", config)
        ).returncode
        == 0
    )
    good = json.loads(file.read_text())
    for wrong, text in (
        ({"genesis_hash": "00" * 32}, "another genesis"),
        ({"change": {}}, "missing required field"),
        ({"change": None}, "body.change"),
    ):
        file.write_text(json.dumps(good | wrong))
        assert text in refusal(provnode("membership", "approve", file, "--config", config))
    for text in ("", "[]", "{}", "[" * 20_000):
        file.write_text(text)
        done = provnode("membership", "approve", file, "--config", config)
        assert "is no proposal and no approval" in refusal(done)
    file.write_text(json.dumps(good))
    done = provnode("membership", "submit", file, file, "--config", config)
    assert "holds no approval" in refusal(done)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(good | {"change": good["change"] | {"sequence": 99}}))
    done = provnode("membership", "submit", file, other, "--config", config)
    assert "approves another change" in refusal(done)
    done = provnode("membership", "approve", file, "--config", chain.config("m1", client_id="u1@zjex"))
    assert "no founding signer" in refusal(done)
    assert "No such file" in refusal(provnode("membership", "approve", "/no/such", "--config", config))


def test_a_list_is_handed_in_by_its_own_organisation(chain: Four, tmp_path: Path) -> None:
    chain.ca.issue(tmp_path / "v7", "v7")
    crl = tmp_path / "zjex.crl"
    crl.write_bytes(chain.ca.revoke(tmp_path / "v7" / "cert.pem", number=2))
    (found,) = lines(provnode("revoke", crl, "--config", chain.config("m1")))
    assert found["ok"] and found["height"] > 0
    done = provnode("revoke", crl, "--config", chain.founder("zjex"))
    assert done.returncode == 1 and lines(done)[0]["code"] in {"stale_crl", "duplicate"}
    crl.write_bytes(make_ca(tmp_path / "ca", "zjex").revoke(number=9))
    done = provnode("revoke", crl, "--config", chain.config("m1"))
    assert done.returncode == 1 and lines(done)[0]["code"] == "bad_crl"
    crl.write_bytes(b"none")
    assert f"{crl}: " in refusal(provnode("revoke", crl, "--config", chain.config("m1")))


def test_a_trusted_point_moves_on_with_what_is_verified(chain: Four, tmp_path: Path) -> None:
    trust, bundle, old = (tmp_path / name for name in ("trust.json", "proof.json", "old.json"))
    record = {
        "header": {
            "model": {"protocol": "区域性股权市场跨链业务数据模型", "version": "1.0"},
            "content": {
                "type": "note",
                "object_id": "t-1",
                "version": 0,
                "operation": "create",
                "timestamp": 1_770_000_000,
            },
        },
        "body": {},
    }
    config = chain.config("m1")
    assert provnode("submit", "--config", config, stdin=json.dumps(record)).returncode == 0
    heights = []
    for _ in range(2):
        bundle.write_text(provnode("tx", "prove", "t-1", "--config", config).stdout)
        done = provnode("verify", bundle, "--genesis", chain.genesis, "--trust", trust)
        assert done.returncode == 0, done.stdout
        heights.append(json.loads(trust.read_text())["height"])
        assert lines(done)[0]["trusted_height"] == heights[-1] == lines(done)[0]["height"]
        assert provnode("submit", "--config", config, stdin=json.dumps(record)).returncode == 1
        wait = provnode("membership", "list", "--config", config)
        while lines(wait)[0]["height"] <= heights[-1]:
            wait = provnode("membership", "list", "--config", config)
        if len(heights) == 1:
            old.write_bytes(bundle.read_bytes())
    assert heights[0] < heights[1]
    # from the file alone, without a genesis; what is older proves nothing any more
    point = trust.read_bytes()
    done = provnode("verify", bundle, "--genesis", "/no/such", "--trust", trust)
    assert done.returncode == 0 and lines(done)[0]["height"] == heights[-1]
    done = provnode("verify", old, "--trust", trust)
    assert done.returncode == 1 and "which is trusted" in lines(done)[0]["error"]
    bundle.write_text(provnode("tx", "prove", "t-1", "--config", config).stdout)
    forged = json.loads(bundle.read_text())
    forged["header"]["time_ms"] += 1
    bundle.write_text(json.dumps(forged))
    assert provnode("verify", bundle, "--trust", trust).returncode == 1
    assert trust.read_bytes() == point
    trust.write_text("{}")
    assert "trust: missing or unknown keys" in refusal(provnode("verify", bundle, "--trust", trust))
