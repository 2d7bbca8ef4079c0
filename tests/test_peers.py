"""The peers: every program's gradient is right here and by hand, wrong or late contenders get no time, the report is whole."""

import dataclasses
import functools
import io
import json
import pickle

import numpy as np
import pytest

from benchmarks import hand
from benchmarks.agreement import disagreement, fits_differences
from benchmarks.peers import __main__ as peers
from benchmarks.peers import measure as measuring
from benchmarks.peers import report, worker
from benchmarks.peers.contenders import ENTRIES, by_tracegrad
from benchmarks.peers.limits import Limits
from benchmarks.peers.limits import measured as measured_limits
from benchmarks.peers.processes import FailedError, OverdueError, Process
from benchmarks.peers.program import leaves, like, read_numpy
from benchmarks.peers.programs import BY_NAME, PROGRAMS
from benchmarks.timing import QUICK

SETTINGS = measuring.Settings(QUICK, small=True)
LIMITS = Limits({4096: 1e10, 1 << 20: 5e9}, {"float64": 1e11, "float32": 2e11})
# Kernels of these take seconds to compile; one program of each is enough where several share them.
SLOW = ("black-scholes", "mixture", "norm-gelu", "heat", "dict-of-8")
QUICKLY = [p.name for p in PROGRAMS if p.name not in SLOW]


@functools.cache
def interpreted(program):
    """Value and gradient leaves by the interpreter; nothing may write to them."""
    params, data = program.drawn(small=True)
    value, gradient = read_numpy(by_tracegrad.compiled(program, compile="never").value_and_grad(params, *data))
    for leaf in gradient:
        leaf.flags.writeable = False
    return value, gradient


def test_the_programs_are_those_that_were_promised():
    drawn = {p.name: p.drawn(small=False) for p in PROGRAMS}
    shapes = {name: [a.shape for a in (*leaves(params), *data)] for name, (params, data) in drawn.items()}
    assert len(shapes) == len(PROGRAMS) == 19
    assert shapes["rosenbrock-10"] == [(10,)]
    assert shapes["rosenbrock-10000"] == [(10_000,)]
    assert shapes["logistic-1000x20"] == shapes["hvp"][1:] == [(20,), (1000, 20), (1000,)]
    assert shapes["logistic-100000x50"] == [(50,), (100_000, 50), (100_000,)]
    assert shapes["chain-1000000-float32"] == [(1_000_000,)]
    assert shapes["cross-entropy"] == [(256, 1000), (256,)]
    assert shapes["norm-gelu"] == [(768,), (768,), (512, 768), (512, 768)]
    assert shapes["mixture"][-1] == (10_000, 10)
    assert shapes["student-t"] == [(5,), (100,), (100,)]
    assert shapes["nbody"] == [(500, 3), (500,)]
    assert shapes["black-scholes"] == [(1_000_000,)] * 5
    assert len(leaves(drawn["dict-of-8"][0])) == 8
    assert drawn["chain-1000-float32"][0].dtype == np.float32


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.dtype == "float64"], ids=lambda p: p.name)
def test_the_gradient_fits_central_differences(program):
    params, data = program.drawn(small=True)
    result = interpreted(program)
    draw = np.random.default_rng(0)
    assert fits_differences(lambda new: program.plain(like(params, new), *data), leaves(params), result, draw)


