"""Transforms of transforms over random functions, with compiled, checkpointed and custom ones inside; what is infinite."""

import re

import numpy as np
import pytest

import tracegrad as tg
from tests.fuzz import oracles
from tests.fuzz.programs import Argument, Program, generate
from tracegrad.errors import NonFiniteError

STEPS = ("twice", "walk", "filled", "nested", "smooth_max", "normalised", "gelu", "piecewise", "rolled")
JOINS = ("{} * {}", "{} + np.sin({})", "np.hypot({} + 2.5, {})", "np.logaddexp({}, {})", "{} / (2.0 + {} * {})")
ROWS = 3


def with_vjp(function):
    """With the derivative that it has anyhow, as a rule of its own."""
    made = tg.custom_vjp(function)
    made.defvjp(lambda *args: (function(*args), args), lambda args, g: tg.vjp(function, *args)[1](g))
    return made


def with_jvp(function):
    made = tg.custom_jvp(function)

    def rule(primals, tangents):
        moving = [k for k, primal in enumerate(primals) if np.result_type(primal).kind == "f"]  # not the steps, say

        def moved(*values):
            given = dict(zip(moving, values, strict=True))
            return function(*(given.get(k, primal) for k, primal in enumerate(primals)))

        return tg.jvp(moved, tuple(primals[k] for k in moving), tuple(tangents[k] for k in moving))

    made.defjvp(rule)
    return made


WRAPS = {
    "plain": lambda function: function,
    "jit": lambda function: tg.jit(function, compile="never"),
    "checkpoint": tg.checkpoint,
    "custom_vjp": with_vjp,
    "custom_jvp": with_jvp,
    "jit of checkpoint": lambda function: tg.jit(tg.checkpoint(function), compile="never"),
}


def chain(number):
    """A function of two rows: helpers of the grammar one after the other, and products between."""
    rng = np.random.default_rng(number)
    names, statements = ["a0", "a1"], []
    for k in range(int(rng.integers(3, 6))):
        x, y = (names[int(rng.integers(len(names)))] for _ in range(2))
        if k % 2 == 0:
            step = STEPS[int(rng.integers(len(STEPS)))]
            text = f"{step}({names[-1]}, 2)" if step == "walk" else f"{step}({names[-1]})"
        else:
            text = JOINS[int(rng.integers(len(JOINS)))].format(x, names[-1], y)
        statements.append(f"v{k} = {text}")
        names.append(f"v{k}")
    arguments = tuple(
        Argument(f"a{k}", f"np.random.default_rng({2 * number + k}).uniform(-1.5, 1.5, ({ROWS}, 3))") for k in range(2)
    )
    return Program(number, arguments, tuple(statements), (names[-1],))


def compositions(inner):
    """Functions of two batches of rows, by what they give: values, slopes and curvatures of each row by itself."""

    def scalar(x, y):
        return np.sum(np.sin(inner(x, y)[0]))

    def total(x, y):
        return np.sum(tg.vmap(scalar)(x, y))

    def along(x, y):
        return tg.jvp(tg.grad(scalar), (x, y), (np.ones_like(x), np.zeros_like(y)))[1]

    def diagonal(table):
        return np.stack([table[k, :, k, :] for k in range(ROWS)])

    quiet = {"compile": "never"}
    return {
        "value": {
            "vmap": tg.vmap(scalar),
            "vmap of jit": tg.vmap(tg.jit(scalar, **quiet)),
            "jit of vmap": tg.jit(tg.vmap(scalar), **quiet),
            "vmap of the value": lambda x, y: tg.vmap(tg.value_and_grad(scalar))(x, y)[0],
            "diagonal of nested maps": lambda x, y: np.diagonal(tg.vmap(lambda a: tg.vmap(lambda b: scalar(a, b))(y))(x)),
            "columns": lambda x, y: tg.vmap(scalar, in_axes=(1, 0))(np.transpose(x), y),
        },
        "slope": {
            "vmap of grad": tg.vmap(tg.grad(scalar)),
            "grad of vmap": tg.grad(total),
            "grad of jit of vmap": tg.grad(tg.jit(total, **quiet)),
            "jit of grad of vmap": tg.jit(tg.grad(total), **quiet),
            "vmap of jit of grad": tg.vmap(tg.jit(tg.grad(scalar), **quiet)),
            "vmap of vjp": tg.vmap(lambda x, y: tg.vjp(scalar, x, y)[1](1.0)[0]),
            "vmap of jacfwd": tg.vmap(tg.jacfwd(scalar)),
            "jacobian of vmap": lambda x, y: np.stack([tg.jacobian(tg.vmap(scalar))(x, y)[k, k] for k in range(ROWS)]),
            "grad of checkpoint of vmap": tg.grad(tg.checkpoint(total)),
        },
        "curvature": {
            "vmap of hessian": tg.vmap(tg.hessian(scalar)),
            "hessian of vmap": lambda x, y: diagonal(tg.hessian(total)(x, y)),
            "jacrev of grad of vmap": lambda x, y: diagonal(tg.jacrev(tg.grad(total))(x, y)),
            "jacfwd of vmap of grad": lambda x, y: diagonal(tg.jacfwd(tg.vmap(tg.grad(scalar)))(x, y)),
            "jit of vmap of jacfwd of jacrev": tg.jit(tg.vmap(tg.jacfwd(tg.jacrev(scalar))), **quiet),
        },
        "curvature along ones": {
            "vmap of jvp of grad": tg.vmap(along),
            "jvp of grad of vmap": lambda x, y: tg.jvp(tg.grad(total), (x, y), (np.ones_like(x), np.zeros_like(y)))[1],
            "grad of the sum of grad": tg.grad(lambda x, y: np.sum(tg.grad(total)(x, y))),
            "vmap of hvp": tg.vmap(lambda x, y: tg.hvp(lambda a: scalar(a, y), (x,), (np.ones_like(x),))),
        },
    }


