"""The script really run here, and its answer read: plain, cut, twisted, and by a host that lies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provchain.audit import answer, looks
from provchain.audit.answer import AnswerError, matches, parse
from provchain.audit.looks import Look, plan, script
from provchain.baseline.facts import Output, Probe, Status, attributes, command, file

NONCE = "0123456789abcdef0123456789abcdef"
HEX = NONCE.encode()


def run(probes: Iterable[Probe], limit: int = looks.MOST_BYTES) -> dict[str, Output]:
    """What this machine answers."""
    asked = plan(probes)
    text = script(asked, NONCE).replace(f"head -c {looks.MOST_BYTES}", f"head -c {limit}")
    done = subprocess.run(["/bin/sh", "-s"], input=text.encode(), capture_output=True, timeout=60, check=True)
    return parse(asked, NONCE, done.stdout, done.stderr)


def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("first\n\nlast, without an end")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("one")
    (tmp_path / "dir").mkdir()
    t = str(tmp_path)
    seen = run(
        [
            *(file(f"{t}/{name}") for name in ("one", "empty", "none", "link", "dir")),
            *(attributes(f"{t}/{name}") for name in ("one", "link", "none")),
            file("/proc/sys/kernel/ostype"),
            file("/dev/zero"),
            command("/bin/echo", "a 'b' \"c\" $d `e` * ; exit"),
            command("/bin/nosuch"),
            command("/bin/false"),
            file(f"{t}/none/deeper"),
        ]
    )
    assert seen[f"file:{t}/one"] == Output(Status.SEEN, 0, "first\n\nlast, without an end\n")
    assert seen[f"file:{t}/link"].text == seen[f"file:{t}/one"].text
    assert seen[f"file:{t}/empty"] == Output(Status.SEEN)
    assert seen[f"file:{t}/none"].status == seen[f"file:{t}/none/deeper"].status == Status.MISSING
    assert seen[f"file:{t}/dir"].status == seen["file:/dev/zero"].status == Status.DENIED
    assert seen["file:/proc/sys/kernel/ostype"].text == "Linux\n"
    fields = seen[f"stat:{t}/one"].text.split("|")
    assert fields[0] == "regular file"
    assert fields[6] == f"{t}/one\n"
    assert seen[f"stat:{t}/link"].text.startswith("symbolic link|")
    assert seen[f"stat:{t}/none"].status == Status.MISSING
    assert seen["run:/bin/echo a 'b' \"c\" $d `e` * ; exit"].text == "a 'b' \"c\" $d `e` * ; exit\n"
    assert seen["run:/bin/nosuch"].status == Status.MISSING
    assert seen["run:/bin/false"] == Output(Status.SEEN, 1)


def test_a_pattern_gives_the_list_and_each(tmp_path: Path) -> None:
    for name, text in (("b.conf", "B\n"), ("a.conf", "A\n"), (".hidden.conf", "H\n"), ("c.txt", "C\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.conf").write_text("D\n")
    t = str(tmp_path)
    seen = run([file(f"{t}/*.conf"), attributes(f"{t}/*"), file(f"{t}/none/*"), file(f"{t}/*/d.conf")])
    assert seen[f"file:{t}/*.conf"].text == f"{t}/a.conf\n{t}/b.conf\n"
    assert (seen[f"file:{t}/a.conf"].text, seen[f"file:{t}/b.conf"].text) == ("A\n", "B\n")
    assert f"file:{t}/.hidden.conf" not in seen
    assert len(seen[f"stat:{t}/*"].text.splitlines()) == 4
    assert seen[f"stat:{t}/sub"].text.startswith("directory|")
    assert seen[f"file:{t}/none/*"].status == Status.MISSING
    assert seen[f"file:{t}/*/d.conf"].text == f"{t}/sub/d.conf\n"


def test_what_hangs_or_lies_in_place_of_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "nul").write_bytes(b"a\0b\xff\n" * 3)
    forged = f"\n{NONCE} e 0\n\n{tmp_path}/nul\0forged\n"
    (tmp_path / "forged").write_text(forged.replace(NONCE, "0" * 32))
    t = str(tmp_path)
    seen = run([file(f"{t}/{name}") for name in ("fifo", "zero", "nul", "forged")] + [file(f"{t}/*")])
    assert seen[f"file:{t}/fifo"].status == seen[f"file:{t}/zero"].status == Status.DENIED
    assert seen[f"file:{t}/nul"].text == "a\0b\ufffd\n" * 3, "no file's content passes for another's"
    assert seen[f"file:{t}/forged"].text == (tmp_path / "forged").read_text()


def test_no_line_of_a_file_passes_for_what_a_path_is(tmp_path: Path) -> None:
    t = str(tmp_path)
    (tmp_path / "victim").write_text("v\n")
    forged = "".join(f"{mark}regular file|777|daemon|daemon|2|1|'{t}/victim'\n" for mark in ("", "="))
    (tmp_path / "z").write_text(forged)
    for probes in ([attributes(f"{t}/victim"), file(f"{t}/*")], [attributes(f"{t}/*"), file(f"{t}/z")]):
        seen = run(probes)
        assert seen[f"stat:{t}/victim"].text.split("|")[1:4] == ["644", "root", "root"]
        assert seen[f"file:{t}/z"].text == forged


def test_a_name_that_holds_a_line_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a\nregular file|644|root|root|1|1|'x'").touch()
    t = str(tmp_path)
    seen = run([attributes(f"{t}/*"), file(f"{t}/*")])
    assert seen[f"stat:{t}/*"].status == seen[f"file:{t}/*"].status == Status.DENIED
    assert set(seen) == {f"stat:{t}/*", f"file:{t}/*"}


def test_too_much_is_cut_and_spoils_only_what_comes_after_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a\n")
    (tmp_path / "b").write_text("b" * 5_000 + "\n")
    (tmp_path / "c").write_text("c\n")
    t = str(tmp_path)
    probes = [
        *(file(f"{t}/{name}") for name in "abc"),
        attributes(f"{t}/a"),
        command("/usr/bin/yes", last=True),
        command("/usr/bin/zdump", "UTC", last=True),
        command("/usr/bin/printf", "x"),
    ]
    seen = run(probes, limit=2_000)
    assert seen[f"file:{t}/a"].text == "a\n"
    assert {seen[f"file:{t}/{name}"].status for name in "bc"} == {Status.TRUNCATED}
    assert seen["run:/usr/bin/yes"].status == seen["run:/usr/bin/zdump UTC"].status == Status.TRUNCATED
    assert seen["run:/usr/bin/printf x"].text == "x"
    assert seen[f"stat:{t}/a"].status == Status.SEEN


def test_what_prints_a_nul_spoils_only_what_comes_after_it() -> None:
    """No text has one: it could be meant to pass for the mark of another command's end."""
    for words in (r"a\0y\0b", r"a\0", r"\0y\0n\0y\0n\0y"):
        seen = run([command("/bin/echo", "1"), command("/usr/bin/printf", words), command("/usr/bin/test")])
        assert seen["run:/bin/echo 1"].status in (Status.SEEN, Status.DENIED)
        assert seen[f"run:/usr/bin/printf {words}"].status in (Status.SEEN, Status.DENIED)
        assert seen["run:/usr/bin/test"].status == Status.DENIED, "it fails, and nothing may hide that"


