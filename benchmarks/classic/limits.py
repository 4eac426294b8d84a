"""How far each kernel is from what this machine allows: bytes moved over bandwidth, arithmetic over its rate.

    python benchmarks/classic/limits.py [--rows 1000000] [--factors 0 4 8 16 32] [--rules adagrad adagrad-row]

One thread, processor seconds, best of three, on the made click log of ``data.py``. For each rule and number of
factors: a pass over shuffled rows, the same with all ids falling into 2,000 records that stay in the cache, and
scoring. ``run.py`` asks for the limits alone, of field-aware machines too (``Limits``).

The limits are of the shuffled pass. Arithmetic: operations on floats, counted from ``cpp/record.hpp`` and
``cpp/rules.hpp`` (a multiply-add is two, a reciprocal root with its Newton step seven), over the rate of a matrix
product.
Memory: the ids, and the lines of every record visited but for those of the most frequent ids, as many as fit
in 1 MB of cache, read and written, over the bandwidth of copying random lines.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: the rate of one thread
import numpy as np

import data
from crossfm.core.losses import find_loss
from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import Rule, find_rule
from crossfm.data.rows import Rows
from crossfm.kernels.ffm import record_floats
from crossfm.kernels.fm import isa, scores, train_pass
from crossfm.kernels.table import Table

IN_CACHE = 2000  # records that the second-level cache holds
CACHE = 2**20  # bytes
LINE = 64
FORWARD = 3  # operations a weight: add, square, add
UPDATE = {"sgd": 6, "adagrad": 16, "adagrad-row": 10, "adam": 18, "ftrl": 22}


def seconds(work: Callable[[], object]) -> float:
    """Best processor time of three runs."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def flops() -> float:
    """Float32 operations a second of a matrix product."""
    a = np.ones((1024, 1024), np.float32)
    return 2 * 1024**3 / seconds(lambda: a @ a)


def bandwidth(record: int = LINE) -> float:
    """Bytes a second of copying random records of so many bytes: each read once, and written once elsewhere."""
    table = np.ones((2**27 // record, record // 4), np.float32)
    chosen = np.random.default_rng(0).integers(0, len(table), 2**26 // record)
    out = np.empty((len(chosen), record // 4), np.float32)
    return 2 * out.nbytes / seconds(lambda: np.take(table, chosen, axis=0, out=out, mode="clip"))


def moved_bytes(ids: np.ndarray, record: int) -> float:
    """Bytes between memory and cache: ids, and records outside the cache, read and written."""
    often = np.sort(np.bincount(ids))[::-1]
    cold = often[CACHE // record :].sum()
    return ids.nbytes + 2.0 * LINE * -(-record // LINE) * float(cold)


class Limits:
    """Least seconds of a pass over ``ids`` (n_rows, n_fields) that one thread of this machine allows."""

    def __init__(self, ids: np.ndarray) -> None:
        self.shape = ids.shape
        self.ids = ids.ravel()
        self.rate = flops()
        self.bandwidths: dict[int, float] = {}

    def of(self, machine: str, rule: str, k: int, precision: str = "float32") -> tuple[float, float]:
        """Seconds of moving bytes and of arithmetic, for "fm", "linear" (``k`` is 0) or "ffm"."""
        record, operations = (self._ffm if machine == "ffm" else self._fm)(find_rule(rule, precision), k)
        lines = LINE * -(-record // LINE)
        rate = self.bandwidths.setdefault(lines, bandwidth(lines))
        return moved_bytes(self.ids, record) / rate, self.shape[0] * operations / self.rate

    def _fm(self, rule: Rule, k: int) -> tuple[int, float]:
        """Bytes of a record, and operations a row."""
        table = Table.start(FMParams.start(1, k, np.random.default_rng(0)), rule, Hyper(learning_rate=1.0))
        weights = max(table.padded, k) + 1
        return table.data.strides[0], self.shape[1] * weights * (FORWARD + UPDATE[rule.name])

    def _ffm(self, rule: Rule, k: int) -> tuple[int, float]:
        """Two vectors a pair of fields: a product of k terms, a gradient and an update for each weight."""
        fields = self.shape[1]
        pairs = fields * (fields - 1) / 2
        operations = pairs * (2 * k + 2 * k * (1 + UPDATE[rule.name])) + fields * (1 + UPDATE[rule.name])
        return 4 * record_floats(fields, k, rule), operations


def main() -> None:
    """Print times and limits for each rule and number of factors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--factors", type=int, nargs="+", default=[0, 4, 8, 16, 32])
    parser.add_argument("--rules", nargs="+", default=["adagrad", "adagrad-row"], choices=UPDATE)
    given = parser.parse_args()
    log = np.load(data.make(given.rows, max(given.rows // 10, 1)) / "train.npz")
    ids, y = log["ids"].ravel().astype(np.uint32), log["y"].astype(np.float64)
    far = Rows(ids, data.N_IDS, width=len(ids) // len(y), target=y)
    near = Rows(ids % np.uint32(IN_CACHE), IN_CACHE, width=far.width, target=y)
    order = np.random.default_rng(0).permutation(len(y))
    loss, hyper = find_loss("logistic"), Hyper(learning_rate=0.03)
    rate, line_rate = flops(), bandwidth()
    print(
        f"{isa()}; {rate / 1e9:.0f} G float operations and {line_rate / 1e9:.1f} GB of random lines a second; "
        f"{len(y)} rows of {far.width}; processor seconds"
    )
    print("| rule | k | pass | in cache | scoring | memory limit | arithmetic limit | pass / larger limit |")
    print("|---|---|---|---|---|---|---|---|")
    for rule in given.rules:
        for k in given.factors:
            times = []
            for rows in (far, near):
                start = FMParams.start(rows.n_features, k, np.random.default_rng(0))
                table = Table.start(start, find_rule(rule), hyper)
                times.append(seconds(lambda r=rows, t=table: train_pass(r, order, t, loss, hyper)))
                if rows is far:
                    scoring = seconds(lambda t=table: scores(far, t))
                    memory = moved_bytes(ids, table.data.strides[0]) / line_rate
            arithmetic = len(ids) * (max(table.padded, k) + 1) * (FORWARD + UPDATE[rule]) / rate
            print(
                f"| {rule} | {k} | {times[0]:.3f} | {times[1]:.3f} | {scoring:.3f} | {memory:.3f} "
                f"| {arithmetic:.3f} | {times[0] / max(memory, arithmetic):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
