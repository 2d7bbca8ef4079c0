"""tg.vmap: against loops and against JAX, composed with the other transforms, with pytrees of axes, and its errors."""

import numpy as np
import pytest

import tracegrad as tg
from tests.support import same
from tracegrad.errors import ConditionError, EscapeError, ShapeError, TraceError, TracegradError, TreeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
Y = RNG.normal(size=(3, 5))
W = RNG.normal(size=(3, 3))


def layer(w, x):
    return np.tanh(w @ x)


def energy(x):
    return np.sum(np.sin(W @ x) ** 2) + x[0] * x[1]


def loop(f, *columns):
    return np.stack([f(*row) for row in zip(*columns, strict=True)])


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert np.shape(a) == np.shape(b)


# -- axes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda f: f, tg.jit], ids=["interpreted", "compiled"])
def test_mapped_function_is_a_loop_over_the_axis(wrap):
    close(wrap(tg.vmap(lambda x: np.sin(x).sum()))(X), np.sin(X).sum(1))
    close(wrap(tg.vmap(layer, in_axes=(None, 0)))(W, X), np.tanh(X @ W.T))
    close(wrap(tg.vmap(layer, in_axes=(None, 1), out_axes=1))(W, Y), np.tanh(W @ Y))
    close(wrap(tg.vmap(layer, in_axes=(None, -1), out_axes=-1))(W, Y), np.tanh(W @ Y))
    close(wrap(tg.vmap(lambda x, i: x[i]))(X, np.array([0, 1, 2, 0, -1])), X[np.arange(5), [0, 1, 2, 0, -1]])
    close(wrap(tg.vmap(lambda i: X[i]))(np.array([4, 0])), X[[4, 0]])


def test_axes_are_trees_that_are_the_upper_part_of_arguments_and_results():
    params = {"w": np.stack([W, 2 * W]), "b": [np.ones(3), np.zeros((3, 2))]}

    def f(p, x):
        return {"y": p["w"] @ x + p["b"][0], "z": (p["b"][1], p["b"][0])}

    mapped = tg.vmap(f, in_axes=({"w": 0, "b": [None, 1]}, None), out_axes={"y": 1, "z": (0, None)})
    found = mapped(params, X[0])
    close(found["y"], np.stack([W @ X[0] + 1, 2 * W @ X[0] + 1], 1))
    close(found["z"][0], np.zeros((2, 3)))
    close(found["z"][1], np.ones(3))
    close(tg.vmap(lambda pair: pair[0] * pair[1])((X, Y.T)), X * Y.T)
    close(tg.vmap(lambda x, *, y: x * y, in_axes=1)(X.T, y=Y.T), X * Y.T)
    close(tg.vmap(lambda x, y: x * y, in_axes=[0, 1])(X, Y), X * Y.T)


def test_results_that_all_elements_share_are_repeated():
    same(tg.vmap(lambda x, y: (y, 1.0), in_axes=(0, None))(X, Y[0]), (np.stack([Y[0]] * 5), np.ones(5)))
    same(tg.vmap(lambda x, y: y, in_axes=(0, None), out_axes=None)(X, Y[0]), Y[0])
    same(tg.vmap(lambda y: 2 * y, in_axes=None, axis_size=2)(Y[0]), np.stack([2 * Y[0]] * 2))


def test_axis_of_no_elements():
    same(tg.vmap(energy)(np.zeros((0, 3))), np.zeros(0))
    same(tg.vmap(np.max)(np.zeros((0, 3), np.float32)), np.zeros(0, np.float32))
    same(tg.vmap(lambda x: np.sort(x) > 0, out_axes=1)(np.zeros((0, 3))), np.zeros((3, 0), bool))


def test_dtypes_stay():
    assert tg.vmap(lambda x: 2 * x)(X.astype(np.float32)).dtype == np.float32
    assert tg.vmap(lambda x: x.argmax())(X).dtype == np.int64


