"""One line per use of a function: what is called on what, the same in PyTorch and here.

``t`` is the namespace. Letters stand for arrays: ``x`` (2, 3), ``y`` (2, 3) apart from x, ``p`` (2, 3) positive, ``v`` (4,),
``w`` (4,), ``m`` (3, 3), ``n`` (3, 3), ``r`` (3,), ``a`` (2, 3, 4), ``b`` (2, 4, 3), ``s`` (), ``z`` (2, 3) with ties and
zeros, ``u`` (2, 3) inside (0, 1).
"""

import numpy as np

_rng = np.random.default_rng(11)


def _drawn(*shape, low=-2.0, high=2.0):
    size = int(np.prod(shape))
    # apart from one another, and from whole numbers and halves, where rounding jumps
    values = low + (high - low) * (_rng.permutation(size) + 0.37) / size
    return values.reshape(shape)


ARRAYS = {
    "x": _drawn(2, 3),
    "y": _drawn(2, 3, low=-1.9, high=2.3),
    "p": _drawn(2, 3, low=0.3, high=3.0),
    "v": _drawn(4),
    "w": _drawn(4, low=-1.7, high=2.4),
    "m": _drawn(3, 3),
    "n": _drawn(3, 3, low=-1.5, high=2.2),
    "r": _drawn(3, low=-1.3, high=1.9),
    "a": _drawn(2, 3, 4),
    "b": _drawn(2, 4, 3, low=-1.1, high=1.7),
    "s": np.array(0.7),
    "z": np.array([[0.0, 2.0, 2.0], [0.0, -1.0, -1.0]]),
    "u": _drawn(2, 3, low=0.05, high=0.95),
}

ELEMENTWISE = {
    "x": "abs absolute neg negative exp expm1 exp2 square sin cos tan sinh cosh tanh asinh arcsinh atan arctan sigmoid erf "
    "deg2rad rad2deg positive relu reciprocal",
    "p": "log log2 log10 log1p sqrt rsqrt",
    "u": "asin arcsin acos arccos atanh arctanh",
}
ELEMENTWISE_OF_TWO = (
    "add sub subtract mul multiply div divide true_divide atan2 arctan2 maximum minimum fmax fmin hypot logaddexp logaddexp2 "
    "copysign fmod remainder"
)
COMPARISONS = "eq ne not_equal lt less le less_equal gt greater ge greater_equal logical_and logical_or logical_xor"

REDUCTIONS = {
    "sum": "t.sum(x)",
    "sum dim": "t.sum(x, 1)",
    "sum keepdim": "t.sum(x, dim=(0, 1), keepdim=True)",
    "sum of a vector along its dim": "t.sum(v, 0)",
    "sum dtype": "t.sum(x, dtype=t.float64)",
    "sum axis": "t.sum(x, axis=-1)",
    "nansum": "t.nansum(t.where(x > 0, x, float('nan')), 1)",
    "mean": "t.mean(x)",
    "mean dim": "t.mean(x, 0)",
    "mean keepdim": "t.mean(a, (0, 2), keepdim=True)",
    "nanmean": "t.nanmean(t.where(x > -1, x, float('nan')), 1)",
    "prod": "t.prod(x)",
    "prod dim": "t.prod(x, 1)",
    "prod keepdim": "t.prod(x, 1, keepdim=True)",
    "prod of zeros": "t.prod(z, 0)",
    "amax": "t.amax(x, 1)",
    "amax of ties": "t.amax(z, (0, 1), keepdim=True)",
    "amin": "t.amin(x)",
    "amin of ties": "t.amin(z, 1)",
    "max": "t.max(z)",
    "max dim": "t.max(x, 1)",
    "max dim keepdim": "t.max(x, dim=0, keepdim=True)",
    "max dim of ties": "t.max(z, 1)",
    "max of two": "t.max(x, y)",
    "min": "t.min(x)",
    "min dim": "t.min(z, 1)",
    "min of two": "t.min(x, y)",
    "max of a number": "t.max(s, 0)",
    "aminmax": "t.aminmax(x)",
    "aminmax dim": "t.aminmax(x, dim=1, keepdim=True)",
    "argmax": "t.argmax(x)",
    "argmax dim": "t.argmax(x, 1)",
    "argmin keepdim": "t.argmin(x, 0, keepdim=True)",
    "argmax keepdim of all": "t.argmax(x, keepdim=True)",
    "var": "t.var(x)",
    "var dim": "t.var(x, 1)",
    "var unbiased": "t.var(x, unbiased=False)",
    "var correction": "t.var(a, (0, 2), correction=2, keepdim=True)",
    "std": "t.std(x)",
    "std dim": "t.std(a, dim=2)",
    "std of equal elements": "t.std(z - z)",
    "var_mean": "t.var_mean(x, 1)",
    "std_mean": "t.std_mean(x, dim=0, keepdim=True)",
    "norm": "t.norm(x)",
    "norm 1": "t.norm(x, 1)",
    "norm 3 dim": "t.norm(x, 3, dim=1)",
    "norm inf": "t.norm(x, float('inf'), dim=0)",
    "norm -inf": "t.norm(x, -float('inf'), dim=0)",
    "norm 0": "t.norm(z, 0)",
    "norm of zeros": "t.norm(z - z, dim=1)",
    "dist": "t.dist(x, y)",
    "dist 1": "t.dist(x, y, 1)",
    "all": "t.all(x > -5)",
    "all dim": "t.all(x > 0, 1)",
    "any dim": "t.any(x > 0, 0, keepdim=True)",
    "any of numbers": "t.any(z, 1)",
    "count_nonzero": "t.count_nonzero(z)",
    "count_nonzero dim": "t.count_nonzero(z, 1)",
    "logsumexp": "t.logsumexp(x, 1)",
    "logsumexp keepdim": "t.logsumexp(x, (0, 1), keepdim=True)",
    "softmax": "t.softmax(x, 1)",
    "softmax of a number": "t.softmax(s, 0)",
    "log_softmax": "t.log_softmax(x, 0)",
}

