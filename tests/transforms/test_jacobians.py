"""Jacobians and Hessians against closed forms and against each other; their structures are JAX's."""

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.errors import DifferentiationError

X = np.array([0.3, -1.2, 2.0])
MAKERS = [tg.jacfwd, tg.jacrev, tg.jacobian]


def never(f):
    return tg.jit(f, compile="never")


def mixed(x):
    return np.stack([np.sum(x**2), np.prod(x)])


EXPECTED = np.stack([2 * X, np.prod(X) / X])


@pytest.mark.parametrize("make", MAKERS)
def test_of_a_plain_function_of_a_compiled_one_and_within_one(make):
    for f in (make(mixed), make(never(mixed)), make(tg.jit(mixed)), never(make(mixed)), never(lambda x: make(mixed)(x))):
        np.testing.assert_allclose(f(X), EXPECTED, rtol=1e-12)


@pytest.mark.parametrize("make", MAKERS)
def test_trees_of_trees(make):
    def f(p, scale):
        return {"outer": p["a"][:, None] * p["b"], "sum": np.sum(p["a"]) * scale}

    p = {"a": np.arange(2.0), "b": np.arange(1.0, 4.0)}
    of_p, of_scale = make(f, argnums=(0, 1))(p, 2.0)["outer"]
    assert of_p["a"].shape == (2, 3, 2)
    np.testing.assert_allclose(of_p["a"], np.einsum("ik,j->ijk", np.eye(2), p["b"]))
    np.testing.assert_allclose(of_p["b"], np.einsum("i,jk->ijk", p["a"], np.eye(3)))
    np.testing.assert_array_equal(of_scale, np.zeros((2, 3)))
    whole = make(f)(p, 2.0)
    np.testing.assert_allclose(whole["sum"]["a"], [2.0, 2.0])
    scalar = make(f, argnums=1)(p, 2.0)["sum"]
    assert type(scalar) is np.float64
    assert scalar == 1.0


@pytest.mark.parametrize("make", MAKERS)
def test_empty_arrays_and_float32(make):
    assert make(lambda x: x)(np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert make(mixed)(np.zeros(0)).shape == (2, 0)
    assert make(mixed)(X.astype(np.float32)).dtype == np.float32
    assert make(lambda x: x)(np.zeros((0,), np.float32)).dtype == np.float32


@pytest.mark.parametrize("make", MAKERS)
def test_in_several_passes_where_one_would_take_too_much_memory(make, monkeypatch):
    monkeypatch.setattr("tracegrad.transforms.jacobians.LARGEST", 20)  # of 10 elements: two vectors in one pass
    x = np.linspace(0.1, 1.0, 5)
    expected = np.kron(np.eye(5), np.array([[1.0], [2.0]])) * np.cos(x)
    np.testing.assert_allclose(make(lambda x: np.repeat(np.sin(x), 2) * np.tile([1.0, 2.0], 5))(x), expected, rtol=1e-14)


@pytest.mark.parametrize("make", MAKERS)
def test_graphs_do_not_grow_with_the_number_of_columns(make):
    f = never(make(lambda x: np.sin(x) * np.sum(x)))
    assert len(f.graph(np.ones(3))) == len(f.graph(np.ones(300)))


@pytest.mark.parametrize("make", [*MAKERS, tg.hessian])
def test_aux(make):
    f = lambda x: (np.sum(x**3), {"twice": 2 * x})
    for g in (make(f, has_aux=True), never(make(f, has_aux=True))):
        result, aux = g(X)
        np.testing.assert_allclose(result, 3 * X**2 if make is not tg.hessian else np.diag(6 * X))
        np.testing.assert_allclose(aux["twice"], 2 * X)


def test_jacobian_chooses_by_shape():
    wide, tall = np.ones((2, 7)), np.ones((7, 2))

    def ways(matrix):
        made = tg.jacobian(lambda x: matrix @ x)
        made(np.ones(matrix.shape[1]))
        (program,) = made._linearised._programs.values()
        return len(program.part.outputs), program.part.inputs[-1].aval.shape

    assert ways(wide) == (1, (2,))
    assert ways(tall) == (1, (2,))


def test_hessian():
    f = lambda p: np.sum(p["a"] ** 2) * p["b"]
    p = {"a": X, "b": 2.0}
    for h in (tg.hessian(f)(p), never(tg.hessian(f))(p), tg.hessian(never(f))(p)):
        np.testing.assert_allclose(h["a"]["a"], 4 * np.eye(3))
        np.testing.assert_allclose(h["a"]["b"], 2 * X)
        np.testing.assert_allclose(h["b"]["a"], 2 * X)
        assert h["b"]["b"] == 0.0
    pair = tg.hessian(lambda a, b: np.sum(a * b**2), argnums=(0, 1))(X, X)
    np.testing.assert_allclose(pair[0][1], np.diag(2 * X))
    np.testing.assert_allclose(pair[1][1], np.diag(2 * X))


def test_third_derivatives_of_jacobians():
    third = tg.jacrev(tg.hessian(lambda x: np.sum(x**4)))(X)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 24 * X
    np.testing.assert_allclose(third, expected, atol=1e-12)
    np.testing.assert_allclose(tg.jacfwd(tg.jacfwd(tg.jacfwd(lambda x: np.sum(x**4))))(X), expected, atol=1e-12)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(tg.hessian(lambda y: np.sum(y**4))(x)))(X), 24 * X)