def test_static_and_structural_arguments_of_all_elements():
    def f(x, n, how, nothing):
        assert nothing is None
        return x[:n].sum() if how == "sum" else x[:n].prod()

    close(tg.vmap(f, in_axes=(0, None, None, None))(X, 2, "prod", None), X[:, :2].prod(1))


def test_assignments_within_the_function():
    def f(x):
        out = np.zeros(4)
        out[0] = x[0]
        out[1:] += x
        out[out > 1] = 1
        return out

    close(tg.vmap(f)(X), loop(f, X))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sort(x)[::-1],
        lambda x: np.cumsum(x) / np.arange(1, 4),
        lambda x: np.linalg.inv(np.outer(x, x) + np.eye(3)),
        lambda x: np.linalg.slogdet(np.outer(x, x) + np.eye(3))[1],
        lambda x: np.where(x > 0, np.sqrt(np.abs(x)), 0.0),
        lambda x: np.interp(x, np.array([-1.0, 0.0, 1.0]), np.array([0.0, 2.0, 1.0])),
        lambda x: np.median(x),
        lambda x: np.einsum("i,j,ij->", x, x, W),
        lambda x: np.convolve(x, np.array([1.0, 2.0])),
        lambda x: np.concatenate([x, W @ x]).reshape(2, 3).T,
        lambda x: np.take(x, np.argsort(x)),
        lambda x: np.pad(x, 1) ** 2,
    ],
)
def test_values_and_gradients_of_functions_are_those_of_loops(f):
    close(tg.vmap(f)(X), loop(f, X))

    def total(x):
        return np.sum(f(x) * np.cos(f(x)))

    close(tg.vmap(tg.grad(total))(X), loop(tg.grad(total), X))
    close(tg.grad(lambda x: np.sum(tg.vmap(total)(x)))(X), loop(tg.grad(total), X))


# -- composition -----------------------------------------------------------------------------------------------------------


def test_nested_maps_are_maps_over_two_axes():
    close(tg.vmap(tg.vmap(np.sin))(X), np.sin(X))
    close(tg.vmap(tg.vmap(lambda a, b: a * b, (None, 0)), (0, None))(X[0], X[1]), np.outer(X[0], X[1]))

    def outer(x):  # both maps are over the same array, but their elements are not the same
        return tg.vmap(lambda a: tg.vmap(lambda b: a * b)(x))(x)

    close(tg.jit(outer, compile="never")(X[0]), np.outer(X[0], X[0]))
    close(tg.vmap(outer)(X), loop(lambda x: np.outer(x, x), X))


def test_gradients_of_maps_and_maps_of_gradients():
    close(tg.vmap(tg.grad(energy))(X), loop(tg.grad(energy), X))
    close(tg.vmap(tg.grad(tg.grad(lambda x: x**4)))(X[0]), 12 * X[0] ** 2)
    value, gradient = tg.vmap(tg.value_and_grad(energy))(X)
    close(value, loop(energy, X))
    close(gradient, loop(tg.grad(energy), X))

    def total(w):
        return np.sum(tg.vmap(lambda x: layer(w, x) @ x)(X))

    expected = sum(np.outer((1 - np.tanh(W @ x) ** 2) * x, x) for x in X)
    close(tg.grad(total)(W), expected)
    close(tg.grad_compile(total).grad(W), expected)
    close(tg.vmap(tg.grad(total))(np.stack([W, 2 * W]))[0], expected)