SHAPES = {
    "reshape": "t.reshape(x, (3, 2))",
    "reshape -1": "t.reshape(x, (-1,))",
    "ravel": "t.ravel(x)",
    "flatten": "t.flatten(a, 1)",
    "flatten of a number": "t.flatten(s)",
    "unflatten": "t.unflatten(v, 0, (2, -1))",
    "squeeze": "t.squeeze(t.reshape(x, (1, 2, 1, 3)))",
    "squeeze dim": "t.squeeze(t.reshape(x, (1, 2, 1, 3)), 0)",
    "squeeze dims": "t.squeeze(t.reshape(x, (1, 2, 1, 3)), (0, 2))",
    "squeeze long dim": "t.squeeze(x, 0)",
    "unsqueeze": "t.unsqueeze(x, -1)",
    "permute": "t.permute(a, (2, 0, 1))",
    "transpose": "t.transpose(a, 0, -1)",
    "swapaxes": "t.swapaxes(x, 0, 1)",
    "swapdims": "t.swapdims(x, 0, 1)",
    "t": "t.t(x)",
    "movedim": "t.movedim(a, 0, 2)",
    "moveaxis": "t.moveaxis(a, (0, 1), (1, 2))",
    "broadcast_to": "t.broadcast_to(r, (2, 3))",
    "broadcast_tensors": "t.broadcast_tensors(x, r)[1]",
    "tile": "t.tile(x, (2,))",
    "tile more dims": "t.tile(v, (2, 1, 3))",
    "repeat_interleave": "t.repeat_interleave(x, 2, 1)",
    "repeat_interleave of all": "t.repeat_interleave(x, 2)",
    "repeat_interleave counts": "t.repeat_interleave(v, t.tensor([1, 0, 2, 1]), dim=0)",
    "flip": "t.flip(x, (0, 1))",
    "fliplr": "t.fliplr(x)",
    "flipud": "t.flipud(x)",
    "roll": "t.roll(x, 1)",
    "roll dims": "t.roll(x, (1, -1), (0, 1))",
    "rot90": "t.rot90(x)",
    "rot90 twice": "t.rot90(a, 2, (0, 2))",
    "rot90 back": "t.rot90(x, -1)",
    "atleast_1d": "t.atleast_1d(s)",
    "atleast_2d": "t.atleast_2d(v)",
    "atleast_3d": "t.atleast_3d(x)",
    "meshgrid ij": "t.meshgrid(v, r, indexing='ij')",
    "meshgrid xy": "t.meshgrid(v, r, indexing='xy')",
}