def test_hvp():
    f = lambda x, y: np.sum(x**3 * y)
    of_x, of_y = tg.hvp(f, (X, X), (X, np.ones(3)))
    np.testing.assert_allclose(of_x, 6 * X**3 + 3 * X**2)
    np.testing.assert_allclose(of_y, 3 * X**3)
    one = never(lambda x, v: tg.hvp(lambda x: np.sum(x**3), (x,), (v,)))(X, X)
    np.testing.assert_allclose(one, 6 * X**2)


def test_values_from_outside_are_read_again(monkeypatch):
    made = tg.jacobian(scaled)
    np.testing.assert_allclose(made(X), 2 * np.eye(3))
    monkeypatch.setitem(globals(), "FACTOR", 5.0)
    np.testing.assert_allclose(made(X), 5 * np.eye(3))


FACTOR = 2.0


def scaled(x):
    return FACTOR * x


@pytest.mark.parametrize("make", MAKERS)
def test_errors(make):
    with pytest.raises(DifferentiationError, match="the result of <lambda> is bool"):
        make(lambda x: x > 0)(X)
    with pytest.raises(DifferentiationError, match="x is int64"):
        make(lambda x: x * 2.0)(np.arange(3))
    with pytest.raises(DifferentiationError, match="argnums=1 of"):
        make(lambda x: x, argnums=1)(X)
    with pytest.raises(DifferentiationError, match="no pair"):
        make(lambda x: x, has_aux=True)(X)


def test_against_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    def made(m):
        return lambda p, x: {"y": m.tanh(x @ p["w"]), "s": m.sum(m.exp(p["w"]) ** 2) * x[0]}

    rng = np.random.default_rng(0)
    p, x = {"w": rng.normal(size=(3, 2))}, rng.normal(size=3)
    scalar = lambda m: lambda p, x: m.sum(made(m)(p, x)["y"] ** 2)
    jnp = jax.numpy
    for ours, theirs in [
        *((make(made(np), (0, 1))(p, x), jax.jacrev(made(jnp), (0, 1))(p, x)) for make in MAKERS),
        (tg.hessian(scalar(np), (0, 1))(p, x), jax.hessian(scalar(jnp), (0, 1))(p, x)),
    ]:
        mine, structure = jax.tree_util.tree_flatten(ours)
        others, other_structure = jax.tree_util.tree_flatten(theirs)
        assert structure == other_structure
        for a, b in zip(mine, others, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_values_that_all_columns_share_do_not_count(monkeypatch):
    sizes = []
    eye = np.eye
    monkeypatch.setattr(np, "eye", lambda *a: sizes.append(a[0]) or eye(*a))
    monkeypatch.setattr("tracegrad.transforms.jacobians.LARGEST", 20 * 20)
    matrix = np.arange(400.0).reshape(20, 20)
    np.testing.assert_allclose(tg.jacfwd(lambda x: matrix @ x)(np.ones(20)), matrix)
    assert sizes == [20]  # one pass, though the matrix alone has as many elements


def test_of_functions_with_a_derivative_of_their_own_and_of_decompositions():
    f = tg.custom_vjp(lambda x: x**2)
    f.defvjp(lambda x: (x**2, x), lambda x, g: (5.0 * g * x,))
    for make in MAKERS:
        np.testing.assert_allclose(make(lambda x: f(x))(X), np.diag(5 * X), atol=1e-12)
    a = np.array([[2.0, 0.3], [0.3, 1.0]])
    inverse = np.linalg.inv(a)
    expected = -np.einsum("ik,lj->ijkl", inverse, inverse)
    for make in MAKERS:
        np.testing.assert_allclose(make(np.linalg.inv)(a), expected, rtol=1e-12, atol=1e-14)