def test_other_transforms_inside_and_outside():
    v = np.ones(3)
    close(tg.vmap(lambda x: tg.hvp(energy, (x,), (v,)))(X), loop(lambda x: tg.hvp(energy, (x,), (v,)), X))
    close(tg.vmap(tg.hessian(energy))(X), loop(tg.hessian(energy), X))
    close(tg.vmap(tg.jacrev(lambda x: layer(W, x)))(X), loop(tg.jacrev(lambda x: layer(W, x)), X))
    _, tangent = tg.jvp(tg.vmap(energy), (X,), (np.ones_like(X),))
    close(tangent, loop(lambda x: tg.grad(energy)(x).sum(), X))
    _, pullback = tg.vjp(lambda x: layer(W, x), X[0])
    close(tg.vmap(pullback)(np.eye(3))[0], tg.jacrev(lambda x: layer(W, x))(X[0]))
    _, push = tg.linearize(lambda x: layer(W, x), X[0])
    close(tg.vmap(push, out_axes=1)(np.eye(3)), tg.jacfwd(lambda x: layer(W, x))(X[0]))

    def rows(x):
        _, pull = tg.vjp(lambda x: layer(W, x), x)
        return tg.vmap(pull)(np.eye(3))[0]

    close(tg.jit(rows, compile="never")(X[0]), tg.jacrev(lambda x: layer(W, x))(X[0]))


def test_compiled_functions_inside():
    close(tg.vmap(tg.jit(energy))(X), loop(energy, X))
    close(tg.vmap(tg.grad_compile(energy).grad)(X), loop(tg.grad(energy), X))


def test_derivative_of_a_closure_does_not_see_the_elements():
    def f(w):
        return np.sum(tg.vmap(lambda x: tg.grad(lambda u: u * w * x)(x))(X[0]))

    close(tg.grad(f)(2.0), X[0].sum())


@tg.custom_vjp
def clipped(w, x):
    return w * np.sin(x)


clipped.defvjp(
    lambda w, x: (w * np.sin(x), (w, x)),
    lambda kept, g: (np.clip(g, -0.5, 0.5) * np.sin(kept[1]), np.clip(g, -0.5, 0.5) * kept[0]),
)


@tg.custom_jvp
def doubled(w, x):
    return (w * x, x**2)


@doubled.defjvp
def _(primals, tangents):
    (w, x), (dw, dx) = primals, tangents
    return doubled(w, x), (2 * (w * dx + dw * x), 2 * x * dx)


@pytest.mark.parametrize("f", [clipped, lambda w, x: doubled(w, x)[0] * doubled(w, x)[1]], ids=["vjp", "jvp"])
def test_functions_with_a_derivative_of_their_own_keep_it(f):
    both, x = tg.grad(f, (0, 1)), X[0]
    for mine, theirs in zip(tg.vmap(both)(x, x), zip(*(both(e, e) for e in x), strict=True), strict=True):
        close(mine, np.stack(theirs))

    def total(w, x):
        return np.sum(tg.vmap(f, (None, 0))(w, x))

    loops = [both(2.0, e) for e in x]
    of_w, of_x = tg.grad(total, (0, 1))(2.0, x)
    close(of_w, sum(w for w, _ in loops))
    close(of_x, np.stack([e for _, e in loops]))
    if f is not clipped:  # clipping is not linear
        _, tangent = tg.jvp(total, (2.0, x), (1.0, np.ones(3)))
        close(tangent, sum(w + e for w, e in loops))


def test_the_graph_does_not_grow_with_the_axis():
    mapped = tg.jit(tg.vmap(tg.grad(energy)), compile="never")
    assert len(mapped.graph(X)) == len(mapped.graph(np.ones((500, 3))))


def test_lines_of_the_user_stay():
    graph = tg.jit(tg.vmap(energy), compile="never").graph(X)
    assert {node.where.function for node in graph if node.where is not None and node.op.name == "sin"} == {"energy"}


FUNCTIONS = [
    (lambda np: lambda x, y: np.sin(x) * y[0], (0, 1), 0),
    (lambda np: lambda x, y: (np.dot(x, W) @ y[:3, 0], x.sum()), (0, None), 0),
    (lambda np: lambda x, y: {"a": np.outer(x, y), "b": y.max()}, (1, None), {"a": 2, "b": None}),
    (lambda np: lambda x, y: np.where(x > 0, x, y[1]), (None, 1), -1),
    (lambda np: lambda x, y: np.linalg.solve(W + np.diag(x), y[:, :2]), (0, None), 1),
    (lambda np: lambda x, y: np.cumsum(np.sort(x)) @ y, (-2, None), 0),
]


