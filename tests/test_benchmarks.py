"""The benchmark: every workload agrees in every mode, wrong results get no time, and the JSON is complete."""

import dataclasses
import json
import time

import numpy as np
import pytest

from benchmarks import bandwidth, call_overhead, compile_scaling, neighbours, sizes, transforms
from benchmarks import static_vs_eager as bench
from benchmarks.peers.program import Contender, read_numpy
from benchmarks.timing import QUICK, Effort, interleave, machine
from benchmarks.workloads import WORKLOADS

BY_NAME = {w.name: w for w in WORKLOADS}
QUICKLY = bench.Settings(effort=QUICK, tiny=True)
# The gradients are checked for all workloads without a compiler; the programs of these are compiled.
COMPILED = ("scalar", "rosenbrock", "rows")


@pytest.fixture(autouse=True)
def no_pytorch(monkeypatch):
    """Its import changes the process's threads, and its agreement is the benchmark's own business."""
    monkeypatch.setattr(bench, "torch", None)


def results(workload, seed=3):
    params, *data = workload.tiny(np.random.default_rng(seed))
    return params, tuple(data), bench._read(workload.by_hand(params, *data))


def spoiled(workload, change):
    """The workload with a hand-written gradient that something has happened to."""

    def by_hand(params, *data):
        value, gradient = workload.by_hand(params, *data)
        leaves, tree = bench.flatten(gradient)
        value, leaves = change(value, leaves)
        return value, tree.unflatten(leaves)

    return dataclasses.replace(workload, by_hand=by_hand)


def test_the_table_has_the_workloads_that_were_promised():
    assert len(BY_NAME) == len(WORKLOADS) >= 8
    sizes = {
        "rosenbrock": ((10,),),
        "logistic": ((20,), (1000, 20), (1000,)),
        "chain": ((1_000_000,),),
        "mlp": ((256,), (10,), (784, 256), (256, 10), (64, 784), (64,)),
        "rows": ((512,), (512,), (256, 512), (256, 512)),
    }
    for name, shapes in sizes.items():
        leaves = bench.flatten(list(BY_NAME[name].arguments(np.random.default_rng(0))))[0]
        assert sorted(np.shape(x) for x in leaves) == sorted(shapes)
    _, _, xs = BY_NAME["recurrence"].arguments(np.random.default_rng(0))
    assert len(xs) == 50
    assert len(BY_NAME["layers"].arguments(np.random.default_rng(0))[0]) == 8


@pytest.mark.parametrize("name", BY_NAME)
def test_gradients_by_hand_and_on_the_dynamic_graph_are_right(name):
    workload = BY_NAME[name]
    params, data, by_hand = results(workload)
    assert bench.passes_differences(workload, params, data, by_hand, np.random.default_rng(0))
    eager = bench.eager_contender(workload, params, data)
    assert bench.disagreement(eager.read(eager.run()), by_hand, np.float64) < 1e-12
    np.testing.assert_allclose(by_hand[0], workload.loss(params, *data), rtol=1e-13)


@pytest.mark.parametrize("name", BY_NAME)
def test_gradients_on_the_static_graph_are_right(name):
    workload = BY_NAME[name]
    params, data, by_hand = results(workload)
    interpreted = bench.tg.grad_compile(compile="never")(workload.loss)
    static = bench.static_contender(interpreted, params, data)
    assert bench.disagreement(static.read(static.run()), by_hand, np.float64) < 1e-12


@pytest.mark.parametrize("name", BY_NAME)
def test_pytorch_agrees_where_it_is_installed(name, monkeypatch):
    monkeypatch.setattr(bench, "torch", pytest.importorskip("torch"))
    workload = BY_NAME[name]
    params, data, by_hand = results(workload)
    contender = bench.torch_contender(workload, params, data)
    contender.run()
    assert bench.disagreement(contender.read(contender.run()), by_hand, np.float64) < 1e-12


def test_by_hand_leaves_its_arguments_alone():
    for workload in WORKLOADS:
        params, data, _ = results(workload)
        again = workload.tiny(np.random.default_rng(3))
        for got, right in zip(bench.flatten([params, *data])[0], bench.flatten(list(again))[0], strict=True):
            np.testing.assert_array_equal(got, right)


