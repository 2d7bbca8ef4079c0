"""Branches that are not taken, and points where a formula is not finite: derivatives are one-sided, or those of the value.

A single ``np.where`` keeps what it does not choose out of every derivative, of first and second order, in both modes.
"""

import numpy as np
import pytest
from scipy import special

import tracegrad as tg


def _masked_store(x):
    y = np.sqrt(x)
    y[x <= 0] = 0.0
    return y


def _masked_gather(x):
    y = np.zeros_like(x)
    y[x > 0] = np.sqrt(x[x > 0])
    return y


ELEMENTWISE = {
    "where sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), [-1, 0, 4.0], [0, 0, 0.25], [0, 0, -1 / 32]),
    "where log": (lambda x: np.where(x > 0, np.log(x), 0.0), [-1, 0, 4.0], [0, 0, 0.25], [0, 0, -1 / 16]),
    "where log2": (lambda x: np.where(x > 0, x * np.log(x), 0.0), [-1, 0, 4.0], [0, 0, np.log(4) + 1], [0, 0, 0.25]),
    "where div": (lambda x: np.where(x != 0, 1 / x, 0.0), [-1, 0, 4.0], [-1, 0, -1 / 16], [-2, 0, 2 / 64]),
    "where pow": (lambda x: np.where(x > 0, x**0.5, 0.0), [-1, 0, 4.0], [0, 0, 0.25], [0, 0, -1 / 32]),
    "where pow-": (
        lambda x: np.where(x > 0, x ** (-1.5), 0.0),
        [-1, 0, 4.0],
        [0, 0, -1.5 * 4 ** (-2.5)],
        [0, 0, 3.75 * 4 ** (-3.5)],
    ),
    "where pow2": (lambda x: np.where(x > 0, np.power(2.0, 1 / x), 0.0), [-1, 0, 1.0], [0, 0, -2 * np.log(2)], None),
    "where arctan2": (lambda x: np.where(x > 0, np.arctan2(x, x * 0), 0.0), [-1, 0, 4.0], [0, 0, 0], None),
    "where arcsin": (
        lambda x: np.where(np.abs(x) < 1, np.arcsin(x), 0.0),
        [-1, 1, 0.5, 2],
        [0, 0, 1 / np.sqrt(0.75), 0],
        [0, 0, 0.5 / 0.75**1.5, 0],
    ),
    "where arccos": (
        lambda x: np.where(np.abs(x) < 1, np.arccos(x), 0.0),
        [-1, 1, 0.5, 2],
        [0, 0, -1 / np.sqrt(0.75), 0],
        [0, 0, -0.5 / 0.75**1.5, 0],
    ),
    "where arctanh": (
        lambda x: np.where(np.abs(x) < 1, np.arctanh(x), 0.0),
        [-1, 1, 0.5, 2],
        [0, 0, 1 / 0.75, 0],
        [0, 0, 1 / 0.75**2, 0],
    ),
    "where arccosh": (lambda x: np.where(x > 1, np.arccosh(x), 0.0), [-1, 1, 2], [0, 0, 1 / np.sqrt(3)], [0, 0, -2 / 3**1.5]),
    "where log1p": (lambda x: np.where(x > -1, np.log1p(x), 0.0), [-2, -1, 1], [0, 0, 0.5], [0, 0, -0.25]),
    "where sinx/x": (lambda x: np.where(x != 0, np.sin(x) / x, 1.0), [0, 1.0], [0, np.cos(1) - np.sin(1)], None),
    "where expm1/x": (lambda x: np.where(x != 0, np.expm1(x) / x, 1.0), [0, 1.0], [0, 1.0], None),
    "where exp": (lambda x: np.where(x < 10, np.exp(x), 1.0), [1000, 1.0], [0, np.e], [0, np.e]),
    "where norm": (lambda x: np.where(np.abs(x) > 0, np.sqrt(x * x), 0.0), [0, -2.0, 2], [0, -1, 1], [0, 0, 0]),
    "where xlogx": (lambda x: np.where(x > 0, -x * np.log(x), 0.0), [0, 1.0], [0, -1.0], [0, -1]),
    "where lgamma": (
        lambda x: np.where(x > 0, special.gammaln(x), 0.0),
        [-1, 0, 1.0],
        [0, 0, -np.euler_gamma],
        [0, 0, np.pi**2 / 6],
    ),
    "where digamma": (lambda x: np.where(x > 0, special.digamma(x), 0.0), [-1, 0, 1.0], [0, 0, np.pi**2 / 6], None),
    "where erfinv": (
        lambda x: np.where(np.abs(x) < 1, special.erfinv(x), 0.0),
        [-1, 1, 0.0],
        [0, 0, np.sqrt(np.pi) / 2],
        [0, 0, 0],
    ),
    "where ndtri": (
        lambda x: np.where((x < 1) & (x > 0), special.ndtri(x), 0.0),
        [0, 1, 0.5],
        [0, 0, np.sqrt(2 * np.pi)],
        [0, 0, 0],
    ),
    "where logit": (lambda x: np.where((x < 1) & (x > 0), special.logit(x), 0.0), [0, 1, 0.5, 2], [0, 0, 4, 0], [0, 0, 0, 0]),
    "where tan": (lambda x: np.where(np.abs(x) < 1, np.tan(x), 0.0), [np.pi / 2, 0.0], [0, 1], [0, 0]),
    "where cbrt": (lambda x: np.where(x > 0, np.cbrt(x), 0.0), [-1, 0, 8.0], [0, 0, 1 / 12.0], [0, 0, -2 / 9 * 8 ** (-5 / 3)]),
    "where reciprocal": (lambda x: np.where(x != 0, np.reciprocal(x), 0.0), [0, 2.0], [0, -0.25], [0, 0.25]),
    "where maskset": (lambda x: _masked_store(x), [-1, 0, 4.0], [0, 0, 0.25], [0, 0, -1 / 32]),
    "where hypot": (lambda x: np.where(x > 0, np.hypot(x, 0 * x), 0.0), [0, -1, 2.0], [0, 0, 1], [0, 0, 0]),
    "where nan const": (lambda x: np.where(x > 0, x * 2, np.nan), [1, 2.0], [2, 2], [0, 0]),
    "where div0": (lambda x: np.where(x == 0, 0.0, x / np.abs(x) * x), [0, -1, 2.0], [0, -1, 1], [0, 0, 0]),
    "where y0": (lambda x: np.where(x > 0, special.y0(x), 0.0), [-1, 0, 1.0], [0, 0, -special.y1(1.0)], None),
    "where k0": (lambda x: np.where(x > 0, special.k0(x), 0.0), [-1, 0, 1.0], [0, 0, -special.k1(1.0)], None),
    "where expi": (lambda x: np.where(x > 0, special.expi(x), 0.0), [0, 1.0], [0, np.e], [0, 0]),
    "abs": (lambda x: np.abs(x), [0, -1, 1.0], [0, -1, 1], [0, 0, 0]),
    "fabs": (lambda x: np.fabs(x), [0, -1, 1.0], [0, -1, 1], [0, 0, 0]),
    "x**2": (lambda x: x**2, [0, -1, 1.0], [0, -2, 2], [2, 2, 2]),
    "x**2.0": (lambda x: np.power(x, 2.0), [0, -1, 1.0], [0, -2, 2], [2, 2, 2]),
    "x**1": (lambda x: x**1, [0, -1, 1.0], [1, 1, 1], [0, 0, 0]),
    "x**1.0": (lambda x: np.power(x, 1.0), [0, -1, 1.0], [1, 1, 1], [0, 0, 0]),
    "x**0": (lambda x: x**0, [0, -1, 1.0], [0, 0, 0], [0, 0, 0]),
    "x**0.0": (lambda x: np.power(x, 0.0), [0, -1, 1.0], [0, 0, 0], [0, 0, 0]),
    "x**3": (lambda x: x**3, [0, -1, 1.0], [0, 3, 3], [0, -6, 6]),
    "x**arr2": (lambda x: np.power(x, np.array([2.0, 2.0, 2.0])), [0, -1, 1.0], [0, -2, 2], [2, 2, 2]),
    "x**arr1": (lambda x: np.power(x, np.array([1.0, 1.0, 1.0])), [0, -1, 1.0], [1, 1, 1], [0, 0, 0]),
    "x**arr0": (lambda x: np.power(x, np.array([0.0, 0.0, 0.0])), [0, -1, 1.0], [0, 0, 0], [0, 0, 0]),
    "x**arr3": (lambda x: np.power(x, np.array([3.0, 3.0, 3.0])), [0, -1, 1.0], [0, 3, 3], [0, -6, 6]),
    "0**x": (lambda x: np.power(0.0, x), [1, 2.0, 3], [0, 0, 0], [0, 0, 0]),
    "1**x": (lambda x: np.power(1.0, x), [0, 2.0, -3], [0, 0, 0], [0, 0, 0]),
    "x**1.5 at 0": (lambda x: np.power(x, 1.5), [0.0, 4], [0, 3], None),
    "x**int arr": (lambda x: np.power(x, np.array([0, 1, 2])), [0.0, 0, 0], [0, 1, 0], [0, 0, 2]),
    "float_power": (lambda x: np.float_power(x, 2), [0.0, -1], [0, -2], [2, 2]),
    "square": (lambda x: np.square(x), [0.0, -1], [0, -2], [2, 2]),
    "sinc": (lambda x: np.sinc(x), [0.0, 1], [0, -1], [-(np.pi**2) / 3, 2]),
    "xlogy": (lambda x: special.xlogy(x, 2.0), [0.0, 1], [np.log(2)] * 2, [0, 0]),
    "xlogy(0,y)": (lambda x: special.xlogy(0.0, x), [0.0, 1], [0, 0], [0, 0]),
    "xlog1py(0,y)": (lambda x: special.xlog1py(0.0, x), [-1.0, 1], [0, 0], [0, 0]),
    "xlogy 2": (lambda x: special.xlogy(2.0, x), [1.0, 2], [2, 1], [-2, -0.5]),
    "entr": (lambda x: special.entr(x), [1.0, 2], [-1, -np.log(2) - 1], [-1, -0.5]),
    "rel_entr": (lambda x: special.rel_entr(0.0, x), [1.0, 2], [0, 0], [0, 0]),
    "kl_div": (lambda x: special.kl_div(0.0, x), [1.0, 2], [1, 1], [0, 0]),
    "clip": (lambda x: np.clip(x, -1, 1), [-2, 0.5, 2.0], [0, 1, 0], [0, 0, 0]),
    "clip nan": (lambda x: np.where(np.isnan(x), 0.0, np.clip(x, -1, 1)), [np.nan, 0.5], [0, 1], [0, 0]),
    "maximum": (lambda x: np.maximum(x, 0), [-2, 2.0], [0, 1], [0, 0]),
    "logaddexp": (lambda x: np.logaddexp(x, -np.inf), [0.0, 2], [1, 1], [0, 0]),
    "logaddexp both": (lambda x: np.where(x > -np.inf, np.logaddexp(x, -np.inf), 0.0), [-np.inf, 2], [0, 1], [0, 0]),
    "logaddexp inf": (lambda x: np.logaddexp(x, 0.0), [0.0, 800, -800], [0.5, 1, 0], [0.25, 0, 0]),
    "logaddexp2": (lambda x: np.logaddexp2(x, -np.inf), [0.0, 2], [1, 1], [0, 0]),
    "softplus": (lambda x: np.log1p(np.exp(x)), [0.0, -800], [0.5, 0], [0.25, 0]),
    "expit": (lambda x: special.expit(x), [0.0, 800, -800], [0.25, 0, 0], [0, 0, 0]),
    "log_expit": (lambda x: special.log_expit(x), [0.0, 800, -800], [0.5, 0, 1], [-0.25, 0, 0]),
    "tanh": (lambda x: np.tanh(x), [0.0, 800, -800], [1, 0, 0], [0, 0, 0]),
    "hypot0": (lambda x: np.where(x == 0, 0.0, np.hypot(x, 0.0)), [0.0, -2], [0, -1], [0, 0]),
    "nan_to_num": (lambda x: np.nan_to_num(x), [np.nan, np.inf, 1.0], [0, 0, 1], [0, 0, 0]),
    "sign": (lambda x: np.sign(x) * x, [0, -1, 1.0], [0, -1, 1], [0, 0, 0]),
    "heaviside": (lambda x: np.heaviside(x, 0.5) * x, [-1, 1.0], [0, 1], [0, 0]),
    "copysign": (lambda x: np.copysign(x, 1.0), [-1, 1.0], [-1, 1], [0, 0]),
    "mod": (lambda x: np.mod(x, 2.0), [-1, 1.0], [1, 1], [0, 0]),
    "select": (lambda x: np.select([x > 1, x > 0], [np.log(x - 1), np.sqrt(x)], 0.0), [-1, 0.25, 2], [0, 1, 1], [0, -2, -1]),
    "piecewise": (
        lambda x: np.piecewise(x, [x > 0], [lambda v: np.sqrt(v), lambda v: v * 0]),
        [-1, 4.0],
        [0, 0.25],
        [0, -1 / 32],
    ),
    "choose": (lambda x: np.choose((x > 0).astype(int), [x * 0, np.sqrt(x)]), [-1, 4.0], [0, 0.25], [0, -1 / 32]),
    "divide where": (lambda x: np.divide(1.0, x, out=np.zeros_like(x), where=x != 0), [0.0, 2], [0, -0.25], [0, 0.25]),
    "log where": (lambda x: np.log(x, out=np.zeros_like(x), where=x > 0), [0.0, 2], [0, 0.5], [0, -0.25]),
    "masked gather": (lambda x: _masked_gather(x), [-1.0, 4], [0, 0.25], [0, -1 / 32]),
    "nested where": (
        lambda x: np.where(x > 0, np.where(x > 1, np.log(x), np.sqrt(x)), 0.0),
        [-1, 0.25, 4],
        [0, 1, 0.25],
        [0, -2, -1 / 16],
    ),
    "where chain": (lambda x: np.exp(np.where(x > 0, np.log(x), -np.inf)), [-1, 0, 4.0], [0, 0, 1], [0, 0, 0]),
    "where both": (lambda x: np.where(x > 0, np.sqrt(x), np.sqrt(-x)), [-4, 4.0], [-0.25, 0.25], [-1 / 32, -1 / 32]),
}
"""Function, points, first and second derivative there; None where the second one is not finite."""

