"""Functions of tracegrad.compat's namespaces, each of one array, with a number for its result: ``name -> (f(np), x)``."""

import numpy as onp  # noqa: ICN001 - np is the namespace that is tested

RNG = onp.random.default_rng(0)
A = RNG.normal(size=(4, 4))
S = A @ A.T + 4 * onp.eye(4)
V = RNG.normal(size=4)
P = onp.abs(RNG.normal(size=(3, 4))) + 0.3
CASES = {}


def case(name, f, x):
    assert name not in CASES
    CASES[name] = (f, x)


def each(names, f, x, mark=""):
    for name in names.split():
        case(name + mark, lambda np, v, name=name: f(np, getattr(np, name), v), x)


# -- maps
each(
    "exp log sin cos tan sinh cosh tanh arctan arcsinh arccosh sqrt square reciprocal log1p expm1 log2 log10 abs absolute "
    "negative exp2 sinc fabs cbrt rad2deg deg2rad degrees radians positive",
    lambda np, f, x: np.sum(f(x + 1.1) * A[:3]),
    P,
)
each("arcsin arccos arctanh", lambda np, f, x: np.sum(f(x / 10)), P)
each(
    "add subtract multiply divide true_divide power maximum minimum arctan2 logaddexp logaddexp2 hypot mod remainder fmax fmin "
    "float_power",
    lambda np, f, x: np.sum(f(x, P[0] * 1.3)) + np.sum(f(2.0, x)),
    P,
)
each("floor ceil sign rint trunc round around fix", lambda np, f, x: np.sum(f(x * 3) * x), P)
case("where", lambda np, x: np.sum(np.where(x > 0, x**2, -x)), V)
case("clip", lambda np, x: np.sum(np.clip(x, -0.5, 0.5) ** 2), V)
case("select", lambda np, x: np.sum(np.select([V > 0, V <= 0], [x**2, x])), V)
case("nan_to_num", lambda np, x: np.sum(np.nan_to_num(x) ** 2), V)
case("operators", lambda np, x: np.sum(2 / x + x**2 - 3 * -x + abs(x) + x % 0.7 + 2**x + (1 - x) / 2 + (V @ x) * x.T), V)
case("float_scalars", lambda np, x: onp.float64(2.0) * x[0] + x[1] / onp.float64(3.0) - onp.float32(1.0) ** x[2], V)
case("plain_arrays_first", lambda np, x: np.sum(V * x + V / x - V**2 * x), V)
case("numpys_own_functions", lambda np, x: onp.sum(onp.sin(x) * onp.reshape(x, (2, 2)).ravel()) + onp.dot(V, x), V)

# -- reductions
each(
    "sum prod mean std var max min amax amin cumsum ravel transpose squeeze sort ptp median cumprod nansum nanmean nanvar",
    lambda np, f, x: np.sum(f(x) ** 2),
    P,
)
each("sum prod mean std var max min cumsum sort", lambda np, f, x: np.sum(f(x, axis=1) ** 2), P, "_axis")
case("var_ddof", lambda np, x: np.var(x, axis=0, ddof=1).sum(), P)
case("average", lambda np, x: np.average(x, weights=V**2), V)
case("lists_of_boxes", lambda np, x: np.sum([x[0], x[1] * x[2]]) * np.mean([x[0], 2.0]) + np.max([x[0], x[1]]), V)

