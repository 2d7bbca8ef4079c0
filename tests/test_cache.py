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
    "stats": [loss.stats.compiles, loss.stats.cache_hits, step.stats.compiles, step.stats.cache_hits],
    "value": [value, both[0], last],
    "gradient": [gradient[k].ravel().tolist() for k in sorted(gradient)],
    "params": [params[k].ravel().tolist() for k in sorted(params)],
}))
"""


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
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


def test_a_later_process_compiles_nothing(raced):
    (first, _), folder = raced
    later = finish(start(folder))
    assert later["compiles"] == 0
    assert later["stats"] == [0, 3, 0, 1]
    assert [later[k] for k in RESULTS] == [first[k] for k in RESULTS]


def test_the_folder_is_the_one_that_is_set(tmp_path):
    compiled = tg.grad_compile(lambda x: np.sum(x * x - 0.4375 * x))
    with tg.config.override(cache_dir=tmp_path / "mine"):
        compiled.grad(np.ones(3))
    (source,) = (tmp_path / "mine").glob("p_*.py")
    assert str(source) in compiled.explain(np.ones(3)) or str(source) in compiled.grad.explain(np.ones(3))
    assert "def run_" in source.read_text()