@pytest.mark.parametrize(("f", "in_axes", "out_axes"), FUNCTIONS)
def test_results_are_jaxs(f, in_axes, out_axes):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        known = jax.tree.leaves(jax.vmap(f(jax.numpy), in_axes, out_axes)(X[:3], Y[:, :3]))
    found = jax.tree.leaves(tg.vmap(f(np), in_axes, out_axes)(X[:3], Y[:, :3]))
    for mine, theirs in zip(found, known, strict=True):
        close(mine, np.asarray(theirs))


# -- errors ------------------------------------------------------------------------------------------------------------------


def kept(x):
    box = []
    tg.vmap(box.append, out_axes=None)(x)
    return box[0].sum()


def written(x):
    out = np.zeros(3)

    def f(row):
        out[0] = row[0]
        return row

    tg.vmap(f)(x)
    return out


def into(x):
    x[0] = 1.0
    return x


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tg.vmap(3), TracegradError, r"tg\.vmap was given 'int', which is no function"),
        (lambda: tg.vmap(energy, in_axes=1.5), TreeError, "in_axes=1.5 of tg.vmap is of type float"),
        (lambda: tg.vmap(energy, in_axes=(True,)), TreeError, "in_axes of tg.vmap has True for an axis"),
        (lambda: tg.vmap(energy, out_axes="0"), TreeError, "out_axes of tg.vmap has '0' for an axis"),
        (lambda: tg.vmap(layer, in_axes=(0,))(W, X), TreeError, "1 entries for 2 positional arguments of layer"),
        (lambda: tg.vmap(layer)(W, X), ShapeError, "different sizes: w has 3 along axis 0, x has 5 along axis 0"),
        (lambda: tg.vmap(layer, in_axes=None)(W, X), ShapeError, "vmap of layer maps over no argument"),
        (lambda: tg.vmap(energy, in_axes=2)(X), ShapeError, r"in_axes maps x over axis 2, but its shape is \(5, 3\)"),
        (lambda: tg.vmap(energy)(2.0), ShapeError, r"its shape is \(\)(.|\n)*an entry of None for x"),
        (lambda: tg.vmap(energy, axis_size=4)(X), ShapeError, "axis_size=4, but x has 5 along axis 0"),
        (lambda: tg.vmap(energy, out_axes=None)(X), ShapeError, "out_axes is None for the result of energy"),
        (lambda: tg.vmap(energy, out_axes=1)(X), ShapeError, r"which has shape \(\) for one element"),
        (lambda: tg.vmap(energy, out_axes=(0, 0))(X), TreeError, "out_axes has the structure"),
        (lambda: tg.vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": X}), TreeError, r"in_axes\[0\] has the structure"),
        (lambda: tg.vmap(lambda x, how: x)(X, "sum"), TreeError, "how is of type str, which has no axis"),
        (lambda: tg.vmap(lambda x: x if x[0] > 0 else -x)(X), ConditionError, "condition"),
        (lambda: tg.vmap(lambda x: float(x[0]))(X), EscapeError, "float"),
        (lambda: tg.vmap(lambda i: X[:i])(np.arange(3)), EscapeError, "an integer used as structure"),
        (lambda: tg.vmap(into)(X), TraceError, "x is an argument, and arguments are never written to"),
        (lambda: tg.jit(kept, compile="never")(X), TraceError, "inside of a function that tg.vmap maps is used outside of it"),
        (lambda: tg.jit(written, compile="never")(X), TraceError, "inside of a function that tg.vmap maps"),
    ],
)
def test_errors_name_the_argument_and_what_to_write(call, error, match):
    with pytest.raises(error, match=match) as caught:
        call()
    assert __file__ in str(caught.value)
