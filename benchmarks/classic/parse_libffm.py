"""libffm's conversion of a text file, in the environment of pylibffm: prints the processor seconds as JSON.

The package takes matrices, but its extension carries libffm's own ``ffm_read_problem_to_disk``; it is called with
two C++ strings (GNU layout: pointer, length, capacity), passed by address as their class demands.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
import time
from pathlib import Path

STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
SYMBOL = f"_ZN3ffm24ffm_read_problem_to_diskE{STRING}S5_"


class String(ctypes.Structure):
    """A std::string that points to characters of ours."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t * 2))

    @classmethod
    def of(cls, text: str) -> String:
        encoded = text.encode()
        return cls(encoded, len(encoded), (ctypes.c_size_t * 2)(len(encoded), 0))


def main() -> None:
    """Convert the file named first into the folder named second; print to the file named third."""
    source, scratch, answer = map(Path, sys.argv[1:4])
    extension = importlib.util.find_spec("pylibffm.wrapper")
    convert = getattr(ctypes.CDLL(extension.origin), SYMBOL)
    convert.restype = None
    strings = [String.of(str(path)) for path in (source, scratch / "binary")]
    start = time.process_time()
    convert(*(ctypes.byref(string) for string in strings))
    answer.write_text(json.dumps(time.process_time() - start))
    assert (scratch / "binary").stat().st_size > source.stat().st_size / 4


if __name__ == "__main__":
    main()
