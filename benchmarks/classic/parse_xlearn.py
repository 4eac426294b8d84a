"""xLearn's conversion of a text file, in its own environment: prints the processor seconds as JSON.

It converts inside ``fit`` and keeps a binary copy, so: one epoch of a linear model from text, less the same from
the copy. What it takes to read the copy is therefore in xLearn's favour.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def seconds(text: Path, scratch: Path) -> float:
    """Processor seconds of one fit."""
    import xlearn

    model = xlearn.create_linear()
    model.setTrain(str(text))
    start = time.process_time()
    model.fit({"task": "binary", "lr": 0.1, "lambda": 0, "epoch": 1, "nthread": 1}, str(scratch / "model"))
    return time.process_time() - start


def main() -> None:
    """Convert the file named first into the folder named second; print to the file named third."""
    os.environ.setdefault("USER", "benchmark")  # it aborts without a user name
    source, scratch, answer = map(Path, sys.argv[1:4])
    text = scratch / "text"
    text.symlink_to(source)
    with_conversion = seconds(text, scratch)
    answer.write_text(json.dumps(with_conversion - seconds(text, scratch)))


if __name__ == "__main__":
    main()
