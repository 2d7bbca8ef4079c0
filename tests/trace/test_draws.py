"""Generators among the arguments: NumPy's numbers from NumPy's stream, drawn at every call, with their derivatives."""

import dataclasses
import random

import numpy as np
import pytest
import scipy.stats

import tracegrad as tg
from tracegrad.errors import ConditionError, DifferentiationError, EscapeError, ShapeError, TraceError, TreeError
from tracegrad.trace.draws import DRAWING, drawn

X = np.array([0.5, 1.5, 2.5])
COV = np.array([[2.0, 0.5], [0.5, 1.0]])
OUTSIDE = np.random.default_rng(0)


def new(seed=1):
    return np.random.default_rng(seed)


def state(rng):
    return rng.bit_generator.state


def shuffled(x, rng):
    y = np.stack([x, 2 * x])
    rng.shuffle(y, axis=1)
    return y


def filled(x, rng):
    out = np.empty(4)
    rng.standard_normal(out=out)
    return out + x[0]


METHODS = {
    "random": lambda x, rng: x * rng.random(3) + rng.random() + rng.random(2, np.float32)[0],
    "standard_normal": lambda x, rng: rng.standard_normal((2, 3)) * x + rng.standard_normal(dtype=np.float32),
    "standard_exponential": lambda x, rng: rng.standard_exponential(3, method="inv") * x,
    "standard_cauchy": lambda x, rng: rng.standard_cauchy(3) * x,
    "filled": filled,
    "float32": lambda x, rng: rng.standard_normal(3, dtype=np.float32),
    "normal": lambda x, rng: rng.normal(x, 2.0, size=(4, 3)),
    "normal of numbers": lambda x, rng: (rng.normal(), rng.normal(x[0], x[1]), rng.normal(size=())),
    "uniform": lambda x, rng: rng.uniform(-x, x),
    "exponential": lambda x, rng: rng.exponential(x, (4, 3)),
    "lognormal": lambda x, rng: rng.lognormal(x, 0.1),
    "laplace": lambda x, rng: rng.laplace(x, x),
    "logistic": lambda x, rng: rng.logistic(x, x),
    "gumbel": lambda x, rng: rng.gumbel(x, x),
    "rayleigh": lambda x, rng: rng.rayleigh(x),
    "weibull": lambda x, rng: rng.weibull(x),
    "pareto": lambda x, rng: rng.pareto(x + 1.0),
    "power": lambda x, rng: rng.power(x),
    "triangular": lambda x, rng: rng.triangular(-x, x, 2 * x + 1, (50, 3)),
    "multivariate_normal": lambda x, rng: rng.multivariate_normal(x[:2], COV, 5),
    "multivariate_normal by cholesky": lambda x, rng: rng.multivariate_normal(x[:2], COV, method="cholesky"),
    "multivariate_normal by eigh": lambda x, rng: rng.multivariate_normal(x[:2], np.diag(x[:2]), (2, 2), method="eigh"),
    "permutation": lambda x, rng: (rng.permutation(x), rng.permutation(5)),
    "permuted": lambda x, rng: (rng.permuted(np.stack([x, 2 * x]), axis=1), rng.permuted(x)),
    "shuffle": shuffled,
    "choice": lambda x, rng: (rng.choice(x, 7), rng.choice(3, 2, replace=False), rng.choice([1.0, 2.0], 4, p=[0.3, 0.7])),
    "integers": lambda x, rng: (rng.integers(0, 10, size=4, dtype=np.int32), rng.integers(7), rng.integers([1, 2, 30])),
    "known parameters": lambda x, rng: (rng.poisson(3.0, 4), rng.gamma(2.0, 3.0, 3), rng.dirichlet([1.0, 2.0]), rng.beta(2, 3)),
    "bernoulli": lambda x, rng: np.where(rng.random(3) < 0.5, x, 0.0),
}