CUTTING = {
    "narrow": "t.narrow(x, 1, 1, 2)",
    "select": "t.select(x, 1, -1)",
    "unbind": "t.unbind(x, 1)",
    "split": "t.split(v, 3)",
    "split sizes": "t.split(a, [1, 3], 2)",
    "chunk": "t.chunk(v, 3)",
    "tensor_split": "t.tensor_split(v, 3)",
    "tensor_split at": "t.tensor_split(v, (1, 3))",
    "hsplit": "t.hsplit(x, 3)",
    "vsplit": "t.vsplit(x, 2)",
    "dsplit": "t.dsplit(a, 2)",
    "diag of a vector": "t.diag(v, 1)",
    "diag of a matrix": "t.diag(x, -1)",
    "diagonal": "t.diagonal(m)",
    "diagonal dims": "t.diagonal(a, 1, 0, 2)",
    "diag_embed": "t.diag_embed(x)",
    "diag_embed offset": "t.diag_embed(x, -1, 0, 2)",
    "diagflat": "t.diagflat(v)",
    "trace": "t.trace(m)",
    "tril": "t.tril(m)",
    "triu": "t.triu(a, 1)",
    "slice_scatter": "t.slice_scatter(m, n[:1], 0, 1, 2)",
    "slice_scatter step": "t.slice_scatter(v, w[:2], 0, 0, 4, 2)",
    "select_scatter": "t.select_scatter(m, r, 1, -1)",
    "diagonal_scatter": "t.diagonal_scatter(m, r)",
    "diagonal_scatter offset": "t.diagonal_scatter(x, r[:2], 1)",
}

JOINING = {
    "cat": "t.cat([x, y], 1)",
    "concat": "t.concat([x, y, x])",
    "stack": "t.stack([x, y], 1)",
    "hstack": "t.hstack([x, y])",
    "hstack of vectors": "t.hstack([v, r])",
    "vstack": "t.vstack([v, w])",
    "dstack": "t.dstack([x, y])",
    "column_stack": "t.column_stack([v, w])",
    "block_diag": "t.block_diag(x, m, v)",
    "cartesian_prod": "t.cartesian_prod(v, r)",
    "combinations": "t.combinations(v)",
    "combinations with replacement": "t.combinations(r, 2, True)",
}

INDEXING = {
    "index_select": "t.index_select(x, 1, t.tensor([2, 0, 2]))",
    "take": "t.take(x, t.tensor([[0, 5], [5, 1]]))",
    "take_along_dim": "t.take_along_dim(x, t.tensor([[0], [2]]), 1)",
    "take_along_dim of all": "t.take_along_dim(x, t.tensor([4, 1]))",
    "masked_fill": "t.masked_fill(x, x > 0, 3.5)",
    "masked_fill tensor": "t.masked_fill(x, x > 0, s)",
    "masked_select": "t.masked_select(x, x > 0)",
    "masked_scatter": "t.masked_scatter(x, x > 0, y)",
    "index_fill": "t.index_fill(x, 1, t.tensor([0, 2]), 1.5)",
    "index_fill tensor": "t.index_fill(m, 0, t.tensor([1]), s)",
    "nonzero": "t.nonzero(z)",
    "nonzero as tuple": "t.nonzero(z, as_tuple=True)",
    "argwhere": "t.argwhere(z)",
    "where": "t.where(x > 0, x, y)",
    "where number": "t.where(x > 0, x, 0.5)",
    "where alone": "t.where(z > 0)",
}

