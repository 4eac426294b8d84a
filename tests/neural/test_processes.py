"""Several processes, as ``torchrun`` starts them, train one network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).with_name("two_processes.py")


def test_two_processes_learn_what_one_does_and_agree_bit_for_bit(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command in ([sys.executable], both):
        subprocess.run(
            [*command, str(SCRIPT), str(tmp_path)], check=True, env=environment, capture_output=True
        )
    alone, first, second = (np.load(tmp_path / f"{name}.npz") for name in ("alone", "0", "1"))
    for name in alone:
        assert first[name].tobytes() == second[name].tobytes(), name
        np.testing.assert_allclose(first[name], alone[name], rtol=1e-4, atol=1e-6, err_msg=name)
