"""The cache folder as processes see it: cold, warm, raced for, and chosen by the user."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import tracegrad as tg

PROGRAM = """
import json, sys
import numpy as np
from numba.core import event
import tracegrad as tg

tg.config.cache_dir = sys.argv[1]

@tg.grad_compile
def loss(params, x, y):
    hidden = tg.functional.relu(tg.functional.conv2d(x, params["conv"], params["bias"], padding=1))
    pooled = tg.functional.max_pool2d(hidden, 2)
    logits = np.reshape(pooled, (len(x), -1)) @ params["dense"]
    return tg.functional.cross_entropy(logits, y)

rule = tg.optim.adam(0.01)

@tg.jit
def step(params, state, x, y):
    value, grads = loss.value_and_grad(params, x, y)
    params, state = rule.update(grads, state, params)
    return params, state, value

rng = np.random.default_rng(0)
params = {
    "conv": rng.normal(size=(2, 1, 3, 3)),
    "bias": np.zeros(2),
    "dense": rng.normal(size=(8, 3)),
}
x, y = rng.normal(size=(5, 1, 4, 4)), np.array([0, 1, 2, 1, 0])
with event.install_recorder("numba:compile") as recorder:
    value = loss(params, x, y)
    gradient = loss.grad(params, x, y)
    both = loss.value_and_grad(params, x, y)
    params, state, last = step(params, rule.init(params), x, y)
print(json.dumps({
    "compiles": sum(e.is_start for _, e in recorder.buffer),
    "traces": [loss.stats.traces, step.stats.traces],
    "stats": [loss.stats.compiles, loss.stats.cache_hits, step.stats.compiles, step.stats.cache_hits],
    "value": [value, both[0], last],
    "gradient": [gradient[k].ravel().tolist() for k in sorted(gradient)],
    "params": [params[k].ravel().tolist() for k in sorted(params)],
}))
"""


def start(folder, program=PROGRAM, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """Two processes that started on the same cold folder, and the folder."""
    folder = tmp_path_factory.mktemp("raced") / "cache"
    racers = [start(folder), start(folder)]
    return [finish(racer) for racer in racers], folder


RESULTS = ("value", "gradient", "params")


def test_processes_that_race_for_a_cold_folder_agree(raced):
    (first, second), folder = raced
    assert [first[k] for k in RESULTS] == [second[k] for k in RESULTS]
    assert first["compiles"] + second["compiles"] > 0
    # each of the four programs was compiled by one of them, the other loaded it
    assert first["stats"][0] + second["stats"][0] == 3
    assert first["stats"][2] + second["stats"][2] == 1
    assert len(list(folder.glob("p_*.py"))) == 4


def test_a_later_process_neither_traces_nor_compiles(raced):
    (first, _), folder = raced
    later = finish(start(folder))
    assert later["compiles"] == 0
    assert first["traces"] != [0, 0]
    assert later["traces"] == [0, 0]
    assert later["stats"] == [0, 3, 0, 1]
    assert [later[k] for k in RESULTS] == [first[k] for k in RESULTS]


def test_the_folder_is_the_one_that_is_set(tmp_path):
    compiled = tg.grad_compile(lambda x: np.sum(x * x - 0.4375 * x))
    with tg.config.override(cache_dir=tmp_path / "mine"):
        compiled.grad(np.ones(3))
    (source,) = (tmp_path / "mine").glob("p_*.py")
    assert str(source) in compiled.explain(np.ones(3)) or str(source) in compiled.grad.explain(np.ones(3))
    assert "def run_" in source.read_text()


TYPED = """
import code, json, os, sys
import numpy as np
from numba.core import event
import tracegrad as tg

