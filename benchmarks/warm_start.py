"""What a second process pays for its first gradient, beside loading one cached one-line function of Numba's.

    python -m benchmarks.warm_start [--rounds 10]

Both are measured in fresh processes, turn by turn, after ``import tracegrad``, and include importing Numba. Seconds of
processor time, which a busy machine changes less than the clock; the first round fills the caches and does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HEAD = "import time\nimport numpy as np\nimport tracegrad as tg\nbegan = time.process_time()\n"
NUMBA = """
from numba import njit
@njit(cache=True)
def f(x):
    return x + 1.0
f(1.0)
print(time.process_time() - began, sum(f.stats.cache_misses.values()))
"""
GRADIENT = """
@tg.grad_compile
def loss(p):
    return np.sum(np.tanh(1.5 * p + 0.3) ** 2 * np.exp(-p * p))
loss.grad(np.ones(1000))
print(time.process_time() - began, loss.stats.traces + loss.stats.compiles)
"""


def measured(script: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Seconds of one run in a new process, and how much was traced or compiled there."""
    ran = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
    seconds, made = ran.stdout.split()
    return float(seconds), int(made)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TRACEGRAD_CACHE_DIR": f"{folder}/cache"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process compiles Python source again
        scripts = {}
        for name, text in (("one cached njit function", NUMBA), ("first gradient", GRADIENT)):
            scripts[name] = Path(folder) / f"{name.replace(' ', '_')}.py"
            scripts[name].write_text(HEAD + text, encoding="utf-8")
            measured(scripts[name], environment)
        times: dict[str, list[float]] = {name: [] for name in scripts}
        for _ in range(rounds):
            for name, script in scripts.items():
                seconds, made = measured(script, environment)
                if made:
                    raise SystemExit(f"{name}: {made} traced or compiled in a later process")
                times[name].append(seconds)
    for name, found in times.items():
        print(f"{name:26} {min(found):.3f} s at best, median {statistics.median(found):.3f}")
    ours, theirs = times["first gradient"], times["one cached njit function"]
    print(
        f"{'difference':26} {min(ours) - min(theirs):.3f} s, medians {statistics.median(ours) - statistics.median(theirs):.3f}"
    )


if __name__ == "__main__":
    main()
