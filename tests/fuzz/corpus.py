"""The fuzzer's cases, packed in one readable file: a Python bytes literal a line.

python tests/fuzz/corpus.py unpack FOLDER     one file a case, as the fuzzer wants them
python tests/fuzz/corpus.py pack FOLDER       back again
"""

from __future__ import annotations

import ast
import hashlib
import sys
from pathlib import Path

PACKED = Path(__file__).with_name("text_corpus.txt")


def cases() -> list[bytes]:
    """Return all packed cases."""
    return [ast.literal_eval(line) for line in PACKED.read_text().splitlines()]


def unpack(folder: Path) -> None:
    """Write each case to a file named by its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases():
        (folder / hashlib.sha1(case).hexdigest()).write_bytes(case)


def pack(folder: Path) -> None:
    """Pack the files of ``folder``, shortest first."""
    found = {path.read_bytes() for path in folder.iterdir()}
    PACKED.write_text("".join(f"{case!r}\n" for case in sorted(found, key=lambda c: (len(c), c))))


if __name__ == "__main__":
    {"unpack": unpack, "pack": pack}[sys.argv[1]](Path(sys.argv[2]))
