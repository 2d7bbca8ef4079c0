"""Special functions: derivatives to the third order against mpmath, edges, native formulas, and what is refused."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special

import tracegrad as tg
import tracegrad.eager as torch
from tests.support import all_ops
from tracegrad.core.op import Kind, elementwise
from tracegrad.eager import autograd
from tracegrad.errors import CompileError, DifferentiationError, ShapeError
from tracegrad.ops import maps, special, special_families

X = np.array([0.3, 1.2, 2.5])


def derivatives(function, x, count=3):
    """The value and as many derivatives, by backward over backward."""
    t = torch.tensor(np.float64(x), requires_grad=True)
    y = function(t)
    found = [y.item()]
    for _ in range(count):
        y = autograd.grad(y, t, create_graph=True)[0] if y.requires_grad else torch.tensor(0.0)
        found.append(y.item())
    return found


def scaled_erfc(x):
    return mpmath.erfc(x) * mpmath.exp(x * x)


FUNCTIONS = {
    "lgamma": (special.lgamma, lambda x: mpmath.log(abs(mpmath.gamma(x))), (0.3, 2.5, -0.4, 30.0)),
    "digamma": (special.digamma, mpmath.digamma, (0.3, 2.5, -0.4)),
    "polygamma": (lambda x: special.polygamma(1, x), lambda x: mpmath.polygamma(1, x), (0.5, 3.0)),
    "multigammaln": (
        lambda x: special.multigammaln(x, 2),
        lambda x: mpmath.log(mpmath.pi) / 2 + mpmath.loggamma(x) + mpmath.loggamma(x - mpmath.mpf(0.5)),
        (2.5,),
    ),
    "gammainc": (
        lambda x: special.gammainc(2.0, x),
        lambda x: 1 - (1 + x) * mpmath.exp(-x),
        (0.0, 0.5, 3.0),
    ),
    "gammainc, exponential": (lambda x: special.gammainc(1.0, x), lambda x: 1 - mpmath.exp(-x), (0.0, 0.5, 3.0)),
    "gammaincc": (
        lambda x: special.gammaincc(200.0, x),
        lambda x: mpmath.gammainc(200, x, mpmath.inf, regularized=True),
        (150.0, 210.0),
    ),
    "zeta": (lambda q: special.zeta(2.5, q), lambda q: mpmath.zeta(mpmath.mpf(2.5), q), (0.4, 2.0)),
    "erfc": (special.erfc, mpmath.erfc, (-1.0, 0.0, 0.5, 3.0, 9.0)),
    "erfcx": (special.erfcx, scaled_erfc, (-2.0, 0.0, 0.5, 0.999, 1.0, 3.0, 20.0, 1e3)),
    "erfinv": (special.erfinv, mpmath.erfinv, (-0.9, 0.0, 0.5)),
    "ndtr": (special.ndtr, mpmath.ncdf, (-9.0, 0.0, 2.0)),
    "ndtri": (special.ndtri, lambda x: mpmath.sqrt(2) * mpmath.erfinv(2 * x - 1), (0.1, 0.5, 0.9)),
    "log_ndtr": (special.log_ndtr, lambda x: mpmath.log(mpmath.ncdf(x)), (-30.0, -5.0, -0.5, 0.0, 2.0, 6.0)),
    "sinc": (special.sinc, mpmath.sincpi, (0.0, 1e-4, 0.01, 0.3, 1.0, 1.27, 4.5)),
    "entr": (special.entr, lambda x: -x * mpmath.log(x), (0.01, 1.0, 5.0)),
    "logit": (special.logit, lambda x: mpmath.log(x / (1 - x)), (0.01, 0.5, 0.9)),
    "i0": (special.i0, lambda x: mpmath.besseli(0, x), (-2.0, 0.0, 1e-6, 3.0)),
    "i1": (special.i1, lambda x: mpmath.besseli(1, x), (-2.0, 0.0, 1e-6, 3.0)),
    "i0e": (special.i0e, lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), (-2.0, 0.5, 30.0)),
    "i1e": (special.i1e, lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), (-2.0, 0.5, 30.0)),
    "bessel_j0": (special.bessel_j0, lambda x: mpmath.besselj(0, x), (-2.0, 0.0, 3.0)),
    "bessel_j1": (special.bessel_j1, lambda x: mpmath.besselj(1, x), (-2.0, 0.0, 1e-5, 3.0)),
    "bessel_y0": (special.bessel_y0, lambda x: mpmath.bessely(0, x), (0.5, 3.0)),
    "bessel_y1": (special.bessel_y1, lambda x: mpmath.bessely(1, x), (0.5, 3.0)),
    "bessel_k0": (special.bessel_k0, lambda x: mpmath.besselk(0, x), (0.5, 3.0)),
    "bessel_k1": (special.bessel_k1, lambda x: mpmath.besselk(1, x), (0.5, 3.0)),
    "arcsinh": (maps.arcsinh, mpmath.asinh, (-3.0, 0.0, 1e-3, 5.0)),
    "arccosh": (maps.arccosh, mpmath.acosh, (1.01, 4.0)),
    "arctanh": (maps.arctanh, mpmath.atanh, (-0.9, 0.0, 0.5)),
    "rsqrt": (maps.rsqrt, lambda x: 1 / mpmath.sqrt(x), (0.01, 4.0)),
}


@pytest.mark.parametrize(("name", "x"), [(name, x) for name, (_, _, xs) in FUNCTIONS.items() for x in xs])
def test_derivatives_to_the_third_order(name, x):
    function, exact, _ = FUNCTIONS[name]
    with mpmath.workdps(40):
        expected = [float(mpmath.re(mpmath.diff(exact, mpmath.mpf(x), n))) for n in range(4)]
    np.testing.assert_allclose(derivatives(function, x), expected, rtol=1e-11, atol=1e-15)


def test_derivatives_at_edges():
    for function, x, expected in (
        (special.entr, 0.0, [0.0, math.inf]),
        (special.entr, -1.0, [-math.inf, math.nan]),
        (special.erfinv, 1.0, [math.inf, math.inf]),
        (special.erfinv, -1.0, [-math.inf, math.inf]),
        (special.erfinv, 2.0, [math.nan, math.nan]),
        (special.logit, 0.0, [-math.inf, math.inf]),
        (special.logit, 1.0, [math.inf, math.inf]),
        (special.logit, 2.0, [math.nan, math.nan]),
        (special.log_ndtr, -1e10, [-5e19, 1e10]),
        (special.log_ndtr, 50.0, [0.0, 0.0]),
        (special.erfcx, 1e8, [5.641895835477563e-09, -5.641895835477563e-17]),
        (special.digamma, 0.0, [-math.inf, math.inf]),
        (special.ndtri, 0.0, [-math.inf, math.inf]),
    ):
        np.testing.assert_allclose(derivatives(function, x, 1), expected, rtol=1e-14)


def test_products_with_logarithms_at_zero():
    for function, pole in ((special.xlogy, 0.0), (special.xlog1py, -1.0)):
        x = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
        y = torch.tensor([pole, 1.0, pole - 1.0, pole], dtype=torch.float64, requires_grad=True)
        out = function(x, y)
        dx, dy = autograd.grad(out.sum(), [x, y])
        log = math.log(1.0 - pole)
        np.testing.assert_array_equal(out.detach().numpy(), [0, 0, 0, -math.inf])
        np.testing.assert_allclose(dx.numpy(), [0, log, 0, -math.inf])
        np.testing.assert_array_equal(dy.numpy(), [0, 0, 0, math.inf])
    # the mixed second derivative is 1/y, at x = 0 as elsewhere
    x = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    (first,) = autograd.grad(special.xlogy(x, y), y, create_graph=True)
    assert autograd.grad(first, x)[0].item() == 0.25


def test_a_branch_not_taken_leaves_no_nan():
    x = torch.tensor([0.0, 2.0], dtype=torch.float64, requires_grad=True)
    torch.where(x > 0, special.entr(x), x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1.0, -1.0 - math.log(2.0)])


def test_sums_of_logarithms_have_second_derivatives_at_ties():
    for function, curvature in ((maps.logaddexp, 0.25), (maps.logaddexp2, 0.25 * math.log(2.0))):
        x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        y = torch.tensor(1.0, dtype=torch.float64)
        (first,) = autograd.grad(function(x, y), x, create_graph=True)
        assert first.item() == 0.5
        np.testing.assert_allclose(autograd.grad(first, x)[0].item(), curvature)
        both = torch.tensor(-math.inf, dtype=torch.float64, requires_grad=True)
        assert autograd.grad(function(both, torch.tensor(-math.inf, dtype=torch.float64)), both)[0].item() == 0.5


def test_hypotenuses_beyond_the_range_of_squares():
    x = np.array([3e200, 3e-200, 0.0, np.inf])
    y = np.array([4e200, 4e-200, 0.0, 1.0])
    compiled = tg.jit(np.hypot)
    np.testing.assert_allclose(compiled(x, y), np.hypot(x, y), rtol=4e-16)


def test_native_formulas_in_the_tails():
    @tg.jit
    def compiled(x):
        special_functions = scipy.special
        return special_functions.erfc(x), special_functions.erfcx(x), special_functions.log_ndtr(x), special_functions.ndtr(x)

    x = np.concatenate([np.linspace(-6, 26, 1001), [-0.0, 1e-300, -37.0, 1e20, np.inf, -np.inf, np.nan]])
    expected = [scipy.special.erfc(x), scipy.special.erfcx(x), scipy.special.log_ndtr(x), scipy.special.ndtr(x)]
    # SciPy rounds the argument of its tails, which makes it 1e-13 off where the shares are 1e-130
    known = np.abs(x) <= 37
    with mpmath.workprec(100):
        expected[2][known] = [float(mpmath.log1p(-mpmath.ncdf(-v)) if v > 0 else mpmath.log(mpmath.ncdf(v))) for v in x[known]]
        expected[3][known] = [float(mpmath.ncdf(v)) for v in x[known]]
    for got, want in zip(compiled(x), expected, strict=True):
        normal = ~(np.abs(want) < 1e-300)
        np.testing.assert_allclose(got[normal], want[normal], rtol=1e-13)
        np.testing.assert_allclose(got[~normal], want[~normal], atol=1e-300)


def test_inverse_hyperbolic_functions_natively():
    compiled = tg.jit(lambda x: (np.arcsinh(x), np.arccosh(x), np.arctanh(x)))
    x = np.array([-1e300, -2.0, -1.0, -1e-9, -0.0, 0.5, 1.0, 1.0 + 1e-9, 3.0, 1e9, 1e300, np.inf, np.nan])
    with np.errstate(all="ignore"):
        for got, want in zip(compiled(x), (np.arcsinh(x), np.arccosh(x), np.arctanh(x)), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-15 * 4)
            np.testing.assert_array_equal(np.signbit(got[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))


def test_scipy_names_are_traced():
    for function in (
        lambda x: scipy.special.polygamma(2, x),
        lambda x: scipy.special.multigammaln(x + 2, 2),
        lambda x: scipy.special.gammaincc(2.0, x),
        lambda x: scipy.special.gammainc(x[:1], x),
        lambda x: scipy.special.zeta(x + 1.0),
        lambda x: scipy.special.xlogy(x, x[0]),
        lambda x: np.sinc(x) + np.i0(x),
        lambda x: scipy.special.j0(x) + scipy.special.kv(0, 1.0) + scipy.special.y1(x),
    ):
        np.testing.assert_allclose(tg.jit(compile="never")(function)(X), function(X), rtol=1e-13)
    for function, x in ((math.lgamma, 2.5), (math.asinh, 2.5), (math.acosh, 2.5), (math.atanh, 0.5), (math.erfc, 2.5)):
        np.testing.assert_allclose(tg.jit(compile="never")(lambda x, f=function: f(x))(x), function(x), rtol=4e-15)


def test_no_derivative_in_the_shape_parameter():
    a = torch.tensor([2.0], requires_grad=True)
    out = special_families.jv(a, torch.tensor([1.0]))
    with pytest.raises(DifferentiationError, match="jv has no derivative rule for operand 0"):
        out.backward()


def slope_in(function, x):
    """The derivative by mpmath's numbers."""
    with mpmath.workdps(200):
        x = mpmath.mpf(x)
        h = x * mpmath.mpf(10) ** -40
        return float((8 * (function(x + h) - function(x - h)) - (function(x + 2 * h) - function(x - 2 * h))) / (12 * h))


