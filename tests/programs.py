"""Random programs of NumPy calls, as data, so that one program runs compiled, interpreted, eagerly and in plain NumPy.

Values are bounded, and operations with kinks (maximum, abs, a comparison) see exact values only: inputs and what data
movement makes of them. Those are equal bit by bit in every mode, so a kink never turns rounding into a difference.
"""

import os
import subprocess
import sys
import warnings
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import tracegrad as tg

MOST_ELEMENTS = 200
SIDES = (1, 2, 3, 4, 5, 6, 17)

SMOOTH = {
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "exp": lambda x: np.exp(-x * x),
    "sqrt": lambda x: np.sqrt(x * x + 1.0),
    "log1p": lambda x: np.log1p(x * x),
    "expm1": lambda x: np.expm1(0.1 * np.sin(x)),
    "square": lambda x: np.tanh(x) ** 2,
    "cube": lambda x: np.tanh(x) ** 3,
    "inverse": lambda x: 1.0 / (1.5 + x * x),
    "affine": lambda x: 0.5 * x - 0.25,
    "power": lambda x: (1.0 + x * x) ** -0.5,
}
EXACT = {
    "negative": lambda x: -x,
    "abs": np.abs,
    "clip": lambda x: np.clip(x, -0.5, 0.75),
    "relu": lambda x: np.maximum(x, 0.0),
    "sign_split": lambda x: np.where(x > 0.1, x, -x),
}
SMOOTH_PAIRS = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: np.tanh(x) * y,
    "divide": lambda x, y: x / (2.0 + y * y),
    "hypotenuse": lambda x, y: np.sqrt(x * x + y * y + 0.5),
}
EXACT_PAIRS = {
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": lambda x, y: np.where(x > y, x, y),
    "where_other": lambda x, y: np.where(x <= 0.2, y, x),
}
REDUCTIONS = {
    "sum": lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
    "mean": lambda x, axis, keepdims: np.mean(x, axis=axis, keepdims=keepdims),
    "prod": lambda x, axis, keepdims: np.prod(np.tanh(x), axis=axis, keepdims=keepdims),
    "softmax": lambda x, axis, keepdims: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)), axis=axis, keepdims=True),
}
EXACT_REDUCTIONS = {
    "max": lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    "min": lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims),
}


def _assigned(x, key, value):
    result = x * 1.0
    result[key] = value
    return result


MOVES = {
    "reshape": np.reshape,
    "transpose": np.transpose,
    "index": lambda x, key: x[key],
    "broadcast": np.broadcast_to,
    "expand": np.expand_dims,
    "squeeze": np.squeeze,
    "flip": lambda x, axis: np.flip(x, axis=axis),
    "pad": lambda x, widths: np.pad(x, widths),
    "roll": lambda x, shift, axis: np.roll(x, shift, axis=axis),
    "assign": lambda x, key, value: _assigned(x, key, value),
}
JOINS = {
    "concatenate": lambda x, y, axis: np.concatenate([x, y, x], axis=axis),
    "stack": lambda x, y, axis: np.stack([x, y], axis=axis),
}
CONTRACTIONS = {"matmul": lambda x, y: x @ y}
FUNCTIONS = {
    **SMOOTH,
    **EXACT,
    **SMOOTH_PAIRS,
    **EXACT_PAIRS,
    **REDUCTIONS,
    **EXACT_REDUCTIONS,
    **MOVES,
    **JOINS,
    **CONTRACTIONS,
}


@dataclass(frozen=True)
class Step:
    """One call: a name of FUNCTIONS, the values it takes by number, and its other arguments."""

    name: str
    operands: tuple[int, ...]
    arguments: tuple = ()