@pytest.mark.parametrize("mode", ["never", "now"])
@pytest.mark.parametrize("name", METHODS)
def test_numbers_and_stream_are_those_of_numpy(name, mode):
    function = METHODS[name]
    compiled = tg.jit(function, compile=mode)
    ours, theirs = new(), new()
    for _ in range(3):  # traced, by the general path, by a caller
        found, expected = compiled(X, ours), function(X, theirs)
        for left, right in zip(*[x if isinstance(x, tuple) else (x,) for x in (found, expected)], strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-13)
            assert np.shape(left) == np.shape(right)
            assert np.asarray(left).dtype == np.asarray(right).dtype
        assert state(ours) == state(theirs)
    assert compiled.stats.traces == 1


def test_every_method_is_one_of_numpys():
    assert {"normal", "integers", "shuffle"} <= DRAWING <= set(dir(np.random.Generator))


@pytest.mark.parametrize("name", [n for n in METHODS if n not in ("integers", "known parameters", "choice", "float32")])
def test_derivatives_are_those_of_the_same_numbers(name):
    def total(x, rng):
        found = METHODS[name](x, rng)
        return sum(np.sum(np.sin(part)) for part in (found if isinstance(found, tuple) else (found,)))

    slope = tg.grad(total)(X, new())
    for k in range(3):
        h = 1e-6 * (np.arange(3) == k)
        np.testing.assert_allclose(slope[k], (total(X + h, new()) - total(X - h, new())) / 2e-6, rtol=1e-5, atol=1e-7)


def noisy(x, rng):
    return np.sum(rng.normal(x, 2 * x, size=(4, 3)) ** 2)


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: tg.value_and_grad(f),
        lambda f: tg.jit(tg.grad(f)),
        lambda f: tg.hessian(f),
        lambda f: tg.grad_compile(f, compile="never").value_and_grad,
        lambda f: tg.sparse_jacobian(lambda x, rng: x * f(x, rng)),
        lambda f: lambda x, rng: tg.vjp(f, x, rng)[1](1.0),
        lambda f: lambda x, rng: tg.jvp(f, (x, rng), (x, None)),
        lambda f: lambda x, rng: tg.linearize(f, x, rng)[1](x, None),
        lambda f: lambda x, rng: tg.hvp(f, (x, rng), (x, None)),
        lambda f: tg.jit(lambda x, rng: tg.vjp(f, x, rng)[1](1.0)[0], compile="never"),
        lambda f: tg.checkpoint(f) if hasattr(tg, "checkpoint") else f,
    ],
)
def test_transforms_draw_once(transform):
    ours, theirs = new(), new()
    for _ in range(3):
        transform(noisy)(X, ours)
        noisy(X, theirs)
        assert state(ours) == state(theirs)


def test_value_and_gradient_see_the_same_numbers():
    compiled = tg.grad_compile(noisy)
    value, slope = compiled.value_and_grad(X, new())
    np.testing.assert_allclose(value, noisy(X, new()), rtol=1e-13)
    np.testing.assert_allclose(slope, tg.grad(noisy)(X, new()), rtol=1e-13)
    assert tg.hvp(noisy, (X, new()), (X, None)).shape == (3,)
    pulled = tg.vjp(noisy, X, new())[1](1.0)
    assert pulled[1] is None
    np.testing.assert_allclose(pulled[0], slope, rtol=1e-13)


def test_each_element_of_a_map_has_its_own_numbers():
    rng = new()
    found = tg.vmap(lambda x, rng: x + rng.normal(size=2), (0, None))(np.zeros(4), rng)
    np.testing.assert_array_equal(found, new().normal(size=(4, 2)))

    def inner(x, rng):
        return tg.vmap(tg.vmap(lambda e: e + rng.normal()))(x)

    np.testing.assert_array_equal(tg.jit(inner, compile="never")(np.zeros((2, 3)), new()), new().normal(size=(2, 3)))
    with pytest.raises(TreeError, match="no axis to map over"):
        tg.vmap(lambda x, rng: x + rng.normal())(X, new())
    with pytest.raises(TraceError, match="draw with size="):
        tg.vmap(lambda x, rng: x + rng.permutation(3), (0, None))(X, new())


@dataclasses.dataclass
class World:
    scale: float
    rng: np.random.Generator


def step(x, world, *, other):
    helped = helper(x, world.rng)
    return np.sum(helped * other["noise"].normal(size=3)) + world.scale * world.rng.random()


def helper(x, rng):
    assert isinstance(rng, np.random.Generator)
    return rng.normal(x, 0.5)