@pytest.mark.parametrize("a", [1e-3, 0.5, 1.0, 20.0, 300.0])
def test_incomplete_gamma_functions_in_their_parameter(a):
    x = np.array([1e-3, 0.3, 0.95, 1.0, 1.05, 3.0]) * max(a, 1.0)
    loss = tg.grad_compile(lambda a: np.sum(scipy.special.gammainc(a, x)), compile="never")
    each = [float(special.gammainc_raw.partial(0).factor(None, np.float64(a), v)) for v in x]
    want = [slope_in(lambda a, v=v: mpmath.gammainc(a, 0, mpmath.mpf(float(v)), regularized=True), a) for v in x]
    np.testing.assert_allclose(each, want, rtol=1e-12)
    np.testing.assert_allclose(loss.grad(a), np.sum(want), rtol=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.5), (0.5, 2.0), (1.0, 30.0), (40.0, 2.0), (2000.0, 1000.0)])
def test_incomplete_beta_function_in_its_parameters(a, b):
    mean = a / (a + b)
    for x in (mean * 0.5, mean, mean + (1 - mean) * 0.1, mean + (1 - mean) * 0.5):
        limit = mpmath.mpf(x)
        want = (
            slope_in(lambda a, limit=limit: mpmath.betainc(a, b, 0, limit, regularized=True), a),
            slope_in(lambda b, limit=limit: mpmath.betainc(a, b, 0, limit, regularized=True), b),
        )
        for k in range(2):
            found = special_families.betainc.partial(k).factor(None, np.float64(a), np.float64(b), np.float64(x))
            np.testing.assert_allclose(found, want[k], rtol=1e-11)


