"""Every transform of every other one, on pytrees, against closed forms; three deep and compiled by night.

On functions that map each element of a pytree by itself a transform, applied with ones for vectors and summed over its further
axes, gives the same function, its first or its second derivative: so whatever is composed is a derivative of known order.
"""

import itertools

import numpy as np
import pytest

import tracegrad as tg
from tracegrad.core.tree import flatten, tree_map

TREE = {"a": np.array([0.3, -1.2]), "b": (np.float64(0.7), np.array([[0.1, 1.1, -0.4]]))}


def derivative(x, order):
    """Of sin(x)·exp(x/2), as the imaginary part of (1/2 + i)^k exp((1/2 + i) x)."""
    return ((0.5 + 1j) ** order * np.exp((0.5 + 1j) * x)).imag


def base(tree):
    return tree_map(lambda x: np.sin(x) * np.exp(0.5 * x), tree)


def ones(tree):
    return tree_map(lambda x: np.ones(np.shape(x)), tree)


def total(f):
    return lambda tree: sum(np.sum(leaf) for leaf in flatten(f(tree))[0])


def rows_summed(table, tree):
    """Of a tree of trees, which a Jacobian is, what each element of the result adds up to."""
    shapes = [np.shape(leaf) for leaf in flatten(tree)[0]]
    leaves, structure = flatten(tree)
    cells, _ = flatten(table)
    count = len(leaves)
    found = []
    for i, shape in enumerate(shapes):
        row = cells[i * count : (i + 1) * count]
        found.append(sum(np.sum(np.reshape(cell, (*shape, -1)), axis=-1) for cell in row))
    return structure.unflatten(found)


def jacobian_by(transform):
    return lambda f: lambda tree: rows_summed(transform(f)(tree), tree)


def with_vjp(f):
    made = tg.custom_vjp(f)
    made.defvjp(lambda tree: (f(tree), tree), lambda tree, g: (tg.vjp(f, tree)[1](g)[0],))
    return made


def with_jvp(f):
    made = tg.custom_jvp(f)
    made.defjvp(lambda primals, tangents: tg.jvp(f, primals, tangents))
    return made


def straight_through(f):
    def through(tree):
        return f(tree_map(lambda x, held: held + (x - held), tree, tg.stop_gradient(tree)))

    return through


def mapped(f):
    def twice(tree):
        found = tg.vmap(f)(tree_map(lambda x: np.stack([x, x]), tree))
        return tree_map(lambda x: 0.25 * x[0] + 0.75 * x[1], found)

    return twice


def never(f):
    return tg.jit(f, compile="never")


ORDERS = {
    "grad": (lambda f: tg.grad(total(f)), 1),
    "value_and_grad": (lambda f: lambda tree: tg.value_and_grad(total(f))(tree)[1], 1),
    "vjp": (lambda f: lambda tree: tg.vjp(f, tree)[1](ones(tree))[0], 1),
    "jvp": (lambda f: lambda tree: tg.jvp(f, (tree,), (ones(tree),))[1], 1),
    "linearize": (lambda f: lambda tree: tg.linearize(f, tree)[1](ones(tree)), 1),
    "jacfwd": (jacobian_by(tg.jacfwd), 1),
    "jacrev": (jacobian_by(tg.jacrev), 1),
    "jacobian": (jacobian_by(tg.jacobian), 1),
    "hessian": (lambda f: lambda tree: rows_summed(tg.hessian(total(f))(tree), tree), 2),
    "hvp": (lambda f: lambda tree: tg.hvp(total(f), (tree,), (ones(tree),)), 2),
    "vmap": (mapped, 0),
    "elementwise_grad": (lambda f: tg.elementwise_grad(total(f)), 1),
    "custom_vjp": (with_vjp, 0),
    "custom_jvp": (with_jvp, 0),
    "checkpoint": (tg.checkpoint, 0),
    "stop_gradient": (straight_through, 0),
    "jit": (never, 0),
    "grad_compile": (lambda f: tg.grad_compile(total(f), compile="never").grad, 1),
}
"""What turns a function into its derivative of an order."""


def check(names, wrap=lambda f: f):
    f, order = base, 0
    for name in reversed(names):
        transform, more = ORDERS[name]
        f, order = transform(f), order + more
    found, structure = flatten(wrap(f)(TREE))
    leaves, expected = flatten(TREE)
    assert structure == expected, names
    for value, x in zip(found, leaves, strict=True):
        assert np.shape(value) == np.shape(x), names
        np.testing.assert_allclose(value, derivative(x, order), rtol=1e-11, atol=1e-12, err_msg=" of ".join(names))


PAIRS = list(itertools.product(ORDERS, repeat=2))
SOME = 3
"""One pair in so many is composed by day."""


@pytest.mark.parametrize("outer", ORDERS)
def test_of_other_ones(outer):
    for number, names in enumerate(PAIRS):
        if names[0] == outer and number % SOME == len(outer) % SOME:
            check(names)


@pytest.mark.nightly
@pytest.mark.parametrize("outer", ORDERS)
def test_of_every_other_one(outer):
    for inner in ORDERS:
        check((outer, inner))


@pytest.mark.parametrize("inner", ["jit", "vmap", "grad", "checkpoint", "custom_vjp", "hvp", "jacrev", "stop_gradient"])
def test_sparse_jacobians(inner):
    transform, order = ORDERS[inner]
    whole = tg.sparse_jacobian(transform(base))(TREE)
    leaves = np.concatenate([np.ravel(leaf) for leaf in flatten(TREE)[0]])
    np.testing.assert_allclose(whole.toarray(), np.diag(derivative(leaves, order + 1)), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("names", [("grad", "vmap", "jvp"), ("vmap", "hessian", "jit"), ("jacfwd", "checkpoint", "vjp")])
def test_compiled(names):
    check(names, wrap=tg.jit)


TRIPLES = [names for names in itertools.product(ORDERS, repeat=3) if sum(ORDERS[name][1] for name in names) < 5]


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(16))
def test_three_deep(start):
    for names in TRIPLES[start::64]:
        check(names)


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(8))
def test_three_deep_compiled(start):
    for names in TRIPLES[start::400]:
        check(names, wrap=tg.jit)
