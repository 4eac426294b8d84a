"""Following a file that grows, is rotated, truncated or gone for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossfm.data import tail as tail_module
from crossfm.data.tail import Position, Tail
from crossfm.errors import DataError, MissingFileError


@pytest.fixture
def opened() -> Iterator[Any]:
    """``Tail``, closed after the test."""
    tails: list[Tail] = []

    def make(*args: Any, **options: Any) -> Tail:
        tails.append(Tail(*args, **options))
        return tails[-1]

    yield make
    for tail in tails:
        tail.close()


def append(path: Path, text: str) -> None:
    with path.open("a", newline="") as file:
        file.write(text)


def test_complete_lines_come_as_they_are_written(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\r\n\nhal")
    tail = opened(path)
    assert tail.read(2) == [b"a", b"b"]
    assert tail.read(5) == [b""]
    assert tail.read(5) == []
    append(path, "f")
    assert tail.read(5) == []
    append(path, "\nc\n")
    assert tail.read(5) == [b"half", b"c"]
    assert tail.offset == path.stat().st_size


def test_a_position_goes_on_where_it_was(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {i}\n" for i in range(2000)))  # more than the bytes it is known by
    for n in (0, 1, 1999, 2000):
        first = opened(path)
        read = first.read(n) if n else []
        told: list[str] = []
        again = opened(path, first.position, tell=told.append)
        assert [*read, *again.read(5000)] == path.read_bytes().splitlines()
        assert told == []


def test_another_file_at_the_path_is_read_from_its_beginning(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("a\nb\n")
    tail = opened(path)
    tail.read(2)
    for text in ("x\nb\nc\n", "a\n"):
        path.write_text(text)
        told: list[str] = []
        assert opened(path, tail.position, tell=told.append).read(9) == text.encode().split()
        assert "is not the file it was" in told[0]


def test_the_end_is_behind_the_last_complete_line(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "CHUNK", 4)
    path = tmp_path / "log"
    for text in ("", "long without an end", "a\nb\nlong without an end", "a\n"):
        path.write_text(text)
        tail = opened(path, "end")
        begin = text.rfind("\n") + 1
        assert tail.offset == begin
        append(path, "!\n")
        assert tail.read(9) == [text[begin:].encode() + b"!"]
        assert opened(path, tail.position).read(9) == []


@pytest.mark.parametrize("last", ["", "last line without an end"])
def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(
    opened: Any, tmp_path: Path, last: str
) -> None:
    path = tmp_path / "log"
    path.write_text("a\nb\n")
    told: list[str] = []
    tail = opened(path, tell=told.append)
    assert tail.read(1) == [b"a"]
    path.rename(tmp_path / "log.1")
    append(tmp_path / "log.1", "c\n" + last)
    assert tail.read(9) == [b"b", b"c"]
    assert tail.read(9) == []  # there is no new one yet
    path.write_text("new\n")
    expected = [last.encode()] if last else [b"new"]
    assert tail.read(9) == expected
    assert [*expected, *tail.read(9)][-1] == b"new"
    assert len(told) == 1
    assert "was replaced" in told[0]
    assert tail.offset == 4


@pytest.mark.parametrize("anew", ["", "x\n", "xx\nyy\nzz\nmore than before\n"])
def test_a_truncated_file_is_read_from_its_beginning(opened: Any, tmp_path: Path, anew: str) -> None:
    path = tmp_path / "log"
    path.write_text("aa\nbb\ncc\n")
    told: list[str] = []
    tail = opened(path, tell=told.append)
    tail.read(2)
    path.write_text(anew)  # the same inode
    assert tail.read(9) == anew.encode().splitlines()
    assert len(told) == 1
    assert "truncated" in told[0]
    append(path, "later\n")
    assert tail.read(9) == [b"later"]


def test_the_header_of_each_file_is_kept_apart(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbfuser,")
    tail = opened(path, header=True)
    assert tail.read(9) == []
    append(path, "item\r\n1,2\n3,4\n")
    assert tail.read(1) == [b"1,2"]
    assert tail.header == b"user,item"
    again = opened(path, tail.position, header=True)
    assert again.read(9) == [b"3,4"]
    assert again.header == b"user,item"
    path.rename(tmp_path / "old")
    path.write_text("item,user\n5,6\n")
    assert tail.read(9) == [b"3,4"]
    assert tail.read(9) == [b"5,6"]
    assert tail.header == b"item,user"
    at_end = opened(path, "end", header=True)
    append(path, "7,8\n")
    assert at_end.read(9) == [b"7,8"]
    assert at_end.header == b"item,user"


def test_a_byte_order_mark_is_no_part_of_the_first_line(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xef\xbb\xbf1 2:1\n0 3:1\n")
    tail = opened(path)
    assert tail.read(1) == [b"1 2:1"]
    assert tail.read(1) == [b"0 3:1"]
    assert tail.offset == path.stat().st_size


def test_lines_longer_than_a_chunk_are_whole(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "CHUNK", 3)
    path = tmp_path / "log"
    path.write_text("1234567890\n12\n\n123456\n")
    tail = opened(path)
    assert tail.read(3) == [b"1234567890", b"12", b""]
    assert tail.line_number(tail.offset) == 4
    assert tail.lines_at == 0
    assert tail.read(3) == [b"123456"]
    monkeypatch.setattr(tail_module, "MAX_LINE", 5)
    path.write_text("1234567890123")
    with pytest.raises(DataError, match="without a line end"):
        tail.read(1)


def test_a_file_that_goes_away_is_waited_for_and_one_that_never_was_is_an_error(
    opened: Any, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    with pytest.raises(MissingFileError, match="no file"):
        opened(path)
    path.write_text("a\n")
    tail = opened(path)
    os.unlink(path)
    assert tail.read(9) == [b"a"]
    assert tail.read(9) == []
    path.write_text("b\n")
    assert tail.read(9) == [b"b"]
    tail.close()


def test_a_position_at_the_start_knows_no_bytes(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("a\n")
    place = opened(path).position
    assert place.offset == 0
    path.write_text("b\n")
    assert opened(path, Position(0, place.head)).read(9) == [b"b"]