MATRICES = {
    "matmul 1 1": "t.matmul(v, w)",
    "matmul 2 1": "t.matmul(x, r)",
    "matmul 1 2": "t.matmul(r, m)",
    "matmul 2 2": "t.matmul(x, m)",
    "matmul 3 2": "t.matmul(a, t.reshape(b, (4, 6)))",
    "matmul 3 3": "t.matmul(a, b)",
    "matmul 3 1": "t.matmul(a, v)",
    "mm": "t.mm(m, n)",
    "bmm": "t.bmm(a, b)",
    "mv": "t.mv(m, r)",
    "dot": "t.dot(v, w)",
    "vdot": "t.vdot(v, w)",
    "inner": "t.inner(x, y)",
    "outer": "t.outer(v, r)",
    "ger": "t.ger(v, r)",
    "addmm": "t.addmm(r, m, n, beta=0.5, alpha=2)",
    "addmv": "t.addmv(r, m, r)",
    "addr": "t.addr(m, r, r, beta=2)",
    "baddbmm": "t.baddbmm(t.reshape(m[:1], (1, 1, 3)), a, b, alpha=3)",
    "addbmm": "t.addbmm(m, a, b, beta=0.3)",
    "kron": "t.kron(x, v)",
    "cross": "t.cross(m, n, dim=1)",
    "tensordot": "t.tensordot(a, b, dims=([1, 2], [2, 1]))",
    "tensordot 1": "t.tensordot(x, m, dims=1)",
}

POINTWISE = {
    "add alpha": "t.add(x, y, alpha=2)",
    "add number": "t.add(x, 2)",
    "sub alpha": "t.sub(x, y, alpha=0.5)",
    "rsub": "t.rsub(x, 3.0)",
    "rsub tensor": "t.rsub(x, y)",
    "addcmul": "t.addcmul(x, y, p, value=0.5)",
    "addcdiv": "t.addcdiv(x, y, p, value=0.5)",
    "lerp": "t.lerp(x, y, 0.3)",
    "lerp beyond half": "t.lerp(x, y, 0.8)",
    "lerp tensor": "t.lerp(x, y, u)",
    "pow": "t.pow(x, 3)",
    "pow root": "t.pow(p, 0.5)",
    "pow tensor": "t.pow(p, y)",
    "pow of a number": "t.pow(2.5, x)",
    "float_power": "t.float_power(p, 1.5)",
    "square": "t.square(x)",
    "fmod number": "t.fmod(x, 0.7)",
    "remainder number": "t.remainder(x, 0.7)",
    "clamp": "t.clamp(x, -0.5, 0.6)",
    "clamp min": "t.clamp(x, min=0.2)",
    "clamp max": "t.clamp(x, max=0.2)",
    "clamp tensors": "t.clamp(x, y, y + 1)",
    "clamp at the bounds": "t.clamp(z, -1, 2)",
    "clip": "t.clip(x, 0, 1)",
    "clamp_min": "t.clamp_min(x, 0.1)",
    "clamp_min tensor": "t.clamp_min(x, y)",
    "clamp_max": "t.clamp_max(x, 0.1)",
    "clamp_max tensor": "t.clamp_max(x, y)",
    "threshold": "t.threshold(x, 0.1, 20.0)",
    "relu at zero": "t.relu(z)",
    "abs at zero": "t.abs(z)",
    "maximum of ties": "t.maximum(z, z.flip(0))",
    "nan_to_num": "t.nan_to_num(t.where(x > 1, float('inf'), x))",
    "frac": "t.frac(x)",
    "ldexp": "t.ldexp(x, t.tensor([1, 2, 0]))",
    "xlogy of tensors": "t.mul(x, t.log(p))",
    "isclose": "t.isclose(x, x + 1e-9)",
    "signbit": "t.signbit(x)",
    "isposinf": "t.isposinf(x / 0)",
    "isneginf": "t.isneginf(x / 0)",
    "isreal": "t.isreal(x)",
    "isnan": "t.isnan(t.sqrt(x))",
    "isinf": "t.isinf(x / 0)",
    "isfinite": "t.isfinite(x / z)",
    "logical_not": "t.logical_not(z)",
    "div floor": "t.div(t.tensor([7, -7]), 2, rounding_mode='floor')",
    "div trunc": "t.div(t.tensor([7, -7]), 2, rounding_mode='trunc')",
    "floor_divide": "t.floor_divide(t.tensor([7, -7]), 2)",
    "fmod of integers": "t.fmod(t.tensor([7, -7]), 4)",
    "remainder of integers": "t.remainder(t.tensor([7, -7]), 4)",
    "mean of int32 sums": "t.sum(t.tensor([True, True, False]))",
    "bitwise_and": "t.bitwise_and(t.tensor([6, 5]), 3)",
    "bitwise_or": "t.bitwise_or(t.tensor([6, 5]), 3)",
    "bitwise_xor": "t.bitwise_xor(t.tensor([6, 5]), 3)",
    "bitwise_not": "t.bitwise_not(t.tensor([6, 5]))",
    "sin of integers": "t.sin(t.tensor([1, 2]))",
    "true_divide of integers": "t.true_divide(t.tensor([1, 2]), 2)",
    "pow of integers": "t.pow(t.tensor([1, 2, 3]), 2)",
    "round": "t.round(t.tensor([0.5, 1.5, -2.5, 2.26]))",
    "round decimals": "t.round(t.tensor([0.25, 1.234]), decimals=1)",
    "heaviside": "t.heaviside(t.tensor([-1.0, 0.0, 2.0]), t.tensor([0.5]))",
    "floor": "t.floor(t.tensor([-1.5, 2.5]))",
    "ceil": "t.ceil(t.tensor([-1.5, 2.5]))",
    "trunc": "t.trunc(t.tensor([-1.5, 2.5]))",
    "fix": "t.fix(t.tensor([-1.5, 2.5]))",
    "sign": "t.sign(t.tensor([-1.5, 0.0]))",
    "sgn": "t.sgn(t.tensor([-1.5, 0.0]))",
}