# -- shapes
case("array", lambda np, x: np.sum(np.array([[x[0], x[1]], [x[2] * x[0], 1.0]]) ** 2), V)
case("array_of_arrays", lambda np, x: np.sum(np.array([x, V, (x[0], x[1], 2.0, 1.0)]) ** 2), V)
case("concatenate", lambda np, x: np.sum(np.concatenate([x, x * 2, A]) ** 2), A)
case("concatenate_axis", lambda np, x: np.sum(np.concatenate((x, A), axis=1) ** 2), A)
case("stack", lambda np, x: np.sum(np.stack([x, A], 1) ** 2), A)
case("vstack", lambda np, x: np.sum(np.vstack([x, V]) ** 2) + np.sum(np.row_stack([x, V]) * V), V)
case("hstack", lambda np, x: np.sum(np.hstack([x, V, x]) ** 2), V)
case("dstack", lambda np, x: np.sum(np.dstack([x, V, x]) ** 2), V)
case("column_stack", lambda np, x: np.sum(np.column_stack([x, V]) ** 2), V)
case("append", lambda np, x: np.sum(np.append(x, x * 2) ** 2), V)
case("r_c_", lambda np, x: np.sum(np.r_[x, 1.0, V] ** 2) + np.sum(np.c_[x, V] ** 3), V)
case("reshape", lambda np, x: np.sum(np.reshape(x, (2, -1))[0] ** 2) + np.sum(np.reshape(x, -1, order="F")[:5] ** 2), A)
case("expand_dims", lambda np, x: np.sum(np.expand_dims(x, 1) * x), V)
each("swapaxes moveaxis rollaxis", lambda np, f, x: np.sum(f(x, 0, 1) * A), A)
each("fliplr flipud rot90 flip", lambda np, f, x: np.sum(f(x) * A), A)
case("split", lambda np, x: np.sum(np.split(x, 2)[1] ** 2) + np.sum(np.array_split(x, 3)[0] ** 3), V)
case("pad", lambda np, x: np.sum(np.pad(x, 2, "constant") ** 2), V)
case("tile", lambda np, x: np.sum(np.tile(x, (2, 3)) ** 2), V)
case("repeat", lambda np, x: np.sum(np.repeat(x, 3) ** 2), V)
case("roll", lambda np, x: np.sum(np.roll(x, 1) * V), V)
case("atleast", lambda np, x: np.sum(np.atleast_1d(x) ** 2) + np.sum(np.atleast_2d(x) * np.atleast_3d(x)), V)
case("full", lambda np, x: np.sum(np.full((2, 3), x[0]) ** 2), V)
case("linspace", lambda np, x: np.sum(np.linspace(x[0], x[1], 5) ** 2), V)
case("astype", lambda np, x: np.sum(x.astype(float) ** 2), V)
case("real_if_close", lambda np, x: np.sum(np.real_if_close(x) ** 2), V)
case("index", lambda np, x: x[1] * x[-1] ** 2 + np.sum(x[x > 0] ** 2) + np.sum(x[::-1] * V) + np.sum(x[[0, 0, 1]] ** 2), V)
case("index_axes", lambda np, x: np.sum(x[1:3, [0, 2]] ** 2) + np.sum(x[:, None, 2] ** 2) + np.sum(x[..., -1] * V), A)
case("iterate", lambda np, x: sum(row[0] * row[1] for row in x) + len(x) * x[0][0], A)
case("diff", lambda np, x: np.sum(np.diff(x) ** 2), V)
case("gradient", lambda np, x: np.sum(np.gradient(x) ** 2), V)
case("unwrap", lambda np, x: np.sum(np.unwrap(x) ** 2), V * 3)
case("partition", lambda np, x: np.sum(np.partition(x, 2) ** 2), V)
case("sort_weights", lambda np, x: np.sum(np.sort(x) * V), V)
case("zeros_like", lambda np, x: np.sum((np.zeros_like(x) + np.ones_like(x) + x) ** 2), V)
case("argmax", lambda np, x: x[np.argmax(x)] + x[np.argsort(x)[1]] + np.sum(x[np.nonzero(x > 0)]), V)

# -- contractions
case("dot", lambda np, x: np.sum(np.dot(x, V) ** 2), A)
case("matmul", lambda np, x: np.sum((x @ x) ** 2) + np.sum(np.matmul(x, V)), A)
case("einsum", lambda np, x: np.einsum("ij,jk,ki->", x, x, x) + np.einsum("ii", x) + np.sum(np.einsum("i...->...", x) ** 2), A)
case("tensordot", lambda np, x: np.sum(np.tensordot(x, x, 1) ** 2) + np.tensordot(x, A, axes=([0, 1], [0, 1])), A)
case("outer", lambda np, x: np.sum(np.outer(x, x) ** 3), V)
case("inner", lambda np, x: np.inner(x, x) ** 2, V)
case("kron", lambda np, x: np.sum(np.kron(x, x) ** 2), A)
case("cross", lambda np, x: np.sum(np.cross(x[:3], V[:3]) ** 2), V)
case("trace", lambda np, x: np.trace(x) ** 2, A)
case("diag", lambda np, x: np.sum(np.diag(x) ** 2) + np.sum(np.diag(V * np.diag(x)) ** 2) + np.sum(np.diagonal(x) ** 3), A)
case("tril_triu", lambda np, x: np.sum(np.tril(x) ** 2) + np.sum(np.triu(x, 1) ** 3), A)
case("make_diagonal", lambda np, x: np.sum((np.make_diagonal(x, 0, -1, -2) + A) ** 2), V)