def differences(scalar, x, y, step=1e-4):
    """Slopes and curvatures of one row by differences of NumPy's values, of fourth and of second order."""
    n = len(x)
    unit = step * np.eye(n)
    at = lambda d: float(scalar(x + d, y))
    slope = np.array([(8 * (at(u) - at(-u)) - at(2 * u) + at(-2 * u)) / (12 * step) for u in unit])
    wide = 10 * unit
    bent = [[(at(u + v) - at(u - v) - at(v - u) + at(-u - v)) / (400 * step**2) for v in wide] for u in wide]
    return slope, np.array(bent)


def expected_of(program):
    """What the compositions have to give, from loops over rows in plain NumPy, in the digits that differences have."""
    function = program.function()
    scalar = lambda x, y: np.sum(np.sin(function(x, y)[0]))
    x, y = program.values()
    rows = [differences(scalar, a, b) for a, b in zip(x, y, strict=True)]
    slopes, bends = (np.stack(part) for part in zip(*rows, strict=True))
    value = np.array([scalar(a, b) for a, b in zip(x, y, strict=True)])
    return {"value": value, "slope": slopes, "curvature": bends, "curvature along ones": bends.sum(axis=-1)}


def check_compositions(number, wraps):
    program = chain(number)
    x, y = program.values()
    reference = {kind: next(iter(ways.values()))(x, y) for kind, ways in compositions(program.function()).items()}
    tolerances = {"value": 1e-12, "slope": 1e-7, "curvature": 2e-3, "curvature along ones": 2e-3}
    expected = expected_of(program)
    for kind, found in reference.items():
        if kind != "value" and "piecewise" in program.source():
            continue  # differences across its steps
        scale = 1 + np.max(np.abs(expected[kind]))
        np.testing.assert_allclose(found, expected[kind], atol=tolerances[kind] * scale, err_msg=f"{kind}\n{program.script()}")
    for name in wraps:
        for kind, ways in compositions(program.function(wrap=WRAPS[name])).items():
            for way, function in ways.items():
                if name == "custom_vjp" and re.search("jvp|jacfwd|hessian|hvp", way):
                    continue  # forward mode has no use for a rule of reverse mode
                text = f"{way} with {name} inside\n{program.script()}"
                np.testing.assert_allclose(function(x, y), reference[kind], rtol=1e-9, atol=1e-9, err_msg=text)


@pytest.mark.parametrize("number", range(2))
def test_compositions(number):
    names = list(WRAPS)
    check_compositions(number, [names[number], names[number + 2], names[number + 4]])


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(100, 160))
def test_compositions_by_night(number):
    check_compositions(number, list(WRAPS))


def everything(ways):
    """All compositions in one function."""
    return lambda x, y: {kind: [function(x, y) for function in table.values()] for kind, table in ways.items()}


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(200, 212))
def test_compiled_compositions_by_night(number):
    program = chain(number)
    x, y = program.values()
    for name in ("plain", "checkpoint", "custom_jvp"):
        ways = compositions(program.function(wrap=WRAPS[name]))
        found = tg.jit(everything(ways))(x, y)
        for kind, results in found.items():
            for way, result in zip(ways[kind], results, strict=True):
                text = f"compiled {way} with {name} inside\n{program.script()}"
                np.testing.assert_allclose(result, ways[kind][way](x, y), rtol=1e-9, atol=1e-9, err_msg=text)