ANALYSIS = {
    "diff": "t.diff(x)",
    "diff twice": "t.diff(a, 2, dim=2)",
    "diff with ends": "t.diff(v, prepend=v[:1], append=w[:2])",
    "trapezoid": "t.trapezoid(x)",
    "trapezoid x": "t.trapezoid(x, r, dim=1)",
    "cumulative_trapezoid": "t.cumulative_trapezoid(x, dx=0.5)",
    "gradient": "t.gradient(v)",
    "gradient spacing": "t.gradient(m, spacing=0.5)",
    "gradient coordinates": "t.gradient(v, spacing=(t.tensor([0.0, 1.0, 3.0, 4.5], dtype=v.dtype),))",
    "cov": "t.cov(x)",
    "cov weights": "t.cov(m, correction=0, aweights=t.tensor([0.2, 0.5, 0.3], dtype=m.dtype))",
    "cov of one": "t.cov(v)",
    "corrcoef": "t.corrcoef(m)",
    "cdist": "t.cdist(x, m)",
    "cdist 1": "t.cdist(m, n, p=1.0)",
    "vander": "t.vander(v.detach())",
    "vander increasing": "t.vander(v.detach(), 3, increasing=True)",
    "unravel_index": "t.unravel_index(t.tensor([3, 5]), (2, 3))",
}

KEYS = {
    "x[0]": "x[0]",
    "x[:, 1]": "x[:, 1]",
    "x[1:]": "x[1:]",
    "x[..., ::2]": "x[..., ::2]",
    "x[None]": "x[None]",
    "x[[1, 0]]": "x[[1, 0]]",
    "x[mask]": "x[x > 0]",
    "a[0, 1:, [2, 0]]": "a[0, 1:, [2, 0]]",
}


def _simple():
    found = {name: f"t.{name}({letter})" for letter, names in ELEMENTWISE.items() for name in names.split()}
    found |= {name: f"t.{name}(x, y)" for name in ELEMENTWISE_OF_TWO.split()}
    found |= {name: f"t.{name}(z, z.flip(0))" for name in COMPARISONS.split()}
    found["acosh"] = "t.acosh(p + 1)"
    found["arccosh"] = "t.arccosh(p + 1)"
    return found


CASES = {
    **_simple(),
    **REDUCTIONS,
    **SHAPES,
    **CUTTING,
    **JOINING,
    **INDEXING,
    **MATRICES,
    **POINTWISE,
    **ANALYSIS,
}

# PyTorch has no second derivative of these, or NaN for it.
ONCE = {"cdist", "cdist 1", "norm of zeros"}


def letters(text):
    """The arrays that a line uses."""
    code = compile(text, "case", "eval")
    return [name for name in ARRAYS if name in code.co_names]


def evaluate(text, t, values):
    """A line's results as a tuple."""
    result = eval(text, {"t": t, **values})
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def cotangent(shape):
    """What the gradient of a result is multiplied by."""
    return np.cos(np.arange(1, int(np.prod(shape)) + 1)).reshape(shape)