def test_of_what_a_command_was_killed_at_the_end_is_not_believed() -> None:
    asked = plan([command("/bin/a"), command("/bin/b")])
    for out, statuses in (
        (b"A\0y\0B\0n\0", (Status.SEEN, Status.SEEN)),
        (b"A\0y\0B\0n", (Status.SEEN, Status.TIMEOUT)),
        (b"A\0y\0B", (Status.SEEN, Status.TIMEOUT)),
        (b"A\0y", (Status.TIMEOUT, Status.TIMEOUT)),
        (b"A\0x\0B\0y\0", (Status.TIMEOUT, Status.TIMEOUT)),
        (b"", (Status.TIMEOUT, Status.TIMEOUT)),
    ):
        told = parse(asked, NONCE, frame(0, out, 124) + END, b"")
        assert (told["run:/bin/a"].status, told["run:/bin/b"].status) == statuses


def test_a_file_of_too_many_lines_is_cut(tmp_path: Path) -> None:
    for count, status in ((looks.MOST_LINES - 1, Status.SEEN), (looks.MOST_LINES, Status.TRUNCATED)):
        (tmp_path / "lines").write_text("\n" * count)
        assert run([file(f"{tmp_path}/lines")])[f"file:{tmp_path}/lines"].status == status


@pytest.mark.parametrize("gone", ["find", "stat", "grep"])
def test_a_host_without_our_tools_is_unknown_not_empty(gone: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a\n")
    t = str(tmp_path)
    probes = [
        file(f"{t}/a"),
        attributes(f"{t}/a"),
        file(f"{t}/*"),
        attributes(f"{t}/*"),
        command("/bin/echo"),
    ]
    names = {f"/usr/bin/{gone}": f"{t}/none", f"/bin/{gone}": f"{t}/none"}
    asked = [replace(look, argv=tuple(names.get(word, word) for word in look.argv)) for look in plan(probes)]
    text = script(asked, NONCE)
    done = subprocess.run(["/bin/sh", "-s"], input=text.encode(), capture_output=True, timeout=60, check=True)
    told = parse(asked, NONCE, done.stdout, done.stderr)
    assert set(told) >= {probe.id for probe in probes}
    lost = {"find": 5, "stat": 4, "grep": 3}[gone]
    unseen = [one for one in told.values() if one.status != Status.SEEN]
    assert {one.status for one in unseen} == {Status.DENIED}
    assert len(unseen) == lost


def test_half_of_a_file_is_not_taken_for_the_whole() -> None:
    asked = plan([file("/etc/a"), file("/proc/b")])
    sizes = b"=regular file|644|root|root|6|1|'/etc/a'\n=regular empty file|444|root|root|0|1|'/proc/b'\n"
    for text, statuses in (
        (frame(0, sizes + b"/etc/a\0a\n/etc/a\0bc\n/proc/b\0x\n"), (Status.TRUNCATED, Status.SEEN)),
        (frame(0, sizes + b"/etc/a\0a\n/etc/a\0bcd\n/proc/b\0x\n"), (Status.SEEN, Status.SEEN)),
        (frame(0, sizes + b"/etc/a\0a\n/etc/a\0bcd\n/proc/b\0x\n", 124), (Status.SEEN, Status.TIMEOUT)),
        (
            b"\n%s b 0\n%s/etc/a\0a\n/etc/a\0bcd\n/proc/b\0x" % (HEX, sizes),
            (Status.SEEN, Status.TRUNCATED),
        ),
    ):
        told = parse(asked, NONCE, text, b"")
        assert (told["file:/etc/a"].status, told["file:/proc/b"].status) == statuses


def test_what_hangs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "SECONDS", 1)
    probes = [
        command("/bin/sleep", "60"),
        command("/bin/echo", "x"),
        command("/bin/true"),
        file("/etc/passwd"),
    ]
    seen = run(probes)
    assert seen["run:/bin/sleep 60"].status == Status.TIMEOUT
    assert seen["run:/bin/true"].status == Status.TIMEOUT, "what was to come after it was not looked at"
    assert seen["run:/bin/echo x"].text == "x\n"
    assert seen["file:/etc/passwd"].status == Status.SEEN