@pytest.mark.parametrize("mode", ["never", "now", "background"])
def test_generators_in_containers_by_name_and_several(mode):
    compiled = tg.grad_compile(step, compile=mode)
    ours, theirs = (new(1), new(2)), (new(1), new(2))
    for _ in range(5):
        found = compiled(X, World(2.0, ours[0]), other={"noise": ours[1]})
        np.testing.assert_allclose(found, step(X, World(2.0, theirs[0]), other={"noise": theirs[1]}), rtol=1e-13)
    one, two = new(3), new(3)  # the same generator twice
    found = compiled(X, World(2.0, one), other={"noise": one})
    np.testing.assert_allclose(found, step(X, World(2.0, two), other={"noise": two}), rtol=1e-13)
    assert [state(r) for r in (*ours, one)] == [state(r) for r in (*theirs, two)]
    assert compiled.stats.traces == 1


def test_callers_draw_once_whatever_is_given():
    compiled = tg.jit(lambda x, rng: x @ x.T + rng.normal(size=(2, 2)))
    ours, theirs = new(), new()
    out = np.empty((2, 2))
    for k in range(8):
        x = np.arange(12.0).reshape(3, 4).T[1:3] if k % 2 else np.ones((2, 3))
        given = {"out": out} if k > 3 else {}
        found = compiled(x, ours, **given)
        np.testing.assert_allclose(found, x @ x.T + theirs.normal(size=(2, 2)), rtol=1e-13)
        assert state(ours) == state(theirs)
    assert found is out


def test_tensors_and_generators():
    ours, theirs = new(), new()
    x = tg.tensor(X, requires_grad=True)
    loss = tg.jit(noisy, compile="never")(x, ours)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), tg.grad(noisy)(X, theirs), rtol=1e-6)
    assert state(ours) == state(theirs)


def test_compiled_functions_inside():
    inner = tg.jit(lambda rng: rng.normal(size=3))
    outer = tg.jit(lambda x, rng: inner(rng) * x + inner(rng), compile="never")
    ours, theirs = new(), new()
    np.testing.assert_allclose(outer(X, ours), theirs.normal(size=3) * X + theirs.normal(size=3))
    assert state(ours) == state(theirs)


def test_looking_does_not_draw():
    rng = new()
    compiled = tg.grad_compile(noisy)
    compiled.graph(X, rng)
    compiled.explain(X, rng, profile=True)
    assert state(rng) == state(new())


def test_what_is_not_used_is_drawn_all_the_same():
    def function(x, rng):
        rng.normal(size=5)
        return x + rng.random()

    ours, theirs = new(), new()
    assert np.array_equal(tg.jit(function, compile="never")(X, ours), function(X, theirs))
    assert state(ours) == state(theirs)


def imported(x):
    import random as chance

    return x + chance.random()


def test_what_draws_by_other_ways_is_refused():
    fixed = scipy.stats.norm(0.0, 1.0)
    for function in (
        imported,
        lambda x: x + scipy.stats.norm.rvs(),
        lambda x: x + fixed.rvs(3),
        lambda x: x + scipy.stats.gamma(2.0).rvs(3),
        lambda x: x + np.random.Generator(np.random.PCG64(0)).normal(),
        lambda x: x + np.random.default_rng(0).normal(),
    ):
        with pytest.raises(TraceError, match="draws while tracing") as caught:
            tg.jit(function, compile="never")(X)
        assert caught.value.where.file == __file__


def test_distributions_of_scipy_draw_from_a_generator():
    ours, theirs = new(), new()
    compiled = tg.jit(lambda x, rng: x + scipy.stats.norm.rvs(1.0, 2.0, size=3, random_state=rng), compile="never")
    for _ in range(3):
        np.testing.assert_allclose(compiled(X, ours), X + scipy.stats.norm.rvs(1.0, 2.0, size=3, random_state=theirs))
        assert state(ours) == state(theirs)


def test_only_exact_generators_are_drawn_from():
    class Other(np.random.Generator):
        pass

    for rng in (Other(np.random.PCG64(0)), np.random.RandomState(0), random.Random(0)):
        with pytest.raises(TraceError, match="draws while tracing") as caught:
            tg.jit(lambda x, rng: x + rng.uniform(0.0, 1.0), compile="never")(X, rng)
        assert "pass rng as an argument" in caught.value.fix