REDUCED = {
    "norm0 where": (lambda x: np.where(np.any(x != 0), np.linalg.norm(x), 0.0), [0, 0.0], [0, 0], np.zeros((2, 2))),
    "norm": (lambda x: np.linalg.norm(x), [3, 4.0], [0.6, 0.8], None),
    "norm0": (lambda x: np.linalg.norm(x), [0, 0.0], [0, 0], None),
    "norm1 0": (lambda x: np.linalg.norm(x, 1), [0, 1.0], [0, 1], np.zeros((2, 2))),
    "sqrt sum where": (lambda x: np.where(np.sum(x * x) > 0, np.sqrt(np.sum(x * x)), 0.0), [0, 0.0], [0, 0], np.zeros((2, 2))),
    "logsumexp -inf": (lambda x: special.logsumexp(x), [-np.inf, 0, 0.0], [0, 0.5, 0.5], None),
    "logsumexp all -inf where": (
        lambda x: np.where(np.all(np.isinf(x)), 0.0, special.logsumexp(x)),
        [-np.inf, -np.inf],
        [0, 0],
        None,
    ),
    "logsumexp +inf": (lambda x: np.where(np.any(np.isinf(x)), 0.0, special.logsumexp(x)), [np.inf, 0], [0, 0], None),
    "softmax -inf": (lambda x: special.softmax(x)[1], [-np.inf, 0, 0.0], [0, 0.25, -0.25], None),
    "log_softmax -inf": (lambda x: special.log_softmax(x)[1], [-np.inf, 0, 0.0], [0, 0.5, -0.5], None),
    "logaddexp.reduce": (lambda x: np.logaddexp.reduce(x), [-np.inf, 0, 0.0], [0, 0.5, 0.5], None),
    "logaddexp.acc": (lambda x: np.logaddexp.accumulate(x)[-1], [-np.inf, 0, 0.0], [0, 0.5, 0.5], None),
    "prod zero": (lambda x: np.prod(x), [0, 2, 3.0], [6, 0, 0], [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
    "prod zeros": (lambda x: np.prod(x), [0, 0, 3.0], [0, 0, 0], [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
    "prod 3 zeros": (lambda x: np.prod(x), [0, 0, 0.0], [0, 0, 0], np.zeros((3, 3))),
    "cumprod zero": (lambda x: np.sum(np.cumprod(x)), [0, 2, 3.0], [1 + 2 + 6, 0, 0], [[0, 4, 2], [4, 0, 0], [2, 0, 0]]),
    "cumprod zero mid": (lambda x: np.sum(np.cumprod(x)), [2, 0, 3.0], [1, 2 + 6, 0], [[0, 4, 0], [4, 0, 2], [0, 2, 0]]),
    "cumprod zeros": (lambda x: np.sum(np.cumprod(x)), [2, 0, 0.0], [1, 2, 0], [[0, 1, 0], [1, 0, 2], [0, 2, 0]]),
    "multiply.reduce": (lambda x: np.multiply.reduce(x), [0, 2, 3.0], [6, 0, 0], [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
    "nanprod": (lambda x: np.nanprod(x), [0, np.nan, 3.0], [3, 0, 0], [[0, 0, 1], [0, 0, 0], [1, 0, 0]]),
    "max tie": (lambda x: np.max(x), [1, 1, 0.0], None, None),
    "min tie": (lambda x: np.min(x), [1, 1, 2.0], None, None),
    "ptp": (lambda x: np.ptp(x), [1, 3, 2.0], [-1, 1, 0], np.zeros((3, 3))),
    "std const where": (lambda x: np.where(np.ptp(x) > 0, np.std(x), 0.0), [1, 1, 1.0], [0, 0, 0], np.zeros((3, 3))),
    "std const": (lambda x: np.std(x), [1, 1, 1.0], None, None),
    "var const": (lambda x: np.var(x), [1, 1, 1.0], [0, 0, 0], (np.eye(3) - 1 / 3) * 2 / 3),
    "var one": (lambda x: np.var(x), [1.0], [0], [[0]]),
    "std one where": (lambda x: np.where(np.var(x) > 0, np.std(x), 0.0), [1.0], [0], [[0]]),
    "var ddof": (lambda x: np.where(x.size > 1, np.var(x, ddof=1) if x.size > 1 else 0.0, 0.0) + 0 * x[0], [1.0], [0], [[0]]),
    "nansum": (lambda x: np.nansum(np.log(x)), [-1, np.nan, 2.0], [0, 0, 0.5], None),
    "nanmean": (lambda x: np.nanmean(x), [1, np.nan, 2.0], [0.5, 0, 0.5], np.zeros((3, 3))),
    "nanmax": (lambda x: np.nanmax(x), [1, np.nan, 2.0], [0, 0, 1], np.zeros((3, 3))),
    "nanvar": (lambda x: np.nanvar(x), [1, np.nan, 2.0], [-0.5, 0, 0.5], None),
    "nanstd": (lambda x: np.nanstd(x), [1, np.nan, 3.0], [-0.5, 0, 0.5], None),
    "nansum all": (lambda x: np.nansum(x), [np.nan, np.nan], [0, 0], np.zeros((2, 2))),
    "nanmedian": (lambda x: np.nanmedian(x), [1, np.nan, 2.0, 5], [0, 0, 1, 0], np.zeros((4, 4))),
    "median": (lambda x: np.median(x), [1, 1, 1.0], None, None),
    "entropy0": (lambda x: np.sum(special.entr(np.where(x > 0, x, 1.0))), [0, 1.0], [0, -1], None),
    "xlogy sum": (lambda x: np.sum(np.where(x > 0, special.xlogy(x, x), 0.0)), [0, 1.0], [0, 1], [[0, 0], [0, 1]]),
    "kl": (lambda x: np.sum(np.where(x > 0, x * np.log(x / 0.5), 0.0)), [0, 0.5], [0, 1], [[0, 0], [0, 2]]),
    "minimum nan": (lambda x: np.fmin(x[0], x[1]), [np.nan, 1.0], [0, 1], np.zeros((2, 2))),
    "fmax nan": (lambda x: np.fmax(x[0], x[1]), [1.0, np.nan], [1, 0], np.zeros((2, 2))),
    "arctan2 00 where": (
        lambda x: np.where((x[0] != 0) | (x[1] != 0), np.arctan2(x[0], x[1]), 0.0),
        [0, 0.0],
        [0, 0],
        np.zeros((2, 2)),
    ),
    "hypot 00 where": (
        lambda x: np.where((x[0] != 0) | (x[1] != 0), np.hypot(x[0], x[1]), 0.0),
        [0, 0.0],
        [0, 0],
        np.zeros((2, 2)),
    ),
    "power both where": (lambda x: np.where(x[0] > 0, x[0] ** x[1], 0.0), [0, 0.0], [0, 0], np.zeros((2, 2))),
    "power both neg where": (lambda x: np.where(x[0] > 0, x[0] ** x[1], 0.0), [-1, -0.5], [0, 0], np.zeros((2, 2))),
    "power 0**y>0": (lambda x: x[0] ** x[1], [0, 2.0], [0, 0], None),
    "power -1**2": (lambda x: np.where(True, x[0] ** 2.0, x[1]), [-1, 2.0], [-2, 0], [[2, 0], [0, 0]]),
    "div where": (lambda x: np.where(x[1] != 0, x[0] / x[1], 0.0), [1, 0.0], [0, 0], np.zeros((2, 2))),
    "div 0/0 where": (lambda x: np.where(x[1] != 0, x[0] / x[1], 0.0), [0, 0.0], [0, 0], np.zeros((2, 2))),
    "logaddexp2inf where": (
        lambda x: np.where(np.isfinite(x[0]), np.logaddexp(x[0], x[1]), 0.0),
        [-np.inf, -np.inf],
        [0, 0],
        np.zeros((2, 2)),
    ),
    "attention mask": (
        lambda x: np.sum(special.softmax(np.where(np.array([True, False, True]), x, -np.inf)) * np.array([1.0, 2, 3])),
        [0, 5, 0.0],
        [-0.5, 0, 0.5],
        None,
    ),
    "softmax hand": (
        lambda x: (lambda z: np.sum(np.exp(z - np.max(z)) / np.sum(np.exp(z - np.max(z))) * np.array([1.0, 2, 3])))(
            np.where(np.array([True, False, True]), x, -np.inf)
        ),
        [0, 5, 0.0],
        [-0.5, 0, 0.5],
        None,
    ),
    "normalise where": (
        lambda x: np.sum(np.where(np.linalg.norm(x) > 0, x / np.linalg.norm(x), 0.0)),
        [0, 0.0],
        [0, 0],
        np.zeros((2, 2)),
    ),
    "normalise rows": (
        lambda x: (
            lambda m: np.sum(
                np.where(np.linalg.norm(m, axis=1, keepdims=True) > 0, m / np.linalg.norm(m, axis=1, keepdims=True), 0.0)
                * np.array([1.0, 2.0])
            )
        )(x.reshape(2, 2)),
        [0, 0, 3.0, 4],
        [0, 0, 4 * (4 - 6) / 125 * 1.0, 3 * (6 - 4) / 125.0],
        None,
    ),
    "cosine": (
        lambda x: np.where(np.sum(x**2) > 0, np.sum(x) / np.sqrt(np.sum(x**2)), 0.0),
        [0, 0.0],
        [0, 0],
        np.zeros((2, 2)),
    ),
    "distance": (
        lambda x: np.sum(np.where(np.eye(2) > 0, 0.0, np.sqrt((x[:, None] - x[None, :]) ** 2))),
        [1, 3.0],
        [-2, 2],
        np.zeros((2, 2)),
    ),
    "lj": (lambda x: np.sum(np.where(np.eye(2) > 0, 0.0, 1 / np.abs(x[:, None] - x[None, :]))), [1, 3.0], [0.5, -0.5], None),
    "logdet where": (lambda x: np.where(x[0] > 0, np.linalg.slogdet(np.diag(x))[1], 0.0), [0, 0.0], [0, 0], None),
    "inv where": (lambda x: np.where(x[0] > 0, np.sum(np.linalg.pinv(np.diag(x))), 0.0), [-1, 2.0], [0, 0], None),
    "chol where": (lambda x: np.where(x[0] > 5, np.sum(np.linalg.cholesky(np.diag(x))), 0.0), [1, 2.0], [0, 0], None),
    "sort tie": (lambda x: np.sort(x)[0], [1, 1.0], None, None),
    "cummax": (lambda x: np.sum(np.maximum.accumulate(x)), [1, 3, 2.0], [1, 2, 0], np.zeros((3, 3))),
    "interp": (lambda x: np.sum(np.interp(x, [0.0, 1, 2], [0.0, 1, 4])), [-1, 0.5, 3], [0, 1, 0], np.zeros((3, 3))),
    "poisson nll": (
        lambda x: np.sum(np.where(np.array([0, 2]) > 0, np.array([0, 2]) * np.log(x), 0.0)),
        [0, 2.0],
        [0, 1],
        None,
    ),
    "geomean": (lambda x: np.exp(np.mean(np.where(x > 0, np.log(x), 0.0))), [0, 1.0], [0, 0.5], None),
}
"""Function, point, gradient and Hessian; None where only finiteness and both modes' agreement are asked for."""


def close(found, expected, dtype):
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(found, np.asarray(expected, float), rtol=tolerance, atol=tolerance)


def check_elementwise(name, dtype, mode, orders):
    function, points, first, second = ELEMENTWISE[name]
    x = np.array(points, dtype)
    ones = np.ones_like(x)

    def total(x):
        return np.sum(function(x))

    def gradient(x):
        return tg.grad(total)(x)

    def forward(x):
        return tg.jvp(function, (x,), (ones,))[1]

    def compiled(f):
        return tg.jit(f, compile=mode)(x)

    close(compiled(gradient), first, dtype)
    close(compiled(forward), first, dtype)
    if second is None:
        return
    twice = {
        "reverse over reverse": lambda x: tg.grad(lambda x: np.sum(gradient(x)))(x),
        "forward over reverse": lambda x: tg.jvp(gradient, (x,), (ones,))[1],
        "reverse over forward": lambda x: tg.grad(lambda x: np.sum(forward(x)))(x),
        "forward over forward": lambda x: tg.jvp(forward, (x,), (ones,))[1],
    }
    for order in orders or twice:
        close(compiled(twice[order]), second, dtype)


def check_reduced(name, dtype, mode):
    function, point, first, second = REDUCED[name]
    x = np.array(point, dtype)
    reverse = tg.jit(tg.jacrev(function), compile=mode)(x)
    assert np.isfinite(reverse).all()
    close(tg.jit(tg.jacfwd(function), compile=mode)(x), reverse, dtype)
    if first is not None:
        close(reverse, first, dtype)
    if second is not None:
        for outer in (tg.jacrev, tg.jacfwd):
            for inner in (tg.jacrev, tg.jacfwd):
                close(tg.jit(outer(inner(function)), compile=mode)(x), second, dtype)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name):
    check_elementwise(name, np.float64, "never", ("reverse over reverse", "forward over reverse"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", REDUCED)
def test_reduced(name):
    check_reduced(name, np.float64, "never")


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mode", ["never", "now"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", [*ELEMENTWISE, *REDUCED])
def test_every_mode_and_dtype(name, dtype, mode):
    if name in ELEMENTWISE:
        check_elementwise(name, dtype, mode, ())
    else:
        check_reduced(name, dtype, mode)


@pytest.mark.parametrize("zeros", range(5))
def test_third_derivatives_of_a_product_with_zeros(zeros):
    x = np.array([2.0, 3.0, 5.0, -1.5])
    x[:zeros] = 0.0
    expected = np.zeros((4, 4, 4))
    for i, j, k in np.ndindex(4, 4, 4):
        if len({i, j, k}) == 3:
            expected[i, j, k] = np.prod(np.delete(x, [i, j, k]))
    for third in (tg.jacfwd(tg.jacrev(tg.jacrev(np.prod))), tg.jacrev(tg.jacrev(tg.jacrev(np.prod)))):
        np.testing.assert_allclose(tg.jit(third, compile="never")(x), expected, atol=1e-12)
