"""A warm start, measured where it happens: in a new process, whose first training step comes from the disk cache.

``python -m tracegrad.demo.warm float64`` prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import tracegrad as tg
from tracegrad.demo.model import ADAM, example, initial, static


@dataclass(frozen=True, slots=True)
class WarmStart:
    """Seconds of the first step in a new process, of these for loading the program, and programs it compiled."""

    seconds: float
    loading: float
    compiles: int


def measure(dtype: str) -> WarmStart:
    """Take the first training step of this process."""
    params = initial(dtype, 0)
    step = static().step
    began = time.perf_counter()
    step(params, ADAM.init(params), *example(dtype))
    seconds = time.perf_counter() - began
    return WarmStart(seconds, step.stats.seconds["compile"], step.stats.compiles)


def measure_in_new_process(dtype: str) -> WarmStart:
    """Run this module in a new process that uses the same cache folder.

    Raises RuntimeError with what the process printed when it fails.
    """
    command = [sys.executable, "-m", "tracegrad.demo.warm", dtype]
    environment = {**os.environ, "TRACEGRAD_CACHE_DIR": str(tg.config.cache_dir)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"the process that measures the warm start failed:\n{done.stderr}")
    return WarmStart(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1]))))