@dataclass(frozen=True)
class Program:
    """Input shapes, a dtype and steps; the loss weighs every value that no step has used."""

    shapes: tuple[tuple[int, ...], ...]
    steps: tuple[Step, ...]
    dtype: str = "float64"

    def arrays(self):
        """Inputs, the same for the same program."""
        rng = np.random.default_rng(len(self.steps))
        return [rng.uniform(-1.5, 1.5, shape).astype(self.dtype) for shape in self.shapes]

    def loss(self, *inputs):
        """The program on arrays, traced arrays or tensors: a scalar."""
        values = list(inputs)
        for step in self.steps:
            values.append(FUNCTIONS[step.name](*(values[k] for k in step.operands), *step.arguments))
        used = {k for step in self.steps for k in step.operands}
        total = 0.0
        for k, value in enumerate(values):
            if k not in used:
                size = int(np.prod(value.shape))
                weights = np.reshape(np.linspace(0.5, 1.5, size).astype(self.dtype), value.shape)
                total = total + np.sum(value * weights)
        return total

    def tensor_result(self):
        """Value and gradients of the dynamic graph."""
        tensors = [tg.tensor(x, requires_grad=True) for x in self.arrays()]
        loss = self.loss(*tensors)
        if loss.requires_grad:
            loss.backward()
        gradients = [
            np.zeros_like(x) if t.grad is None else t.grad.numpy() for t, x in zip(tensors, self.arrays(), strict=True)
        ]
        return [loss.detach().numpy(), *gradients]

    def static_result(self, mode):
        """Value and gradients of the static graph: ``mode`` is "now" or "never"."""
        function = tg.grad_compile(lambda *inputs: self.loss(*inputs), argnums=tuple(range(len(self.shapes))), compile=mode)
        value, gradients = function.value_and_grad(*self.arrays())
        return [value, *gradients]


# -- drawing ----------------------------------------------------------------------------------------------------------


@dataclass
class _Value:
    shape: tuple[int, ...]
    exact: bool


@st.composite
def _slices(draw, shape):
    """A basic index: slices with steps of both signs, integers, an ellipsis or None now and then."""
    key = []
    for n in shape:
        if n == 0:
            key.append(slice(None))
        elif draw(st.integers(0, 4)) == 0:
            key.append(draw(st.integers(-n, n - 1)))
        else:
            step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
            start = draw(st.one_of(st.none(), st.integers(-n, n - 1)))
            stop = draw(st.one_of(st.none(), st.integers(-n, n)))
            key.append(slice(start, stop, step))
    if draw(st.integers(0, 5)) == 0:
        key.insert(draw(st.integers(0, len(key))), None)
    return tuple(key)