ELLIPTIC = {
    "ellipk": (scipy.special.ellipk, mpmath.ellipk, ((0.0,), (1e-9,), (0.2,), (0.3,), (-3.0,), (0.99,))),
    "ellipe": (scipy.special.ellipe, mpmath.ellipe, ((0.0,), (1e-9,), (0.2,), (-3.0,))),
    "ellipkinc": (scipy.special.ellipkinc, mpmath.ellipf, ((0.7, 0.0), (5.0, 0.0), (-1.2, 1e-8), (1.0, 0.7), (20.0, -0.2))),
    "ellipeinc": (scipy.special.ellipeinc, mpmath.ellipe, ((0.7, 0.0), (5.0, 0.2), (-1.2, 1e-8), (1.0, 0.7))),
}


@pytest.mark.parametrize("name", ELLIPTIC)
def test_elliptic_integrals_of_small_parameters(name):
    theirs, reference, cases = ELLIPTIC[name]

    def function(*operands):
        return theirs(*operands)

    for case in cases:
        last = len(case) - 1
        first = tg.grad(function, argnums=last)
        second = tg.grad(lambda *operands, first=first: first(*operands), argnums=last)
        for order, found in ((1, first), (2, second)):
            want = mpmath.diff(lambda m, case=case: reference(*case[:-1], m), mpmath.mpf(case[-1]), order)
            np.testing.assert_allclose(found(*case), float(want), rtol=1e-12)