ASKED = plan([file("/etc/a"), attributes("/etc/b"), file("/etc/c/*"), command("/bin/d", root=True)])


def frame(number: int, out: bytes, code: int = 0) -> bytes:
    return b"\n%s b %d\n%s\n%s e %d\n" % (HEX, number, out, HEX, code)


END = b"\n%s z\n" % HEX


def test_an_answer_to_something_else_is_refused() -> None:
    for told in (
        b"",
        b"Welcome\nto a shell that knows no sh\n",
        frame(len(ASKED), b"x") + END,
        frame(1, b"") + frame(0, b"") + END,
        frame(0, b"") + frame(0, b"") + END,
        frame(0, b"") + b"\n%s e 0\n" % HEX + END,
        frame(0, b"") + END + frame(1, b""),
    ):
        with pytest.raises(AnswerError):
            parse(ASKED, NONCE, told, b"")
    assert parse(ASKED, NONCE, b"Banner without end" + END, b"") == {}


def test_missing_frames_are_unknown() -> None:
    told = parse(ASKED, NONCE, frame(0, b"x") + END, b"")
    assert set(told) == {"stat:/etc/b", "file:/etc/a", "file:/etc/c/*"}, "and nothing of the command"
    assert {one.status for one in told.values()} == {Status.DENIED}


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required\n",
        "Sorry, user auditor is not allowed to execute '/bin/d' as root on h1.\n",
        "lecture\nauditor is not in the sudoers file.\n",
        "/bin/sh: 1: /usr/bin/sudo: not found\n",
    ],
)
def test_what_sudo_refuses_is_denied(said: str) -> None:
    number = next(n for n, look in enumerate(ASKED) if look.root)
    error = b"\n%s b %d\n%s" % (HEX, number, said.encode())
    told = parse(ASKED, NONCE, frame(number, b"", 1) + END, error)
    assert told["run:/bin/d"].status == Status.DENIED
    seen = parse(ASKED, NONCE, frame(number, b"\0n\0") + END, b"")
    assert seen["run:/bin/d"] == Output(Status.SEEN, 1)


_PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"\n", b"\0", b"|", b"'", HEX, b"\n%s b " % HEX, b"\n%s e 0\n" % HEX, END, b"/etc/a", b"/etc/c/x"]
    ),
    st.integers(-5, 70_000).map(lambda n: b"%d\n" % n),
    st.integers(0, len(ASKED)).map(lambda n: b"\n%s b %d\n" % (HEX, n)),
    st.sampled_from(
        [
            b"regular file|644|root|root|3|1|'/etc/b'\n",
            b"=regular file|644|root|root|3|1|'/etc/a'\n",
            b"=regular file|644|root|root|99999999999999999999999|1|'/etc/a'\n",
            b"fifo|644|root|root|3|1|'/etc/c/x' -> '/y'\n",
            "regular file|٤|ü|r|٣|1|'/etc/c/x'\n".encode(),
            b"/etc/a\0text\n",
            b"text\0y\0",
            b"grep: /etc/a: Permission denied\n",
            b"find: '/bin/d': No such file or directory\n",
        ]
    ),
)


@given(st.lists(_PIECES, max_size=30).map(b"".join), st.lists(_PIECES, max_size=12).map(b"".join))
def test_whatever_a_host_says_is_read_or_refused(out: bytes, err: bytes) -> None:
    allowed = {probe.id for look in ASKED for probe in look.probes}
    try:
        told = parse(ASKED, NONCE, out, err)
    except AnswerError as error:
        assert str(error).isprintable()
        assert len(str(error)) <= answer.MOST_REASON
        return
    for probe, output in told.items():
        assert probe in allowed or matches(probe.partition(":")[2], "/etc/c/*")
        assert output.status in Status


_NAMES = st.text("a.\n[", max_size=3)
_WORDS = st.text("a.*+", max_size=3)


@settings(max_examples=400)
@given(st.lists(_NAMES, min_size=1, max_size=2), st.lists(_WORDS, min_size=1, max_size=2))
def test_a_pattern_means_what_it_means_to_a_shell(names: list[str], words: list[str]) -> None:
    """Name by name, as fnmatch(3) has it with FNM_PERIOD; a ``*`` never reaches into another folder."""
    expected = len(names) == len(words) and all(
        fnmatchcase(name, word) and (not name.startswith(".") or word.startswith("."))
        for name, word in zip(names, words, strict=True)
    )
    assert matches("/" + "/".join(names), "/" + "/".join(words)) == expected


@given(st.data())
def test_frames_come_back_as_they_were_sent(data: st.DataObject) -> None:
    asked: tuple[Look, ...] = plan(command(f"/bin/c{n}", root=n > 2) for n in range(6))
    sent, expected = b"", {}
    for number, look in enumerate(asked):
        out = b""
        for probe in look.probes:
            text = data.draw(st.binary(max_size=80)).replace(b"\0", b"")
            failed = data.draw(st.booleans())
            out += text + (b"\0n\0" if failed else b"\0y\0")
            expected[probe.id] = Output(Status.SEEN, int(failed), text.decode("utf-8", "replace"))
        sent += frame(number, out)
    assert parse(asked, NONCE, data.draw(st.binary(max_size=40)) + sent + END, b"") == expected
