"""The benchmark of small ops: every row runs and agrees with PyTorch where it is installed, wrong results get no time."""

import dataclasses
import json

import numpy as np
import pytest

import tracegrad.eager
from benchmarks import eager_overhead as bench
from benchmarks.timing import QUICK

BY_NAME = {p.name: p for p in bench.PROGRAMS}


@pytest.fixture
def alone(monkeypatch):
    """Without PyTorch, whose import changes the process's threads."""
    monkeypatch.setattr(bench, "LIBRARIES", {"tracegrad": tracegrad.eager, "pytorch": None})
    monkeypatch.setattr(bench, "torch", None)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_chain_keeps_its_shape_and_reaches_its_leaves(name, alone):
    chain = bench.Chain(tracegrad.eager, BY_NAME[name], 10)
    value, *gradients = chain.results()
    assert value.shape == (10,)
    assert gradients
    assert all(np.isfinite(x).all() for x in (value, *gradients))


@pytest.mark.parametrize("name", BY_NAME)
def test_agrees_with_pytorch(name):
    torch = pytest.importorskip("torch")
    found = [bench.Chain(library, BY_NAME[name], 10).results() for library in (tracegrad.eager, torch)]
    assert bench.disagreement(*found) <= bench.TOLERANCE


def test_a_wrong_result_gets_no_time(monkeypatch):
    right = BY_NAME["y * w"]
    calls = []

    def step(library, y, leaves):
        calls.append(library)
        return right.step(library, y, leaves) * (1.001 if library is tracegrad.eager else 1.0)

    other = type("Other", (), {"tensor": staticmethod(tracegrad.eager.tensor)})
    monkeypatch.setattr(bench, "LIBRARIES", {"tracegrad": tracegrad.eager, "pytorch": other})
    row = bench.measure(dataclasses.replace(right, step=step), 10, QUICK)
    assert row.error > bench.TOLERANCE
    assert not row.forward
    assert row.ratio("both") is None
    assert {tracegrad.eager, other} == set(calls)


def test_table_and_json(alone, tmp_path, capsys):
    file = tmp_path / "times.json"
    assert bench.main(["--quick", "--only", "y + w", "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text())["rows"]
    assert row["name"] == "y + w"
    assert row["forward"]["tracegrad"] > 0
    assert "y + w" in capsys.readouterr().out


def test_ratios():
    row = bench.Row("x", 0.0, {"tracegrad": 3.0, "pytorch": 2.0}, {"tracegrad": 1.0, "pytorch": 2.0})
    assert (row.ratio("forward"), row.ratio("backward"), row.ratio("both")) == (1.5, 0.5, 1.0)
    assert bench.mean_ratio([row, row], "forward") == pytest.approx(1.5)