tg.config.cache_dir = sys.argv[1]
space = {"__name__": "__main__"}
console = code.InteractiveConsole(space, filename="<stdin>")
LINES = '''import numpy as np
import tracegrad as tg
def helper(x):
    return np.tanh(x) * scale

scale = 1.5
@tg.grad_compile
def typed(x):
    return np.sum(helper(x) ** 2)

square = tg.grad_compile(lambda x: np.sum(x * x))
def power(n):
    return tg.grad_compile(lambda x: np.sum(x ** n))

cube = power(3)
'''
for line in LINES.splitlines():
    console.push(line)
# a cell of a notebook, whose file has the number of the process in its name
cell = "@tg.grad_compile\\ndef told(x):\\n    return np.sum(np.exp(-x) * scale)\\n"
exec(compile(cell, f"/tmp/ipykernel_{os.getpid()}/123.py", "exec"), space)
exec("@tg.grad_compile\\ndef run(x):\\n    return np.sum(np.sin(x))\\n", space)
x = np.array([0.5, -1.0, 2.0])
functions = [space[name] for name in ("typed", "square", "cube", "told", "run")]
with event.install_recorder("numba:compile") as recorder:
    values = [function.grad(x).tolist() for function in functions]
print(json.dumps({
    "values": values,
    "traces": [function.stats.traces for function in functions],
    "compiles": sum(e.is_start for _, e in recorder.buffer),
}))
"""


def test_what_is_typed_in_is_found_again(tmp_path):
    first = finish(start(tmp_path / "cache", TYPED))
    assert first["traces"] == [1] * 5
    assert first["compiles"] > 0
    later = finish(start(tmp_path / "cache", TYPED))
    assert later == {"values": first["values"], "traces": [0] * 5, "compiles": 0}


RACE = """
import json, os, sys, tempfile, time
from pathlib import Path
import numba
import numpy as np
import tracegrad as tg

folder, rounds, racers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def run(cache, number, begin):
    # a number in the program, so that no two rounds share their code
    f = tg.grad_compile(lambda x: np.sum(np.tanh(x) ** 2 * np.exp(-x) + x[::-1] * (1.5 + number)))
    tg.config.cache_dir = cache
    time.sleep(max(begin - time.monotonic(), 0.0))
    value, gradient = f.value_and_grad(np.linspace(-2.0, 2.0, 1001))
    return value.tobytes().hex() + gradient.tobytes().hex()

different, failed = 0, 0
for number in range(rounds):
    cache, begin, pipes = folder / f"cache{number}", time.monotonic() + 0.2, []
    for _ in range(racers):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            text = "failed"
            try:
                text = run(cache, number, begin)
            finally:
                with os.fdopen(writer, "w") as file:
                    file.write(text)
                os._exit(0)
        os.close(writer)
        pipes.append((child, reader))
    results = []
    for child, reader in pipes:
        with os.fdopen(reader) as file:
            results.append(file.read())
        os.waitpid(child, 0)
    failed += sum(len(text) < 1000 for text in results)
    different += len(set(results)) - 1
print(json.dumps({"different": different, "failed": failed}))
"""


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its racers by fork")
def test_eight_processes_on_fifty_cold_folders_agree(tmp_path):
    process = start(tmp_path, RACE, 50, 8)
    out, err = process.communicate(timeout=3000)
    assert process.returncode == 0, err
    assert json.loads(out) == {"different": 0, "failed": 0}


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [".py", ".o", "t_"])
def test_files_damaged_anywhere_are_survived(tmp_path, kind):
    folder = tmp_path / "cache"
    whole = finish(start(folder, TYPED))
    rng = np.random.default_rng(0)
    for trial in range(12):
        for path in sorted(folder.rglob("*_*")):
            if path.name.startswith(kind) or (path.name.startswith("p_") and path.suffix == kind):
                data = bytearray(path.read_bytes())
                if not data:
                    continue
                if trial % 3 == 0:
                    data = data[: int(rng.integers(len(data)))]
                else:
                    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
                path.write_bytes(data)
        assert finish(start(folder, TYPED))["values"] == whole["values"]
    again = finish(start(folder, TYPED))
    assert again == {"values": whole["values"], "traces": [0] * 5, "compiles": 0}
