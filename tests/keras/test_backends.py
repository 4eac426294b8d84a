"""The checks in this folder, on every backend that is installed: Keras chooses one when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BACKENDS = ("torch", "jax", "tensorflow")

# Of Keras and what it exports with, not of ours; each by its first words.
OTHERS_WARN = (
    "__array__ implementation doesn't accept a copy keyword",
    "You are using the legacy TorchScript-based ONNX export",
    "The feature will be removed. Please remove usage of this function",
    "Converting a tensor to a Python",
    "torch.as_tensor results are registered as constants",
    "The `native_serialization` parameter is deprecated",
    "In the future `np.object` will be defined",
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_checks_pass_on_the_backend(backend: str, tmp_path: Path) -> None:
    try:
        version("keras")
    except PackageNotFoundError:
        pytest.skip('Keras is not installed: pip install "crossfm[keras]"')
    if find_spec(backend) is None:
        pytest.skip(f"Keras has no {backend} backend here: {backend} is not installed")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(tmp_path),  # not the settings of the person who runs this
        "JAX_ENABLE_X64": "1",  # the naive forms are in 64 bits
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # nearly all the time goes into compiling
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": "1",  # two that spin take longer than one
    }
    checks = sorted(HERE.glob("check_*.py"))
    ignored = [option for words in OTHERS_WARN for option in ("-W", f"ignore:{words}")]
    out = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ignored, *checks],
        cwd=HERE.parents[1],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    assert " passed" in out.stdout


def test_without_keras_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['keras'] = None; import crossfm.keras"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: crossfm.keras needs Keras 3 with a backend" in out.stderr
    assert 'pip install "crossfm[keras]"' in out.stderr