def test_quick_run_prints_writes_and_succeeds(tmp_path, capsys):
    target = tmp_path / "times.json"
    options = [word for name in COMPILED for word in ("--only", name)]
    assert bench.main(["--quick", *options, "--json", str(target)]) == 0
    shown = capsys.readouterr().out
    assert "tiny sizes" in shown
    assert "disagrees" not in shown
    assert "fails" not in shown
    assert list(tmp_path.iterdir()) == [target]
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["schema"] == bench.SCHEMA
    facts = written["machine"]
    assert {"cpu", "architecture", "cores", "threads", "system", "python", "versions", "date"} <= facts.keys()
    assert facts["versions"]["numpy"] == np.__version__
    assert written["settings"]["tolerance"] == bench.TOLERANCE["float64"]
    assert written["settings"]["tiny"] is True
    assert [row["name"] for row in written["workloads"]] == list(COMPILED)
    for row in written["workloads"]:
        assert BY_NAME[row["name"]].title in shown
        assert row["agrees"] is True
        assert row["kernels"] >= 1
        assert row["error"] <= bench.TOLERANCE["float64"]
        assert set(row["contenders"]) == {"eager", "static", "numpy"}
        medians = {name: c["microseconds"]["median"] for name, c in row["contenders"].items()}
        assert all(m > 0 for m in medians.values())
        assert row["eager_over_static"] == pytest.approx(medians["eager"] / medians["static"])
        for contender in row["contenders"].values():
            times = contender["microseconds"]
            assert times["least"] <= times["lower"] <= times["median"] <= times["upper"]
            assert times["rounds"] == QUICK.rounds


@pytest.mark.parametrize(
    "change",
    [
        lambda value, leaves: (value, [-g for g in leaves]),
        lambda value, leaves: (value, [g * (1 + 1e-6) for g in leaves]),
        lambda value, leaves: (value * (1 + 1e-6), leaves),
        lambda value, leaves: (value, [g.astype(np.float32).astype(np.float64) for g in leaves]),
        lambda value, leaves: (value, [g.astype(np.float32) for g in leaves]),
        lambda value, leaves: (value, [g[None] for g in leaves]),
        lambda value, leaves: (value, [np.full_like(g, np.nan) for g in leaves]),
        lambda value, leaves: (np.nan, leaves),
    ],
    ids=["sign", "gradient", "value", "rounded", "dtype", "shape", "nan", "nan value"],
)
def test_a_wrong_result_gets_no_time(change, capsys):
    assert bench.main(["--quick"], [spoiled(BY_NAME["rosenbrock"], change)]) == 1
    shown = capsys.readouterr().out
    assert "disagrees" in shown


def test_one_wrong_leaf_of_many_is_seen():
    def change(value, leaves):
        leaves[1] = leaves[1].copy()
        leaves[1].flat[-1] += 1e-6
        return value, leaves

    row = bench.measure(spoiled(BY_NAME["rows"], change), QUICKLY)
    numpy = row.outcomes[bench.NUMPY]
    assert not numpy.agrees
    assert numpy.microseconds is None
    assert bench.TOLERANCE["float64"] < numpy.error < 1e-2
    # the fault is not blamed on the others
    for name in (bench.EAGER, bench.STATIC):
        assert row.outcomes[name].agrees
        assert row.outcomes[name].microseconds is not None
    assert not row.agrees
    assert row.record()["agrees"] is False


def test_where_no_gradient_fits_the_loss_none_is_timed():
    rosenbrock = BY_NAME["rosenbrock"]

    def twice(x):
        # its own gradient by every means, but never a fixed loss
        twice.calls += 1
        return rosenbrock.loss(x) * (1.0 + 0.1 * twice.calls)

    twice.calls = 0
    row = bench.measure(dataclasses.replace(rosenbrock, loss=twice), QUICKLY)
    assert all(not o.agrees and o.microseconds is None for o in row.outcomes.values())


def test_a_contender_that_raises_is_named_and_the_others_run(capsys):
    def by_hand(x):
        raise ZeroDivisionError("by hand")

    broken = dataclasses.replace(BY_NAME["rosenbrock"], by_hand=by_hand)
    assert bench.main(["--quick"], [broken]) == 1
    shown = capsys.readouterr().out
    assert "ZeroDivisionError: by hand" in shown
    assert "rosenbrock, numpy fails" in shown
    assert "eager fails" not in shown
    assert "disagrees" not in shown


def test_float32_agrees_within_its_own_tolerance():
    row = bench.measure(BY_NAME["rows"], dataclasses.replace(QUICKLY, dtype="float32"))
    assert row.agrees
    assert row.error > bench.TOLERANCE["float64"]  # it was float32