# -- linear algebra
for _name in ("inv", "det", "cholesky", "norm"):
    case("linalg." + _name, lambda np, x, name=_name: np.sum(getattr(np.linalg, name)(x) * 1.3), S)
case("linalg.pinv", lambda np, x: np.sum(np.linalg.pinv(x)), A[:3])
case("linalg.slogdet", lambda np, x: np.linalg.slogdet(x)[1], S)
case("linalg.eigh", lambda np, x: np.sum(np.linalg.eigh(x)[0] ** 2) + np.sum(np.linalg.eigh(x)[1] ** 4), S)
case("linalg.svd", lambda np, x: np.sum(np.linalg.svd(x, full_matrices=False)[1] ** 3), A)
case("linalg.solve", lambda np, x: np.sum(np.linalg.solve(x, V)) + np.sum(np.linalg.solve(S, x)), S)
case(
    "linalg.norm_orders", lambda np, x: np.linalg.norm(x[0], 3) + np.linalg.norm(x, "nuc") + np.linalg.norm(x, axis=0).sum(), A
)

case("linalg.eig", lambda np, x: np.sum(np.abs(np.linalg.eig(x)[0]) ** 3) + np.sum(np.abs(np.linalg.eig(x)[1]) ** 3), A)
case("linalg.eig_real", lambda np, x: np.sum(np.linalg.eig(x)[0] ** 2) + np.sum(np.linalg.eig(x)[1] ** 4), S)

# -- complex numbers
case(
    "complex",
    lambda np, x: (
        np.sum(np.abs(np.exp(1j * x) * (x + 2j * x)) ** 2)
        + np.sum(np.real(np.conj(x + 1j * x**2) * (1 + 2j)))
        + np.sum(np.imag(x * (1 + 3j)))
    ),
    V,
)
case(
    "complex_algebra",
    lambda np, x: (
        np.real(np.sum(np.linalg.inv(x + 1j * S)))
        + np.imag(np.sum(np.dot(x * (1 + 1j), A) @ np.linalg.solve(S + 1j * x, V)))
        + np.abs(np.einsum("ij,ij", x * 1j, x + 2j))
        + np.sum(np.abs(np.linalg.det(x * 1j + S)))
    ),
    A,
)
case("angle", lambda np, x: np.sum(np.angle(x + 1j * V)), V)

# -- methods
case(
    "methods",
    lambda np, x: (
        x.sum() + x.mean(axis=0).prod() + x.trace() + x.ravel().cumsum().max() + x.std() + (x.reshape(2, 8) ** 2).var()
        + x.flatten()[3] + x.diagonal().sum() + x.repeat(2).sum() + x.swapaxes(0, 1)[0, 1] + x.transpose()[1, 2] + x.min()
        + x.clip(-1, 1).sum() + x.squeeze().T[0, 1] + x.take(3) * x.ndim * x.size * x.shape[0]
    ),
    A,
)  # fmt: skip

# -- Fourier transforms
_TRANSFORMS = "fft ifft fft2 ifft2 fftn ifftn rfft rfft2 rfftn fftshift ifftshift ihfft"
for _name in _TRANSFORMS.split():
    case(
        "fft." + _name,
        lambda np, x, name=_name: (
            np.sum(np.abs(getattr(np.fft, name)(x)) ** 2 * 1.5)
            + np.sum(np.real(getattr(np.fft, name)(x)) * A[:, : getattr(onp.fft, name)(A).shape[1]])
        ),
        A,
    )
for _name in ("irfft", "irfftn", "irfft2", "hfft"):
    case("fft." + _name, lambda np, x, name=_name: np.sum(getattr(np.fft, name)(x * (1 + 2j)) ** 2), A)
for _norm in ("ortho", "forward", "backward"):
    case(
        "fft_" + _norm,
        lambda np, x, norm=_norm: (
            np.sum(np.imag(np.fft.fft(x, 6, 0, norm=norm)) * onp.arange(4))
            + np.sum(np.fft.irfft(np.fft.ifft(x, norm=norm), 5, norm=norm) ** 2)
            + np.sum(np.fft.hfft(x, 3, norm=norm) ** 2)
            + np.sum(np.abs(np.fft.rfftn(x, (3, 5), (0, 1), norm=norm)))
        ),
        A,
    )