REFUSED = {
    "closure": (lambda x, rng: x + OUTSIDE.normal(), TraceError, "draws while tracing"),
    "int": (lambda x, rng: rng.normal(size=int(x[0])), EscapeError, "needs the value"),
    "condition": (lambda x, rng: x if rng.random() < 0.5 else -x, ConditionError, "truth"),
    "bytes": (lambda x, rng: x + rng.bytes(3), TraceError, "rng.bytes"),
    "bit_generator": (lambda x, rng: rng.bit_generator, TraceError, "rng.bit_generator"),
    "spawn": (lambda x, rng: rng.spawn(2), TraceError, "rng.spawn"),
    "shapes": (lambda x, rng: rng.normal(x, size=2), ShapeError, r"size=2 and parameters of shape \(3,\)"),
    "result": (lambda x, rng: rng, TraceError, "not an array"),
    "out": (lambda x, rng: rng.random(out=[1.0]), TraceError, "out="),
    "cov": (lambda x, rng: rng.multivariate_normal(x, COV), ShapeError, "shapes"),
    "scale": (lambda x, rng: rng.normal(0.0, -1.0), ValueError, "scale < 0"),
    "name": (lambda x, rng: rng.nomral(), AttributeError, "nomral"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    function, error, text = REFUSED[name]
    with pytest.raises(error, match=text) as caught:
        tg.jit(function, compile="never")(X, new())
    assert not isinstance(caught.value, TraceError) or caught.value.where.file == __file__


def test_there_is_no_gradient_with_respect_to_a_generator():
    for gradient in (tg.grad(noisy, 1), tg.grad_compile(noisy, argnums=1, compile="never").grad):
        with pytest.raises(DifferentiationError, match="rng is a Generator"):
            gradient(X, new())
    with pytest.raises(TraceError, match="draws while tracing"):
        tg.jit(noisy, static_argnames="rng", compile="never")(X, new())


def test_rules_for_derivatives_do_not_draw():
    noise = tg.custom_vjp(lambda x, rng: x * rng.normal(), nondiff_argnums=(1,))
    noise.defvjp(lambda x, rng: (x * rng.normal(), None), lambda rng, _, g: (g,))
    with pytest.raises(TraceError, match="draws in the rule"):
        tg.jit(noise, compile="never")(2.0, new())


def test_copies_leave_generators_alone():
    rng = new()
    assert drawn((), [rng]) == [rng]


# -- draws whose parameters are computed ---------------------------------------------------------------------------------

SHAPES = np.array([0.7, 1.5, 6.0])
COMPUTED = {
    "standard_gamma": lambda x, rng: rng.standard_gamma(2 * x),
    "gamma": lambda x, rng: (rng.gamma(x, 2 * x, (4, 3)), rng.gamma(2.0, x), rng.gamma(x[0])),
    "chisquare": lambda x, rng: rng.chisquare(x),
    "beta": lambda x, rng: (rng.beta(x, 2 * x), rng.beta(2.0, x, (5, 3)), rng.beta(x, 0.5)),
    "standard_t": lambda x, rng: rng.standard_t(x),
    "of a draw": lambda x, rng: rng.normal(rng.gamma(rng.uniform(x, x + 1))),
    "integers": lambda x, rng: (rng.poisson(x), rng.binomial(5, x / 13), rng.geometric(x / 13, size=(2, 3))),
    "choice": lambda x, rng: rng.choice(x, p=x / np.sum(x)),
    "others": lambda x, rng: (rng.vonmises(x, 2.0), rng.wald(x, x), rng.dirichlet(x), rng.multinomial(5, x / np.sum(x))),
}


@pytest.mark.parametrize("mode", ["never", "now"])
@pytest.mark.parametrize("name", COMPUTED)
def test_draws_of_computed_parameters(name, mode):
    function = COMPUTED[name]
    compiled, ours, theirs = tg.jit(function, compile=mode), new(), new()
    for scale in (1.0, 1.0, 2.0):
        found, expected = compiled(scale * SHAPES, ours), function(scale * SHAPES, theirs)
        for left, right in zip(*[x if isinstance(x, tuple) else (x,) for x in (found, expected)], strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12)
            assert np.asarray(left).dtype == np.asarray(right).dtype
        assert state(ours) == state(theirs)
    assert compiled.stats.traces == 1


GAMMA = (lambda z, a: scipy.special.gammainc(a, z), lambda u, a: scipy.special.gammaincinv(a, u))
QUANTILES = {
    "standard_gamma": (lambda a, rng: rng.standard_gamma(a), *GAMMA),
    "chisquare": (lambda a, rng: 0.5 * rng.chisquare(2 * a), *GAMMA),
    "beta": (
        lambda a, rng: rng.beta(a, 2.0),
        lambda z, a: scipy.special.betainc(a, 2.0, z),
        lambda u, a: scipy.special.betaincinv(a, 2.0, u),
    ),
    "beta of b": (
        lambda a, rng: rng.beta(2.0, a),
        lambda z, a: scipy.special.betainc(2.0, a, z),
        lambda u, a: scipy.special.betaincinv(2.0, a, u),
    ),
    "standard_t": (
        lambda a, rng: rng.standard_t(a),
        lambda z, a: scipy.special.stdtr(a, z),
        lambda u, a: scipy.special.stdtrit(a, u),
    ),
}


@pytest.mark.parametrize("name", QUANTILES)
def test_draws_move_along_their_quantiles(name):
    draw, share, quantile = QUANTILES[name]

    def total(a, rng):
        return np.sum(draw(a, rng))

    z = draw(SHAPES, new())
    u, h = share(z, SHAPES), 1e-4
    above, below = quantile(u, SHAPES + h), quantile(u, SHAPES - h)
    slope = tg.grad(total)(SHAPES, new())
    np.testing.assert_allclose(slope, (above - below) / (2 * h), rtol=1e-5)
    np.testing.assert_allclose(tg.jit(tg.grad(total))(SHAPES, new()), slope, rtol=1e-11)
    np.testing.assert_allclose(tg.jvp(draw, (SHAPES, new()), (np.ones(3), None))[1], slope, rtol=1e-11)
    curvature = np.diag(tg.hessian(total)(SHAPES, new()))
    np.testing.assert_allclose(curvature, (above - 2 * z + below) / h**2, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x, rng: x * rng.poisson(x),
        lambda x, rng: np.where(rng.binomial(5, x / 10) > 2, x, 0.0),
        lambda x, rng: x[rng.choice(3, p=x / np.sum(x))],
        lambda x, rng: rng.dirichlet(x),
        lambda x, rng: rng.vonmises(x, 1.0),
    ],
)
def test_what_has_no_derivative_says_so(draw):
    def total(x, rng):
        return np.sum(draw(x, rng))

    gradients = (tg.grad(total), tg.grad_compile(total, compile="never").grad, lambda x, r: tg.jvp(total, (x, r), (x, None)))
    for gradient in gradients:
        with pytest.raises(DifferentiationError, match="has no derivative with respect to its parameters") as caught:
            gradient(SHAPES, new())
        assert caught.value.where.file == __file__
    assert tg.jit(total, compile="never")(SHAPES, new()) == pytest.approx(total(SHAPES, new()))


def test_a_draw_of_stopped_parameters_counts_as_a_number():
    def total(x, rng):
        return np.sum(x * rng.poisson(tg.stop_gradient(x)))

    np.testing.assert_array_equal(tg.grad(total)(SHAPES, new()), new().poisson(SHAPES))


def test_computed_parameters_are_the_same_for_all_elements_of_a_map():
    with pytest.raises(TraceError, match=r"tg\.vmap"):
        tg.vmap(lambda x, rng: rng.gamma(x), (0, None))(SHAPES, new())


def test_captured_and_earlier_values_as_parameters():
    outside = np.array([0.5, 1.0, 2.0])
    function = lambda x, rng: rng.gamma(outside * x + rng.random(3))
    compiled, ours, theirs = tg.jit(function, compile="never"), new(), new()
    for _ in range(2):
        np.testing.assert_allclose(compiled(SHAPES, ours), function(SHAPES, theirs), rtol=1e-13)
        outside *= 2.0
    assert compiled.stats.traces == 1
