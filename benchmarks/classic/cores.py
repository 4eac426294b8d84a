"""How far the cores of this machine are from each other: what two threads that share lines wait for.

    python benchmarks/classic/cores.py [SECONDS]

A line that two threads write in turns goes back and forth between two cores; printed is the time of one way, again
and again for some seconds. On a virtual machine it may change while one looks: the host moves its cores, near each
other (some 30 ns) or far apart (some 170).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { TIMES = 100000 };
static _Alignas(128) atomic_int ball;
static int cores[2];

static void stay_on(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* Player 0 serves even numbers and waits for odd ones; player 1 the other way round. */
static void *play(void *arg) {
  const int player = (int)(long)arg;
  stay_on(cores[player]);
  for (int i = 0; i < TIMES; ++i) {
    while (atomic_load(&ball) != 2 * i + player) {}
    atomic_store(&ball, 2 * i + player + 1);
  }
  return 0;
}

double one_way(int a, int b) {
  pthread_t first, second;
  struct timespec start, end;
  cores[0] = a, cores[1] = b;
  atomic_store(&ball, 0);
  clock_gettime(CLOCK_MONOTONIC, &start);
  pthread_create(&first, 0, play, (void *)0);
  pthread_create(&second, 0, play, (void *)1);
  pthread_join(first, 0);
  pthread_join(second, 0);
  clock_gettime(CLOCK_MONOTONIC, &end);
  return ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / (2.0 * TIMES);
}
"""


def one_way(times: int = 3) -> float | None:
    """Return the nanoseconds of one way between the first two cores that this process may use; None if unknown."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(allowed) < 2:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "cores.c", Path(folder) / "cores.so"
        source.write_text(SOURCE)
        build = ["cc", "-O2", "-pthread", "-shared", "-fPIC", str(source), "-o", str(library)]
        if subprocess.run(build, capture_output=True, check=False).returncode:
            return None
        measure = ctypes.CDLL(str(library)).one_way
        measure.restype = ctypes.c_double
        return min(measure(*allowed[:2]) for _ in range(times))


def nanoseconds() -> str:
    """Say it in words."""
    found = one_way()
    return "an unknown time" if found is None else f"{found:.0f} ns"


def main() -> None:
    """Print it once a second."""
    stop = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    while time.monotonic() < stop:
        print(nanoseconds(), flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main()
