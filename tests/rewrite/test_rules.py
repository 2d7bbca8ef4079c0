"""Every rule, alone: it fires on its examples, and both sides have the same value on special and random numbers."""

import itertools
import zlib

import mpmath
import numpy as np
import pytest

from tracegrad.core.aval import Aval
from tracegrad.core.graph import Graph
from tracegrad.core.interpret import interpret
from tracegrad.core.verify import verify
from tracegrad.ops import sources
from tracegrad.ops.broadcasting import broadcast
from tracegrad.rewrite.engine import rewriting
from tracegrad.rewrite.pattern import Number, Stage, Variable
from tracegrad.rewrite.rules import STAGES
from tracegrad.symbolic import Recorder, Sym

RULES = [rule for stage in STAGES for rule in stage.rules]
BOOLS = {"condition"}
SHAPE = (700,)


def specials(dtype):
    info = np.finfo(dtype)
    small = [0.0, 1.0, 0.5, 2.5, 1e-30, 1e30, info.smallest_subnormal, info.tiny / 3, info.max]
    return np.array([*small, *(-v for v in small), np.inf, -np.inf, np.nan], dtype)


def draw(rng, dtype, shape, position):
    """Values that cross every special number with every other, as far as the shape has room, then random ones."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape))
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "i":
        return rng.integers(-100, 100, shape).astype(dtype)
    values = rng.standard_normal(size).astype(dtype)
    pairs = np.array(list(itertools.product(specials(dtype), repeat=2)), dtype)
    column = np.roll(pairs[:, position % 2], 7 * (position // 2))
    if size >= len(column):
        values[: len(column)] = column
    else:
        chosen = rng.random(size) < 0.5
        values[chosen] = rng.choice(specials(dtype), int(chosen.sum()))
    return values.reshape(shape)


def written_out(pattern, variables, recorder, dtype):
    """A pattern without families and parameters as traced values."""
    if isinstance(pattern, Variable):
        return variables[pattern.name]
    if isinstance(pattern, Number):
        kind = bool if isinstance(pattern.sample, bool) else dtype
        scalar = Sym(recorder, recorder.constant(pattern.sample, kind))
        return Sym(recorder, recorder.emit(broadcast, (scalar.id,), {"shape": SHAPE}))
    operands = [written_out(o, variables, recorder, dtype) for o in pattern.operands]
    return pattern.op(*operands, **pattern.params)


def instances(rule):
    """(label, build, shapes, dtypes) of graphs in which the rule fires."""
    for dtype in ("float32", "float64"):
        if rule.examples:
            for k, example in enumerate(rule.examples):
                dtypes = tuple(dtype if d == "float" else d for d in example.dtypes)
                if "float" in example.dtypes or dtype == "float64":
                    yield f"{rule.name}-{k}-{'-'.join(dtypes)}", example.build, example.shapes, dtypes
        else:
            names = list(dict.fromkeys(p.name for p in rule.pattern.parts() if isinstance(p, Variable)))
            dtypes = tuple("bool" if n in BOOLS else dtype for n in names)

            def build(*syms, names=names, dtype=dtype, pattern=rule.pattern):
                return written_out(pattern, dict(zip(names, syms, strict=True)), syms[0].recorder, dtype)

            yield f"{rule.name}-{dtype}", build, (SHAPE,) * len(names), dtypes


CASES = [pytest.param(rule, *case, id=label) for rule in RULES for label, *case in instances(rule)]


def traced(build, shapes, dtypes):
    graph = Graph()
    recorder = Recorder(graph, lambda: None)
    syms = []
    for k, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True)):
        params = {"position": k, "aval": Aval(shape, np.dtype(dtype))}
        syms.append(Sym(recorder, graph.emit(sources.input, (), params)))
    return graph.freeze([build(*syms).id])


def both_sides(rule, build, shapes, dtypes):
    graph = verify(traced(build, shapes, dtypes), "trace")
    result = rewriting(graph, (Stage("alone", (rule,)),))
    verify(result.graph, "rewrite")
    rng = np.random.default_rng(zlib.crc32(rule.name.encode()))
    arguments = [draw(rng, dtype, shape, k) for k, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True))]
    return result, arguments, interpret(graph, arguments)[0], interpret(result.graph, arguments)[0]


@pytest.mark.parametrize(("rule", "build", "shapes", "dtypes"), CASES)
def test_the_rule_fires(rule, build, shapes, dtypes):
    result, *_ = both_sides(rule, build, shapes, dtypes)
    assert rule.name in {fired.rule for fired in result.log}


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    both_nan = np.isnan(a) & np.isnan(b)
    return bool(np.all(both_nan | ((a == b) & (np.signbit(a) == np.signbit(b)))))


@pytest.mark.parametrize(("rule", "build", "shapes", "dtypes"), [c for c in CASES if c.values[0].kind == "exact"])
def test_exact_rules_keep_every_bit(rule, build, shapes, dtypes):
    _, arguments, left, right = both_sides(rule, build, shapes, dtypes)
    if not same_bits(left, right):
        same = (left == right) & (np.signbit(left) == np.signbit(right)) | np.isnan(left) & np.isnan(right)
        bad = np.flatnonzero(~same)[:4]
        at = [a.reshape(-1)[bad] for a in arguments if a.size == left.size]
        raise AssertionError(f"at {at}: {left.reshape(-1)[bad]} became {right.reshape(-1)[bad]}")


# -- stabilise --------------------------------------------------------------------------------------------------------

EXACTLY = {
    "hypot": mpmath.hypot,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "scale": lambda g, p: g if g == 0 else g * p,
    "negative": lambda x: -x,
    "power": mpmath.power,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sum": lambda x: x,
    "constant": None,
    "broadcast_to": None,
}
STABLE = [c for c in CASES if c.values[0].kind == "stabilise"]
POINTWISE = [c for c in STABLE if not c.values[0].examples]
MOVING = [c for c in CASES if c.values[0].kind == "stabilise" and c.values[0].examples and "sum-of" in c.values[0].name]


def true_value(graph, point):
    """The value of an elementwise graph at one point, in the reals: NaN where there is none."""
    values = {}
    for node in graph:
        if node.op.name == "input":
            values[node.id] = mpmath.mpf(float(point[node.params["position"]]))
        elif node.op.name == "constant":
            values[node.id] = mpmath.mpf(float(node.params["value"].value))
        elif node.op.name == "broadcast_to":
            values[node.id] = values[node.inputs[0]]
        else:
            values[node.id] = EXACTLY[node.op.name](*(values[i] for i in node.inputs))
    value = values[graph.outputs[0]]
    return mpmath.nan if isinstance(value, mpmath.mpc) else value


@pytest.mark.parametrize(("rule", "build", "shapes", "dtypes"), POINTWISE)
def test_stabilise_rules_give_the_true_value(rule, build, shapes, dtypes):
    _, arguments, left, right = both_sides(rule, build, shapes, dtypes)
    graph = traced(build, shapes, dtypes)
    info = np.finfo(right.dtype)
    exponentials = any(node.op.name in {"exp", "sigmoid", "expm1"} for node in graph)
    checked = 0
    with mpmath.workdps(1000), np.errstate(all="ignore"):
        for k in range(0, SHAPE[0], 1 if not exponentials else 3):
            point = [a[k] for a in arguments]
            if exponentials and any(np.isfinite(v) and abs(v) > 1000 for v in point):
                continue  # beyond what a thousand digits resolve
            try:
                truth = true_value(graph, point)
            except ZeroDivisionError:
                assert not np.isfinite(right[k]), (point, right[k])
                continue
            checked += 1
            if mpmath.isnan(truth):
                assert np.isnan(right[k]), (point, left[k], right[k])
            elif abs(truth) > info.max:
                assert abs(right[k]) >= info.max * (1 - 1e-5), (point, right[k])
                assert np.sign(right[k]) == mpmath.sign(truth), (point, right[k])
            else:
                size = max(abs(truth), *(abs(v) for v in point if np.isfinite(v)), 0) if len(point) > 1 else abs(truth)
                assert abs(truth - mpmath.mpf(float(right[k]))) <= 4 * info.eps * size + 4 * info.smallest_subnormal, (
                    point,
                    float(truth),
                    right[k],
                )
    assert checked > 50


@pytest.mark.parametrize(("rule", "build", "shapes", "dtypes"), POINTWISE)
def test_stabilise_rules_agree_on_ordinary_numbers(rule, build, shapes, dtypes):
    result, *_ = both_sides(rule, build, shapes, dtypes)
    rng = np.random.default_rng(3)
    arguments = [rng.uniform(0.1, 3.0, shape).astype(dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    left = interpret(traced(build, shapes, dtypes), arguments)[0]
    right = interpret(result.graph, arguments)[0]
    assert np.isfinite(left).all()
    np.testing.assert_allclose(right, left, rtol=100 * np.finfo(left.dtype).eps, atol=20 * np.finfo(left.dtype).eps)


@pytest.mark.parametrize(("rule", "build", "shapes", "dtypes"), MOVING)
def test_rules_on_sums_agree(rule, build, shapes, dtypes):
    _, _, left, right = both_sides(rule, build, shapes, dtypes)
    finite = np.isfinite(left) & np.isfinite(right)
    np.testing.assert_array_equal(np.isfinite(left), np.isfinite(right))
    np.testing.assert_array_equal(np.isnan(left), np.isnan(right))
    np.testing.assert_allclose(np.asarray(right)[finite], np.asarray(left)[finite], rtol=1e-6)


@pytest.mark.parametrize(("rule", "build", "shapes", "dtypes"), [c for c in CASES if c.values[0].name == "log-of-exp-ratio"])
def test_the_logarithm_of_a_softmax_does_not_underflow(rule, build, shapes, dtypes):
    graph = traced(build, shapes, dtypes)
    result = rewriting(graph, (Stage("alone", (rule,)),))
    x = np.array([[0, -200, -800, 1], [3, 2, 1, 0], [-1, -2, -50, -900]], dtypes[0])
    left, right = interpret(graph, [x])[0], interpret(result.graph, [x])[0]
    assert np.isinf(left).sum() == (3 if dtypes[0] == "float32" else 2)
    with mpmath.workdps(500):
        for row, answers in zip(x, right, strict=True):
            total = mpmath.log(mpmath.fsum(mpmath.exp(float(v)) for v in row))
            np.testing.assert_allclose(answers, [float(float(v) - total) for v in row], rtol=4 * np.finfo(x.dtype).eps)


@pytest.mark.parametrize(("rule", "build", "shapes", "dtypes"), [c for c in CASES if c.values[0].kind == "rearrange"])
def test_rearranged_sums_agree_on_ordinary_numbers(rule, build, shapes, dtypes):
    result, *_ = both_sides(rule, build, shapes, dtypes)
    rng = np.random.default_rng(3)
    arguments = [rng.uniform(0.1, 3.0, shape).astype(dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    left, right = (interpret(graph, arguments)[0] for graph in (traced(build, shapes, dtypes), result.graph))
    np.testing.assert_allclose(right, left, rtol=20 * np.finfo(left.dtype).eps)


def test_every_stabilise_rule_is_checked():
    checked = {c.values[0].name for c in POINTWISE + MOVING} | {"log-of-exp-ratio"}
    assert checked == {rule.name for rule in RULES if rule.kind == "stabilise"}


def test_names_are_unique():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