def by_hand_agrees(name):
    program = BY_NAME[name]
    params, data = program.drawn(small=True)
    before = [np.copy(a) for a in (*leaves(params), *data)]
    result = read_numpy(getattr(hand, program.by_hand)(params, *data))
    tolerance = 1e-12 if program.dtype == "float64" else 1e-5
    assert disagreement(result, interpreted(program), np.dtype(program.dtype)) < tolerance
    for now, then in zip((*leaves(params), *data), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("name", QUICKLY)
def test_hand_written_kernels_agree(name):
    by_hand_agrees(name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", SLOW)
def test_hand_written_kernels_that_compile_slowly_agree(name):
    by_hand_agrees(name)


@pytest.mark.nightly
@pytest.mark.parametrize("size", [8192, 8193, 70_000])
def test_the_hand_written_chain_is_the_same_on_both_cores(size):
    x = np.random.default_rng(0).normal(size=size)
    value, gradient = hand.chain(x)
    assert value == pytest.approx(BY_NAME["chain-1000-float64"].plain(x), rel=1e-13)
    np.testing.assert_allclose(gradient[:100], hand.chain(x[:100])[1], rtol=1e-14)


@pytest.mark.nightly
def test_the_hand_written_regression_is_the_same_on_both_cores():
    params, data = BY_NAME["logistic-100000x50"].drawn(small=False)
    result = read_numpy(hand.logistic(params, *data))
    again = read_numpy(by_tracegrad.compiled(BY_NAME["logistic-100000x50"], compile="never").value_and_grad(params, *data))
    assert disagreement(result, again, np.float64) < 1e-11


@pytest.mark.nightly
@pytest.mark.parametrize("library", ["torch", "autograd"])
@pytest.mark.parametrize("name", BY_NAME)
def test_libraries_without_a_compiler_agree_where_they_are_installed(library, name):
    pytest.importorskip(library)
    module = pytest.importorskip(ENTRIES[library].module)
    program = BY_NAME[name]
    params, data = program.drawn(small=True)
    contender = module.build(program, params, data)
    contender.run()
    tolerance = 1e-11 if program.dtype == "float64" else 1e-5
    assert disagreement(contender.read(contender.run()), interpreted(program), np.dtype(program.dtype)) < tolerance


def test_the_work_of_a_program_is_counted():
    params, data = BY_NAME["cross-entropy"].drawn(small=False)
    program = BY_NAME["cross-entropy"]
    assert program.traffic(params, data) == 2 * 256_000 * 8 + 256 * 8
    assert program.flops(params, *data) == 26 * 256_000
    # the slower of both limits, and the triad of the nearest size
    assert LIMITS.seconds(5_000, 1.0, "float64") == 5e-7
    assert LIMITS.seconds(5_000_000, 1.0, "float64") == 1e-3
    assert LIMITS.seconds(5_000, 2e11, "float32") == 1.0


# -- the measuring, with contenders that are made up -------------------------------------------------------------------


class FakeField:
    """Answers as processes would; a contender's answer is a function of the right one."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def ask(self, contender, limit, request, program, *rest):
        self.asked.append((contender, request))
        if request == "prepare":
            return (1.0, 0.1, *self.answers[contender](*interpreted(BY_NAME[program])))
        return 1e-3 * rest[0] if request == "turn" else None


def measured(answers, name="rosenbrock-10"):
    field = FakeField(answers)
    return measuring.measure(BY_NAME[name], list(answers), field, LIMITS, SETTINGS), field


def right(value, gradient):
    return value, gradient


@pytest.mark.parametrize(
    "change",
    [
        lambda value, gradient: (value, [-g for g in gradient]),
        lambda value, gradient: (value * (1 + 1e-6), gradient),
        lambda value, gradient: (value, [g.astype(np.float32) for g in gradient]),
        lambda value, gradient: (value, gradient + gradient),
    ],
    ids=["sign", "value", "dtype", "leaves"],
)
def test_a_wrong_result_gets_no_time(change):
    row, field = measured({"tracegrad": right, "hand": change, "jax": right})
    assert [row.outcomes[name].agrees for name in ("tracegrad", "hand", "jax")] == [True, False, True]
    assert row.outcomes["hand"].microseconds is None
    assert ("hand", "turn") not in field.asked
    assert row.ratio("jax") == pytest.approx(1.0)
    assert row.ratio("hand") is None
    assert "disagrees" in report.notes([row], [])[0]


def test_where_the_majority_is_wrong_differences_decide():
    def wrong(value, gradient):
        return value, [1.01 * g for g in gradient]

    row, _ = measured({"tracegrad": right, "hand": wrong, "jax": wrong})
    assert row.outcomes["tracegrad"].agrees
    assert not row.outcomes["hand"].agrees
    assert not row.outcomes["jax"].agrees


def test_a_late_contender_is_named_and_the_others_are_timed():
    def late(value, gradient):
        raise OverdueError("no result in 60 s")

    row, _ = measured({"tracegrad": right, "jax": late})
    assert row.outcomes["jax"].failure == "no result in 60 s"
    assert row.median("tracegrad") == pytest.approx(1000.0)
    heads, body = report.times([row], ["tracegrad", "jax"])
    assert body[0][:3] == ["Rosenbrock, 10", "1,000", "> 60 s"]
    assert len(heads) == len(body[0])
    text = report.markdown("command", [], [(report.ratios([row], ["tracegrad", "jax"]), 2)], [], report.notes([row], []))
    assert "| Rosenbrock, 10 |" in text
    assert "- rosenbrock-10, JAX: no result in 60 s" in text


def test_a_contender_that_dies_in_its_turn_leaves_the_others_their_times():
    class Dying(FakeField):
        def ask(self, contender, limit, request, program, *rest):
            if (contender, request) == ("hand", "turn"):
                raise FailedError("its process ended")
            return super().ask(contender, limit, request, program, *rest)

    answers = {"tracegrad": right, "hand": right}
    row = measuring.measure(BY_NAME["rosenbrock-10"], list(answers), Dying(answers), LIMITS, SETTINGS)
    assert row.outcomes["hand"].failure == "its process ended"
    assert row.outcomes["hand"].microseconds is None
    assert row.median("tracegrad") is not None


# -- processes ---------------------------------------------------------------------------------------------------------


def test_a_library_that_is_not_installed_says_so(monkeypatch):
    entry = dataclasses.replace(ENTRIES["jax"], module="no_such_library")
    monkeypatch.setitem(worker.ENTRIES, "jax", entry)
    answers = io.BytesIO()
    worker.serve(io.BytesIO(), answers, "jax")
    kind, why = pickle.loads(answers.getvalue())
    assert kind == worker.MISSING
    assert "no_such_library" in why


def test_a_process_is_asked_and_ended():
    process = Process("tracegrad")
    try:
        with pytest.raises(FailedError, match="KeyError"):
            process.ask(60.0, "prepare", "no such program", True)
        assert process.alive
        with pytest.raises(OverdueError, match="no result in 0 s"):
            process.ask(0.0, "prepare", "rosenbrock-10", True)
        assert not process.alive
    finally:
        process.end()


@pytest.mark.nightly
def test_the_limits_are_measured():
    limits = measured_limits(quick=True)
    assert all(rate > 1e8 for rate in (*limits.triad.values(), *limits.flops.values()))
    assert limits.flops["float32"] > limits.flops["float64"]


def test_quick_run_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(peers, "measured", lambda quick: LIMITS)
    written, figures = tmp_path / "RESULTS.md", tmp_path / "figures.json"
    options = ["--only", "rosenbrock-10", "--contenders", "tracegrad,hand", "--write", str(written), "--json", str(figures)]
    assert peers.main(["--quick", *options]) == 0
    assert "Rosenbrock, 10" in capsys.readouterr().out
    text = written.read_text(encoding="utf-8")
    assert "Written by `python -m benchmarks.peers --quick" in text
    assert str(tmp_path) not in text
    assert "| geometric mean |" in text
    content = json.loads(figures.read_text(encoding="utf-8"))
    (program,) = content["programs"]
    assert program["contenders"].keys() == {"tracegrad", "hand"}
    assert all(outcome["agrees"] and outcome["microseconds"]["median"] > 0 for outcome in program["contenders"].values())
    assert content["limits"]["flops"] == LIMITS.flops


def test_unknown_contenders_are_refused(capsys):
    with pytest.raises(SystemExit):
        peers.main(["--contenders", "tracegrad,nobody"])
    assert "nobody" in capsys.readouterr().err


def test_the_better_of_two_measurements_is_the_limit():
    first = Limits({1024: 2.0, 4096: 1.0}, {"float64": 3.0, "float32": 6.0})
    second = Limits({1024: 1.0, 4096: 4.0}, {"float64": 5.0, "float32": 2.0})
    assert first.better(second) == Limits({1024: 2.0, 4096: 4.0}, {"float64": 5.0, "float32": 6.0})