def test_an_unknown_workload_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--only", "nothing"])
    assert "rosenbrock" in capsys.readouterr().err


def test_turns_alternate_and_their_medians_are_of_one_call():
    order = []
    contenders = {name: (lambda name=name: order.append(name)) for name in "abc"}
    times = interleave(contenders, Effort(rounds=3, turn=0.0, pause=0.0))
    calls = "".join(order)
    assert times.keys() == contenders.keys()
    # a turn is an untimed and a timed call; one finds the number of calls, and then each round begins elsewhere
    assert calls == "aabbcc" + "aabbcc" + "bbccaa" + "ccaabb"


def test_slow_and_fast_calls_are_told_apart():
    times = interleave({"slow": lambda: time.sleep(0.01), "fast": lambda: None}, Effort(3, 0.001, 0.0))
    assert times["slow"].calls == 1
    assert times["fast"].calls > 1
    assert times["slow"].median >= 10_000  # a sleep is never shorter


def test_the_machine_is_described():
    facts = machine(2)
    assert facts["cpu"]
    assert facts["threads"] == 2
    assert facts["cores"] >= 1


@pytest.mark.parametrize("family", compile_scaling.FAMILIES)
def test_the_programs_whose_compile_is_timed(family):
    """Graphs grow as asked for, and the answers are the interpreter's."""
    assert 80 <= compile_scaling.measured(family, compile_scaling.depth_for(family, 100), passes=True)["nodes"] <= 120
    assert compile_scaling.measured(family, 3, passes=False)["error"] < 1e-9


def test_the_benchmark_of_compiling_prints_slopes(capsys):
    assert compile_scaling.main(["--sizes", "40", "80", "--only", "maps", "--passes"]) == 0
    assert "slopes: passes" in capsys.readouterr().out
    assert compile_scaling.slope_of([10, 100, 1000], [2.0, 20.0, 200.0]) == pytest.approx(1.0)


def test_the_benchmark_of_sizes_writes_all_sizes_out(capsys, monkeypatch):
    monkeypatch.setattr(sizes, "PROGRAMS", sizes.PROGRAMS[-1:])
    monkeypatch.setattr(sizes, "SIZES", (1000, 2000))
    assert sizes.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "logistic" in printed
    assert "largest ratio" in printed


def test_the_benchmark_of_sizes_refuses_results_that_differ(capsys, monkeypatch):
    monkeypatch.setattr(sizes, "PROGRAMS", sizes.PROGRAMS[3:4])
    monkeypatch.setattr(sizes, "SIZES", (1000,))
    written_out = sizes.written_out
    monkeypatch.setattr(sizes, "written_out", lambda *given: written_out(*given).replace("1000\n", "999\n"))
    assert sizes.main(["--quick"]) == 1
    assert "results differ" in capsys.readouterr().out


def test_the_benchmark_of_calls_runs(capsys):
    assert call_overhead.main(["--quick"]) == 0
    assert "Rosenbrock of 10" in capsys.readouterr().out


def test_the_benchmark_of_bandwidth_compares_before_it_times(capsys, monkeypatch):
    assert bandwidth.main(["--quick"]) == 0
    assert "of the triad" in capsys.readouterr().out
    monkeypatch.setattr(bandwidth.by_hand, "build", lambda *given: Contender(lambda: (0.0, np.zeros(3)), read_numpy))
    assert bandwidth.main(["--quick"]) == 1
    assert "results differ" in capsys.readouterr().out


def test_the_benchmark_of_neighbours_runs(capsys, monkeypatch):
    monkeypatch.setattr(neighbours, "BUSY", "pass")
    assert neighbours.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "1,000,000" in printed
    assert "threads started:" in printed
    monkeypatch.setattr(neighbours, "by_hand", lambda x: (np.sum(x), x))
    assert neighbours.main(["--quick"]) == 1
    assert "wrong result" in capsys.readouterr().out


def test_the_benchmark_of_transforms_runs_and_prints_no_time_for_what_disagrees(capsys, monkeypatch):
    assert transforms.main(["--quick"]) == 0
    assert "sparse_jacobian" in capsys.readouterr().out
    wrong = transforms.Case("one and two", {"one": lambda: np.ones(2), "two": lambda: 2 * np.ones(2)})
    monkeypatch.setattr(transforms, "cases", lambda n, batch: [wrong])
    assert transforms.main(["--quick"]) == 1
    assert "disagree" in capsys.readouterr().out