@st.composite
def _move(draw, values, number):
    shape = values[number].shape
    ndim, size = len(shape), int(np.prod(shape))
    names = ["reshape", "expand", "broadcast"]
    if ndim:
        names += ["transpose", "index", "index", "gather", "flip", "pad", "roll", "assign"]
    if 1 in shape:
        names.append("squeeze")
    name = draw(st.sampled_from(names))
    if name == "reshape":
        choices = [(size,), (1, size), (size, 1), *((k, size // k) for k in (2, 3) if size % k == 0)]
        return Step(name, (number,), (draw(st.sampled_from(choices)),))
    if name == "expand":
        return Step(name, (number,), (draw(st.integers(0, ndim)),))
    if name == "broadcast":
        target = tuple(draw(st.integers(1, 3)) if n == 1 else n for n in shape)
        return Step(name, (number,), ((*draw(st.sampled_from([(), (2,), (3, 1)])), *target),))
    if name == "transpose":
        return Step(name, (number,), (tuple(draw(st.permutations(range(ndim)))),))
    if name == "index":
        return Step(name, (number,), (draw(_slices(shape)),))
    if name == "gather":
        if shape[0] == 0:
            return Step("index", (number,), (slice(None),))
        indices = draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4))
        return Step("index", (number,), (np.array(indices),))
    if name == "assign":
        return Step(name, (number,), (draw(_slices(shape)), 0.25))
    axis = draw(st.integers(-ndim, ndim - 1))
    if name == "flip":
        return Step(name, (number,), (axis,))
    if name == "roll":
        return Step(name, (number,), (draw(st.integers(-3, 3)), axis))
    if name == "pad":
        return Step(name, (number,), (tuple((draw(st.integers(0, 2)), draw(st.integers(0, 1))) for _ in shape),))
    return Step(name, (number,), (shape.index(1),))


KINDS = ("map", "pair", "pair", "reduce", "move", "move", "join", "contract")


@st.composite
def _step(draw, values, kinds):
    number = draw(st.integers(0, len(values) - 1))
    value = values[number]
    ndim = len(value.shape)
    kind = draw(st.sampled_from(kinds))
    if kind == "map":
        return Step(draw(st.sampled_from(sorted({**SMOOTH, **(EXACT if value.exact else {})}))), (number,))
    if kind == "reduce" and ndim and 0 not in value.shape:
        axes = [None, *range(-ndim, ndim)]
        names = sorted({**REDUCTIONS, **(EXACT_REDUCTIONS if value.exact else {})})
        name = draw(st.sampled_from([n for n in names if n != "softmax" or value.exact]))
        axis = draw(st.sampled_from(axes))
        if axis is not None and ndim > 1 and name != "prod" and draw(st.booleans()):
            axis = tuple(sorted(draw(st.sets(st.integers(0, ndim - 1), min_size=1))))
        return Step(name, (number,), (axis, draw(st.booleans())))
    other = draw(st.integers(0, len(values) - 1))
    partner = values[other]
    if kind == "pair":
        try:
            np.broadcast_shapes(value.shape, partner.shape)
        except ValueError:
            other, partner = number, value
        both = value.exact and partner.exact
        return Step(draw(st.sampled_from(sorted({**SMOOTH_PAIRS, **(EXACT_PAIRS if both else {})}))), (number, other))
    if kind == "join" and ndim:
        if partner.shape != value.shape:
            other = number
        return Step(draw(st.sampled_from(sorted(JOINS))), (number, other), (draw(st.integers(-ndim, ndim - 1)),))
    if kind == "contract" and ndim and partner.shape:
        try:
            np.zeros(value.shape) @ np.zeros(partner.shape)
        except ValueError:
            pass
        else:
            return Step("matmul", (number, other))
    return draw(_move(values, number))


@st.composite
def programs(draw, longest=7, dtypes=("float64", "float32"), kinds=KINDS, sides=SIDES):
    """Programs of up to ``longest`` steps of some kinds on one or two small inputs."""
    shapes = tuple(tuple(draw(st.lists(st.sampled_from(sides), max_size=3))) for _ in range(draw(st.integers(1, 2))))
    shapes = tuple(s if np.prod(s) <= MOST_ELEMENTS else s[:1] for s in shapes)
    dtype = draw(st.sampled_from(dtypes))
    values = [_Value(s, True) for s in shapes]
    steps = []
    for _ in range(draw(st.integers(1, longest))):
        step = draw(_step(values, kinds))
        arrays = [np.ones(values[k].shape) for k in step.operands]
        made = np.shape(FUNCTIONS[step.name](*arrays, *step.arguments))
        if np.prod(made) > MOST_ELEMENTS or len(made) > 5:
            continue
        smooth = step.name in (*SMOOTH, *SMOOTH_PAIRS, *REDUCTIONS, *CONTRACTIONS)
        values.append(_Value(made, not smooth and all(values[k].exact for k in step.operands)))
        steps.append(step)
    return Program(shapes, tuple(steps), dtype)


# -- comparing --------------------------------------------------------------------------------------------------------


def assert_agree(results, expected, dtype, label):
    """Equal dtypes and shapes, and values to within a few thousand units in the last place of the largest."""
    tolerance = 3e-4 if np.dtype(dtype) == np.float32 else 1e-11
    for k, (result, wanted) in enumerate(zip(results, expected, strict=True)):
        what = "value" if k == 0 else f"gradient {k - 1}"
        assert np.shape(result) == np.shape(wanted), f"{label}: {what} has shape {np.shape(result)}"
        assert result.dtype == np.dtype(dtype), f"{label}: {what} has dtype {result.dtype}"
        scale = 1.0 + np.max(np.abs(wanted), initial=0.0)
        np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=f"{label}: {what}")


def check(program, *modes):
    """All modes of a program give the value NumPy gives, and one gradient."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        expected = program.loss(*program.arrays())
        interpreted = program.static_result("never")
        assert_agree(interpreted[:1], [expected], program.dtype, "interpreter")
        if "eager" in modes:
            assert_agree(program.tensor_result(), interpreted, program.dtype, "eager")
        if "native" in modes:
            assert_agree(program.static_result("now"), interpreted, program.dtype, "generated code")


def run_python(script, **environment):
    """Run a script in a new process from the repository's root; its output."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