# -- the first value that is not finite ------------------------------------------------------------------------------------

POISONED = {
    "divide": "1.0 / ({x} - {x}[{place}])",
    "log": "np.log(np.abs({x} - {x}[{place}]))",
    "exp": "np.exp(1e4 * ({x} == {x}[{place}]))",
    "arctanh": "np.arctanh(1.0 * ({x} == {x}[{place}]))",
}


def poisoned(number):
    """A program with one statement more, of which one element is infinite: with the op, the statement and the place."""
    program = generate(number)
    rng = np.random.default_rng(number)
    names = {argument.name: argument.value() for argument in program.arguments}
    names = {name: value for name, value in names.items() if np.asarray(value).dtype == np.float64 and np.size(value) > 1}
    if not names:
        return None
    x = sorted(names)[int(rng.integers(len(names)))]
    place = tuple(int(rng.integers(n)) for n in names[x].shape)
    op = list(POISONED)[int(rng.integers(len(POISONED)))]
    line = "bad = " + POISONED[op].format(x=x, place=", ".join(map(str, place)))
    cut = int(rng.integers(len(program.statements) + 1))
    statements = (*program.statements[:cut], line, *program.statements[cut:])
    return Program(number, program.arguments, statements, (*program.results, "bad")), op, line, place


def quiet_without(program):
    """Whether nothing in the program itself is infinite on the way, and the interpreter takes it."""
    try:
        with tg.debug.nans(), np.errstate(all="ignore"):
            tg.jit(program.function(), compile="never")(*program.values())
    except (NonFiniteError, tg.errors.TracegradError, IndexError):
        return False
    return True


def check_named(number):
    """Whether a program was there to be looked at."""
    if oracles.outcome(generate(number), oracles.interpreted)[0] != "fine" or not quiet_without(generate(number)):
        return False
    made = poisoned(number)
    if made is None:
        return False
    program, op, line, place = made
    with tg.debug.nans(), np.errstate(all="ignore"), pytest.raises(NonFiniteError) as caught:
        tg.jit(program.function(), compile="never")(*program.values())
    text = f"{caught.value}\n{program.script()}"
    assert caught.value.where.text.strip() == line, text
    assert re.search(rf"{op} is -?inf at index {re.escape(str(place))}", str(caught.value)), text
    return True


@pytest.mark.filterwarnings("ignore")
def test_the_first_infinity_is_named():
    assert sum(check_named(number) for number in range(40)) > 8


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", range(1000, 3000, 100))
def test_the_first_infinity_is_named_by_night(start):
    assert sum(check_named(number) for number in range(start, start + 100)) > 15


ROW = np.array([0.5, -1.0, 2.0])
COMPOSITES = {
    "softmax": lambda x: tg.functional.softmax(x),  # bad
    "log_softmax": lambda x: tg.functional.log_softmax(x),  # bad
    "layer_norm": lambda x: tg.functional.layer_norm(x, (3,)),  # bad
    "standardised": lambda x: (x - x.mean()) / x.std(),  # bad
    "norm": lambda x: x / np.linalg.norm(x),  # bad
    "softmax by hand": lambda x: np.exp(x) / np.sum(np.exp(x)),  # bad
    "gelu": lambda x: tg.functional.gelu(x),  # bad
    "variance": lambda x: np.var(x),  # bad
}
TROUBLE = {"softmax by hand": ROW + 800.0, "standardised": np.ones(3), "norm": np.zeros(3), "variance": ROW * 1e200}
"""Finite arguments that give something infinite inside."""


@pytest.mark.parametrize("mode", ["never", "now"])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMPOSITES)
def test_composites_are_named_by_the_users_line(name, mode):
    loss = lambda x: np.sum(np.sin(COMPOSITES[name](x)) * np.arange(1.0, 4.0))
    compiled = tg.grad_compile(loss, compile=mode)
    with tg.debug.nans():
        value, slope = compiled.value_and_grad(ROW)  # finite, and quiet
        assert np.all(np.isfinite(slope))
        assert np.isfinite(value)
        if name in TROUBLE:
            with pytest.raises(NonFiniteError, match=r"is (-?inf|nan)") as caught:
                compiled.value_and_grad(TROUBLE[name])
            assert caught.value.where.text.strip().endswith("# bad")
            assert f'"{name}"' in caught.value.where.text
