"""What a network takes to be loaded and to score."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from crossfm import NFMClassifier

SCORES = """
import sys
import numpy as np
from crossfm import load
print(load(sys.argv[1]).predict(np.eye(4)).shape)
assert "torch" in sys.modules
assert "torch._dynamo" not in sys.modules, "PyTorch's compiler was loaded: 4 seconds and 100 MB"
"""


def test_a_network_that_only_scores_loads_no_compiler(tmp_path: Path) -> None:
    NFMClassifier(2, hidden=(2,), max_iter=1, random_state=0).fit(np.eye(4), [0, 1, 0, 1]).save(
        tmp_path / "m"
    )
    done = subprocess.run([sys.executable, "-c", SCORES, str(tmp_path / "m")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(4,)\n"