def test_bad_orders():
    with pytest.raises(ShapeError, match="does not support negative n"):
        special.polygamma(-1, X)


# -- ops without native code in the static pipeline ----------------------------------------------------------------------


def without_native_code(name, ufunc):
    """An op that only the interpreter can run."""
    return elementwise(name, ufunc, (lambda out, x: x,), None, doc="", samples=(), torch=("", ""))


def test_a_compiled_function_refuses_and_names_op_line_and_remedy():
    first, second = without_native_code("first", np.sinh), without_native_code("second", np.cosh)

    def f(x):
        y = np.exp(x)
        return first(y) + second(y)  # here

    compiled = tg.jit(f)
    for use in (compiled, compiled.explain, compiled.graph, compiled.source):
        with pytest.raises(CompileError) as caught:
            use(X)
        assert caught.value.message == "first has no native code (nor do second), so this function cannot be compiled"
        assert caught.value.where.text.endswith("# here")
        assert 'compile="never"' in caught.value.fix
        assert "tg.tensor" in caught.value.fix
    np.testing.assert_allclose(tg.jit(compile="never")(f)(X), f(X))
    eager = f(tg.tensor(X))
    np.testing.assert_allclose(eager.numpy(), f(X))


def test_only_the_derivative_lacks_native_code():
    slope = without_native_code("slope", np.cosh)
    half = elementwise("half", np.sinh, (lambda out, x: slope(x),), maps.sinh.lower, doc="", samples=(), torch=("", ""))
    compiled = tg.grad_compile(lambda x: np.sum(half(x)))
    np.testing.assert_allclose(compiled(X), np.sum(np.sinh(X)))
    with pytest.raises(CompileError, match=r"^slope has no native code"):
        compiled.grad(X)


def test_what_is_dead_may_lack_native_code():
    nothing = without_native_code("nothing", np.sinh)

    def f(x):
        nothing(x)
        return x + 1.0

    np.testing.assert_array_equal(tg.jit(f)(X), X + 1.0)


def test_explain_marks_what_only_the_interpreter_runs():
    absent = without_native_code("absent", np.sinh)
    text = tg.grad_compile(compile="never")(lambda x: np.sum(absent(np.exp(x)))).explain(X)
    assert "only on the interpreter: %" in text
    assert " absent at line" in text
    assert "only on the interpreter" not in tg.jit(compile="never")(np.exp).explain(X)


def test_gradients_and_second_gradients_on_the_interpreter():
    loss = tg.grad_compile(compile="never")(lambda x: np.sum(scipy.special.gammaln(x) ** 2))
    curved = tg.grad_compile(compile="never")(lambda x: np.sum(loss.grad(x) * X))
    lg, psi, tri = scipy.special.gammaln(X), scipy.special.psi(X), scipy.special.polygamma(1, X)
    np.testing.assert_allclose(loss.grad(X), 2 * lg * psi, rtol=1e-14)
    np.testing.assert_allclose(curved.grad(X), 2 * (psi * psi + lg * tri) * X, rtol=1e-13)


def test_opaque_ops_have_no_lowering():
    opaque = [op for op in all_ops().values() if op.kind is Kind.OPAQUE]
    assert len(opaque) > 10
    assert all(op.lower is None for op in opaque)
