"""What random programs are made of: tables of statements with slots, and helper functions.

A slot is a name in braces. ``{x}``, ``{y}``, ``{z}`` are values of any kind, ``{s}`` a scalar, ``{m}`` a matrix, ``{b}`` a
mask, ``{i}`` an array of integers, ``{c}`` a complex value, ``{t}`` an array made by the program, which may be written to;
``{axis}`` and ``{axes}`` are of the first value, ``{key}`` indexes it, ``{tkey}`` indexes ``{t}``, ``{n}`` is its length,
``{k}`` a small integer, ``{shape}`` its shape. What does not fit (an axis that is not there, shapes that do not broadcast)
raises in NumPy when the program is made, and is drawn again: the tables need not be careful.
"""

MAPS = """
np.sin({x})
np.cos({x}) * 0.5
np.tanh({x})
-{x}
+{x}
~{b}
np.abs({x})
abs({x})
np.exp(-np.abs({x}))
np.expm1(0.1 * np.sin({x}))
np.log(np.abs({x}) + 0.5)
np.log1p(np.abs({x}))
np.log2(1.5 + np.square({x} * 1.0))
np.log10(np.abs({x}) + 1)
np.exp2(-np.abs({x}))
np.sqrt(np.abs({x}) + 0.5)
np.cbrt(2.0 + np.tanh({x}))
np.arctan({x})
np.arcsin(0.9 * np.tanh({x}))
np.arccos(0.9 * np.tanh({x}))
np.arcsinh({x})
np.arccosh(1.5 + np.abs({x}))
np.arctanh(0.8 * np.sin({x}))
np.sinh(np.tanh({x}))
np.cosh(np.tanh({x}))
np.tan(0.5 * np.tanh({x}))
np.sinc({x})
np.i0(np.tanh({x}))
np.square({x})
np.reciprocal(1.5 + np.abs({x}))
{x} * 2
2 * {x}
{x} * 0.5 + 1
1 - {x} * 1
{x} / 3
1.0 / (1.5 + np.square({x} * 1.0))
{x} ** 2
{x} ** 3
(1.5 + np.abs({x})) ** 0.5
(1.5 + np.abs({x})) ** -1.5
2.0 ** np.tanh({x})
1.5 ** ({x} % 3)
{x} // 2
{x} % 3
7 % (np.abs({x}) + 2)
-7 // (np.abs({x}) + 2)
np.fmod({x}, 2)
np.floor({x} * 1.0)
np.ceil({x} * 1.0)
np.trunc({x} * 1.0)
np.rint({x} * 3.0)
np.round({x} * 1.0, 1)
np.sign({x} * 1.0)
np.sign({x} * 1)
np.heaviside({x} * 1.0, 0.5)
np.maximum({x}, 0)
np.minimum(0.5, {x})
np.clip({x}, -1, 1)
np.clip({x}, None, 0.5)
np.clip({x}, {y}, {z})
np.nan_to_num({x})
np.positive({x} * 1)
np.fabs({x})
np.deg2rad({x})
np.copy({x})
{x}.copy()
np.ascontiguousarray({x})
np.asfortranarray({x})
np.asarray({x})
np.float64(1.5) * {x}
np.float32(1.5) * {x}
np.int64(2) + {x}
np.True_ * {x}
3 * {x} - {x} * 2
np.logical_not({x})
np.isfinite({x} * 1.0)
np.isnan({x} * 1.0)
np.signbit({x} * 1.0)
{x} > 0
{x} == 0
({x} > 0) & ({x} < 1)
({x} > 0) ^ ({y} > 0)
~({x} > 0)
{x}.astype(np.float64)
{x}.astype(np.float32)
{x}.astype(np.int64)
{x}.astype(np.int32)
{x}.astype(bool)
{x}.astype(complex)
np.asarray({x}, dtype=np.float32)
np.unwrap({x} * 2.0)
np.interp({x} * 1.0, [-1.0, 0.0, 1.0], [0.0, 2.0, 1.0])
np.piecewise({x} * 1.0, [{x} < 0, {x} >= 1], [lambda t: -t, lambda t: t * t, 0.5])
np.polyval([1.0, -0.5, 0.25], {x})
np.modf({x} * 1.0)[0]
np.ldexp({x} * 1.0, {i} % 3)
special.expit({x})
special.erf({x})
special.xlogy(np.abs({x}), np.abs({y}) + 0.5)
special.gammaln(np.abs({x}) + 0.5)
special.entr(np.abs({x}) + 0.1)
special.log_ndtr({x} * 1.0)
"""

PAIRS = """
{x} + {y}
{x} - {y} * 1
{x} * {y}
{x} + {y} + {z}
{x} * {y} + {z}
{x} * {y} - {y} * {z}
np.add({x}, {y})
np.subtract({x} * 1, {y})
np.multiply({x}, {y}, dtype=np.float64)
np.maximum({x}, {y})
np.minimum({x}, {y})
np.fmax({x}, {y})
np.fmin({x}, {y})
np.tanh({x}) * {y}
{x} / (2.0 + np.square({y} * 1.0))
{x} / (np.abs({y}) + 1)
{x} // (np.abs({y}) + 1)
{x} % (np.abs({y}) + 1)
np.divmod({x}, np.abs({y}) + 1)[0]
divmod({x}, np.abs({y}) + 1)[1]
np.arctan2({x} * 1.0, 2.0 + np.abs({y}))
np.hypot({x} * 1.0, {y} + 0.5)
np.logaddexp({x} * 1.0, {y})
np.logaddexp2({x} * 1.0, {y})
np.copysign({x} * 1.0, {y})
(1.0 + np.abs({x})) ** np.tanh({y})
np.power(np.abs({x}) + 0.5, np.clip({y}, -2, 2))
np.float_power(np.abs({x}) + 0.5, np.clip({y}, -2, 2))
{x} == {y}
{x} < {y}
{x} >= {y}
{x} != {y}
np.isclose({x}, {y}, atol=0.3)
np.logical_or({x}, {y})
np.logical_and({x}, {y})
np.logical_xor({x}, {y})
np.where({x} > 0, {y}, 0.5)
np.where({x} > {y}, {x}, {y})
np.where({b}, {x}, {y})
np.where({b}, {x}, 0)
np.where({x} > 0, np.sqrt({x}), 0.0)
np.where({x} > 0, {x} * np.log({x}), {y})
np.where(np.abs({x}) > 0.1, {y} / {x}, 1.0)
np.select([{x} > 1, {x} > 0], [{x}, {y}], 0.25)
np.choose({b} * 1, [{x}, {y}])
np.outer({x}, {y})
np.add.outer({x}, {y})
np.multiply.outer({x}, {y})
np.subtract.outer({x} * 1, {y})
np.heaviside({x} * 1.0, {y})
"""

REDUCTIONS = """
np.sum({x}, axis={axis})
np.sum({x}, axis={axis}, keepdims=True)
np.sum({x}, axis={axes}, keepdims=True)
np.sum({x}, where={x} > 0)
np.sum({x}, dtype=np.float64, axis={axis})
{x}.sum()
{x}.sum({axis})
{x}.mean(axis={axis}, keepdims=True)
np.mean({x}, axis={axes})
np.mean({x}, axis={axis}, where={x} > -9, keepdims=True)
np.max({x}, axis={axis})
np.max({x}, axis={axes}, keepdims=True)
np.min({x}, axis={axis}, initial=0.5)
{x}.min()
{x}.max(axis=-1, keepdims=True)
np.prod(np.tanh({x}), axis={axis})
np.prod({x} * 0.5 + 1, axis={axes}, keepdims=True)
np.var({x}, axis={axis})
np.var({x}, axis={axis}, ddof=1)
{x}.std(axis={axis}, keepdims=True)
np.any({x}, axis={axis})
np.all({x} > 0, axis={axes}, keepdims=True)
np.ptp({x}, axis={axis})
np.argmax({x}, axis={axis})
np.argmin({x}, axis={axis}, keepdims=True)
np.count_nonzero({x}, axis={axis})
np.median({x} * 1.0, axis={axis})
np.quantile({x} * 1.0, 0.3, axis={axis})
np.quantile({x} * 1.0, [0.25, 0.75], axis={axis}, keepdims=True)
np.percentile({x} * 1.0, 40)
np.average({x} * 1.0, axis={axis})
np.average({x} * 1.0, axis={axis}, weights=np.abs({x}) + 0.5)
np.nansum({x}, axis={axis})
np.nanmean({x} * 1.0, axis={axis})
np.nanmax({x}, axis={axis})
np.linalg.norm({x} * 1.0)
np.linalg.norm({x} + 0.5, axis={axis})
np.linalg.norm({x} * 1.0, ord=1, axis=-1, keepdims=True)
np.add.reduce({x}, axis={axis})
np.multiply.reduce(np.tanh({x}), axis={axis})
np.maximum.reduce({x}, axis={axis})
np.logaddexp.reduce({x} * 1.0, axis={axis})
np.logical_or.reduce({x}, axis={axis})
special.logsumexp({x} * 1.0, axis={axis})
special.logsumexp({x} * 1.0, axis={axis}, keepdims=True)
special.softmax({x} * 1.0, axis={axis})
special.log_softmax({x} * 1.0, axis={axis})
{x} - np.max({x}, axis={axis}, keepdims=True)
{x} / (1.0 + np.sum(np.abs({x}), axis={axis}, keepdims=True))
({x} - {x}.mean({axis}, keepdims=True)) / ({x}.std({axis}, keepdims=True) + 0.1)
np.exp({x} - np.max({x})) / np.sum(np.exp({x} - np.max({x})), axis={axis}, keepdims=True)
sum(np.tanh({x}).ravel())
sum({x})
len({x}) * {y}
{x}.shape[0] * {y}
np.size({x}) + {y}
np.mean({x} > {y})
np.sum({x} > 0)
"""

SCANS = """
np.cumsum({x} * 1, axis={axis})
{x}.cumsum()
np.cumprod(np.tanh({x}), axis={axis})
np.add.accumulate({x} * 1, axis={axis})
np.maximum.accumulate({x}, axis={axis})
np.minimum.accumulate({x}, axis={axis})
np.logaddexp.accumulate({x} * 1.0)
np.diff({x} * 1, axis={axis})
np.diff({x} * 1, n=2, axis={axis})
np.diff({x} * 1.0, prepend=0.0)
np.ediff1d({x} * 1)
np.gradient({x} * 1.0, axis={axis})
np.gradient({x} * 1.0, 0.5, axis={axis}, edge_order=2)
np.trapezoid({x})
np.trapezoid({x}, dx=0.5, axis={axis})
np.sort({x}, axis={axis})
np.sort({x}, axis=None)
np.sort({x})[::-1]
np.argsort({x}, axis={axis}, kind="stable")
{x}[np.argsort({x}, kind="stable")]
np.take_along_axis({x}, np.argsort({x}, axis={axis}, kind="stable"), axis={axis})
np.partition({x}, 0)[..., 0]
np.searchsorted(np.array([-1.0, 0.0, 1.0]), {x})
np.searchsorted(np.sort({x}), {y})
np.digitize({x}, [-1.0, 0.0, 1.0])
np.add.reduceat({x}, [0, 1])
np.convolve({x}, [1.0, 2.0, 1.0])
np.convolve({x}, {y}, mode="same")
np.correlate({x}, {y}, mode="valid")
np.bincount({i} % 3, minlength=3)
np.bincount({i} % 3, weights={x}, minlength=4)
"""

SHAPES = """
np.reshape({x}, -1)
{x}.reshape(-1, 1)
{x}.reshape(1, -1)
{x}.reshape({shape} + (1,))
{x}.reshape(2, -1)
np.reshape({x}, (-1,), order="F")
{x}.ravel()
{x}.flatten()
{x}.T
{x}.T.reshape(-1)
np.transpose({x})
np.transpose({x}, {perm})
np.swapaxes({x}, 0, {axis1})
np.moveaxis({x}, 0, {axis1})
np.rollaxis({x}, {axis1})
np.expand_dims({x}, 0)
np.expand_dims({x}, (0, -1))
{x}[None]
{x}[..., None]
{x}[:, None]
np.squeeze({x})
np.atleast_1d({x})
np.atleast_2d({x})
np.atleast_3d({x})
np.broadcast_to({x}, (2,) + {shape})
np.broadcast_arrays({x}, {y})[0]
np.flip({x})
np.flip({x}, {axis1})
np.fliplr({x})
np.flipud({x})
np.rot90({x})
np.rot90({x}, 2)
np.roll({x}, {k})
np.roll({x}, {k}, {axis1})
np.roll({x}, (1, -1), (0, -1))
np.repeat({x}, 2)
np.repeat({x}, 3, axis={axis1})
np.repeat({x}, np.arange({n}) % 3, axis=0)
np.tile({x}, 2)
np.tile({x}, (2, 1))
np.resize({x}, (3, 2))
np.tril({x})
np.triu({x}, 1)
np.diag({x})
np.diag({x}, {k})
np.diagonal({x}).copy()
np.diagonal({x}, {k})
np.diagflat({x})
np.trace({x})
np.vander({x})
np.vander({x}, 3, increasing=True)
np.pad({x}, 1)
np.pad({x}, (0, 2), constant_values=1)
np.pad({x}, 1, mode="edge")
np.pad({x}, 2, mode="reflect")
np.pad({x}, 1, mode="symmetric")
np.pad({x}, 2, mode="wrap")
np.pad({x} * 1.0, 1, mode="linear_ramp")
np.pad({x} * 1.0, 1, mode="mean")
np.concatenate([{x}, {y}])
np.concatenate([{x}, {y}, {x}], axis={axis1})
np.concatenate([{x}, {y}], axis=None)
np.stack([{x}, {y}])
np.stack([{x}, {x} * 1], axis=-1)
np.hstack([{x}, {y}])
np.vstack([{x}, {y}])
np.dstack([{x}, {y}])
np.column_stack([{x}, {y}])
np.block([[{x}, {x}], [{y}, {y}]])
np.append({x}, {y})
np.append({x}, {y}, axis=0)
np.insert({x}, 0, 1, axis={axis1})
np.insert({x}, [0, 1], {y})
np.delete({x}, 0, axis={axis1})
np.delete({x}, slice(None, None, 2))
np.split({x}, 2)[1]
np.array_split({x}, 3, axis={axis1})[{k}]
np.array([{s}, 1.0, {s} * 2])
np.array([[{s}, 0], [1, {s}]])
np.array([{x}, {y}])
np.array([{x}, {x} + 1]).T
np.r_[{x}, 0.5, {y}]
np.c_[{x}, {y}]
np.meshgrid({x}, {y})[0]
np.meshgrid({x}, {y}, indexing="ij")[1]
np.fromfunction(lambda i: {s} + i, (3,))
np.apply_along_axis(lambda v: v * v[0], -1, {x})
"""

INDEXING = """
{x}[{key}]
{x}[{key}]
{x}[{key}]
{x}[{key}]
{x}[{key}] * 2
{x}[{i} % {n}]
{x}[{i} % {n}, 0]
{x}[:, {i} % 1]
{x}[{i} % {n}, None]
{x}[np.argmax({x}, axis=0) % {n}]
{x}[[0, -1]]
{x}[[0, 0, 0]]
{x}[[[0], [-1]], [0, -1]]
{x}[np.array([0]), ..., np.array([0, -1])]
{x}[np.ix_([0, -1], [0])]
{x}[np.arange({n}), -1]
{x}[np.arange({n})[::-1]]
{x}[...]
{x}[()]
{x}[0]
{x}[-1]
{x}[::-1]
{x}[..., ::-1]
{x}[1:] - {x}[:-1] * 1
{x}[{k}:]
{x}[:{k}]
np.take({x}, {i} % {n}, axis=0)
np.take({x}, [0, -1], axis={axis1})
np.take({x}, {i}, mode="clip")
np.take({x}, {i}, mode="wrap", axis={axis1})
np.compress([True, False, True], {x})
np.compress([True], {x}, axis={axis1})
np.sum({x}[{x} > 0])
np.sum(np.sqrt({x}[{x} > 0]))
np.mean({x}[{x} > -9])
np.max({x}[{x} > -9])
np.sum({x}[{b}] * {x}[{b}])
np.cumsum({x}[{x} > 0] * 1)[-1]
{x}[np.array([True] * {n})]
{x}[np.arange({n}) % 2 == 0]
np.tril_indices(2)[0] * {s}
{x}.take([0])
{x}.ravel()[0]
np.asarray([1.0, 2.0, 3.0])[{i} % 3]
np.arange(6.0).reshape(3, 2)[{i} % 3]
"""

CONTRACTIONS = """
{x} @ {y}
{x} @ {x}.T
{x}.T @ {x}
{x} @ {y} + {z}
np.dot({x}, {y})
np.dot({x}, {x}.T)
np.vdot({x}, {y})
np.inner({x}, {y})
np.matmul({x}, {y})
np.tensordot({x}, {y}, axes=0)
np.tensordot({x}, {x}, axes=({axis1}, {axis1}))
np.einsum("i...,i...->...", {x}, {x} * 1)
np.einsum("...i,...i", {x}, {y})
np.einsum("ij,ij->i", {x}, {y})
np.einsum("ij,jk", {x}, {y})
np.einsum("ij->ji", {x})
np.einsum("ij,j,i->", {x}, {x}[0], {x}[:, 0])
np.einsum("ii->i", {x} @ {x}.T)
np.einsum("i,j->ij", {x}, {y})
np.einsum("i,i,i->i", {x}, {x}, {x})
np.einsum("ij->", {x})
np.einsum("ijk->kj", {x})
np.kron({x}, [1, 2])
np.kron({x}, {y})
np.cross({x}[..., :3], [0.0, 1.0, 2.0])
np.linalg.inv({x} @ {x}.T + np.eye({n}))
np.linalg.solve({x} @ {x}.T + np.eye({n}), {x})
np.linalg.cholesky({x} @ {x}.T + np.eye({n}))
np.linalg.eigvalsh({x} @ {x}.T + np.diag(np.arange(1.0, {n} + 1)))
np.linalg.slogdet({x} @ {x}.T + np.eye({n}))[1]
np.linalg.det({x} @ {x}.T + np.eye({n}))
np.linalg.matrix_power(np.tanh({x} @ {x}.T) * 0.3, 3)
np.linalg.multi_dot([{x}, {x}.T, {x}])
np.linalg.svd({x} * 1.0, compute_uv=False)[0]
np.linalg.norm({x} @ {x}.T)
np.cov({x} * 1.0)
np.corrcoef(np.stack([{x}, np.sin({x})]))[0, 1]
"""

COMPLEX = """
{x} + 0.5j
{x} * (1 - 2j)
{x} + 1j * {y}
1j * {x}
np.exp(1j * {x})
np.real({c})
np.imag({c})
{c}.real * {x}
{c}.imag + {x}
np.conj({c})
{c} * np.conj({c})
np.abs({c})
np.abs({c}) ** 2
np.angle({c} + 3)
{c} * {x}
{c} / (3.0 + {y} * {y})
{c} * {c} - {c}
np.sqrt({c} + 3)
np.exp({c} * 0.2)
np.log({c} + 5)
np.sin({c} * 0.3)
np.tanh({c} * 0.2)
{c} ** 2
(1 + 0.1 * {c}) ** 3
np.sum({c}, axis={axis})
np.mean({c})
{c} @ {c}.T
np.vdot({c}, {c})
np.where({b}, {c}, 1j)
np.concatenate([{c}, {x}])
np.fft.fft({x})
np.fft.ifft({c})
np.fft.rfft({x} * 1.0)
np.fft.irfft({c})
np.fft.fft2({x})
np.fft.fftshift({x})
np.abs(np.fft.fft({x}))
np.prod({c} * 0.3, axis={axis})
np.cumsum({c})
{c} == {x}
np.linalg.norm({c})
{c}.astype(np.complex64)
np.iscomplexobj({c}) * {x}
"""

NEW = """
np.zeros({shape})
np.ones({shape})
np.full({shape}, 0.5)
np.zeros({shape}) + 1
np.zeros_like({x})
np.ones_like({x})
np.full_like({x}, 2)
np.zeros({shape}, dtype=np.float32)
np.zeros({shape}, dtype=int)
np.zeros({shape}, dtype=bool)
np.zeros({shape}, dtype=complex)
np.zeros({shape}, order="F")
np.zeros(({n}, 3))
np.zeros(4)
np.arange(5)
np.arange(1.0, 4.0)
np.linspace(0, 1, 4)
np.linspace(0, {s}, 3)
np.eye(3)
np.identity(2)
np.array({x})
np.array({x}, dtype=float)
np.array({x}, ndmin=2)
{x} * 1.0
{x} * 1
{x}.copy()
np.full(3, {s})
np.full_like({x}, {s})
np.tri(3)
np.concatenate([{x}, {y}])
np.stack([{x}, {x}])
"""

VIEWS = """
{t}[{tkey}]
{t}[{tkey}]
{t}.T
{t}[::-1]
{t}.reshape(-1)
{t}.ravel()
np.reshape({t}, -1)
{t}[..., None]
{t}[None]
np.swapaxes({t}, 0, -1)
np.transpose({t})
np.moveaxis({t}, 0, -1)
np.squeeze({t})
np.expand_dims({t}, 0)
np.flip({t})
np.atleast_2d({t})
np.split({t}, 2)[0]
{t}.real
np.asarray({t})
{t}[0]
{t}[1:]
{t}[:, 0]
{t}[:]
"""

STORES = """
{t}[{tkey}] = {x}
{t}[{tkey}] = {x} * 1
{t}[{tkey}] = 0.5
{t}[{tkey}] = 2
{t}[{tkey}] = {s}
{t}[{tkey}] += {x}
{t}[{tkey}] *= 2
{t}[{tkey}] -= {x} * 1
{t}[{tkey}] /= 2.0
{t}[{tkey}] = {t}[{tkey}] * 2
{t}[{tkey}] = {t}[{tkey}][::-1]
{t}[{tkey}] = np.sum({x})
{t}[...] = {x}
{t}[:] = {x}
{t} += {x}
{t} *= {x}
{t} -= 1
{t} /= 2
{t} **= 2
{t} //= 2
{t} %= 3
{t} += {t}[::-1]
{t} *= {t}.T
{t}[::-1] = {t}
{t}[1:] = {t}[:-1]
{t}[:-1] += {t}[1:]
{t}[1:-1] = 0.5 * ({t}[2:] + {t}[:-2])
{t}[0] = {t}[-1]
{t}[0], {t}[-1] = {t}[-1], {t}[0]
{t}[0], {t}[-1] = {t}[-1] * 1, {t}[0] * 1
{t}[{t} > 0.5] = 0
{t}[{t} < 0] *= 2
{t}[{t} > 0] = {t}[{t} > 0] * 0.5
{t}[{b}] = {s}
{t}[{b}] = 1
{t}[{b}] += {x}[{b}]
{t}[{i} % {tn}] = 1.5
{t}[{i} % {tn}] += 1
{t}[{i} % {tn}] = {x}
{t}[[0, 0, -1]] = {x}
{t}[[0, 0, -1]] += 1
{t}[[0, -1], 0] = {s}
{t}[:, [0, -1]] = {s}
{t}[np.arange({tn}), 0] = {x}
np.add.at({t}, {i} % {tn}, 1)
np.add.at({t}, [0, 0, -1], {s})
np.multiply.at({t}, [0, 0], 2)
np.subtract.at({t}, 0, {s})
np.maximum.at({t}, [0, 0], {s})
np.put({t}, [0, -1], {s})
np.put_along_axis({t}, np.zeros({t}.shape, int)[..., :1], 0.5, axis=-1)
np.putmask({t}, {t} > 1, 1)
np.place({t}, {t} > 1, [0.5])
np.copyto({t}, {x})
np.copyto({t}, 0.25, where={t} > 0)
np.fill_diagonal({t}, {s})
np.multiply({t}, 2, out={t})
np.add({x}, {t}, out={t})
np.add({t}[::-1], {t}, out={t})
np.maximum({t}, 0, out={t})
np.cumsum({t}, axis=0, out={t})
np.tanh({t}, out={t})
np.exp(-np.abs({x}), out={t})
np.sum({x}, axis=0, out={t})
np.matmul({x}, {y}, out={t})
np.add({t}, 1, out={t}, where={t} > 0)
np.clip({t}, -1, 1, out={t})
np.take({x}, [0, -1], axis=0, out={t})
{t}.fill({s})
{t}.sort()
{t}.T[...] = {x}
{t}.reshape(-1)[0] = {s}
{t}.ravel()[-1] = {s}
{t}.flat[0] = {s}
{t}[None][0, ...] = {x}
{t}.real = {x}
{t}.imag[...] = {x}
for i in range({tn}): {t}[i] = {x}
for i in range({tn}): {t}[i] = i * {s}
for i in range(1, {tn}): {t}[i] = {t}[i - 1] * 0.5 + i
for i in range({tn}): {t}[i] += {x}[i % {n}]
for i in range({tn}): {t}[-i - 1] = {t}[i]
for i in range({tn}): {t}[i:] += 1
for i in range({tn}): {t}[i] = np.sum({x}[:i + 1])
for i in range(2): {t}[:i], {t}[i:] = {t}[:i] * 2, {t}[i:] + 1
for row in {t}: row *= 0.5
for row in {t}: row[0] = {s}
for i, row in enumerate({t}): row += i
for a, b in zip({t}, {x}): a -= b
for i, j in [(0, 1), (1, 0), (-1, -1)]: {t}[i, j] = {s} * (i + 1)
for _ in range(3): {t}[1:-1] += 0.1 * ({t}[2:] - 2 * {t}[1:-1] + {t}[:-2])
while np.ndim({t}) > 2: {t} = {t}[0]
if {t}.shape[0] > 2: {t}[0] = {s}
"""

LOOPS = """
np.array([{x}[i] * i for i in range({n})])
np.array([np.sum({x}[:i]) for i in range(1, {n} + 1)])
np.stack([row * 2 for row in {x}])
np.stack([np.sort(row) for row in {x}], axis=-1)
sum(row * i for i, row in enumerate({x}))
sum([{x}, {y}, {z}])
[{x}, {y}][{k} % 2] * 1
dict(a={x}, b={y})["b"] + 1
(lambda a, b=2.0: a * b)({x})
(lambda *v: v[-1] - v[0] * 1)({x}, {y}, {z})
functools.reduce(np.multiply, [{x}, {y}, 0.5])
functools.reduce(lambda a, b: a * 0.5 + b, {x})
functools.partial(np.clip, a_min=-0.5)({x}, a_max=0.5)
list(map(np.tanh, [{x}, {y}]))[-1]
np.concatenate([np.atleast_1d(v) for v in ({x}, {y})], axis=None)
np.vectorize(lambda v: v)(3) * {x}
math.sqrt(2.0) * {x} + math.pi
max(2, 3) * {x}
{x} if np.ndim({x}) > 1 else {x} * 2
isinstance({x} * np.ones(1), np.ndarray) * {y} + {y}
twice({x})
shifted({x}, {y})
shifted({x}, by={s})
powers({x}, 4)
walk({x}, 3)
halves({x})[1]
settings({x})["scaled"]
settings({x})["pair"][0] * {y}
filled({x})
scaled_by({s})({x})
Layer({s}, 0.5)({x})
nested({x})
smooth_max({x})
normalised({x})
recursive({x}, 3)
gelu({x})
piecewise({x})
polynomial({x}, 1.0, -0.5, 0.25)
rolled({x})
attention({m})
"""

UNPACKED = """
np.split({x}, 2)
np.broadcast_arrays({x}, {y})
np.meshgrid({x}, {y})
np.divmod({x}, 2)
np.modf({x} * 1.0)
({y}, {x})
({x} * 1, {x} + {y})
halves({x})
np.array_split({x}, 2, axis=-1)
np.vsplit({x}, 2)
{x}[:2]
{x}.T[-2:]
"""

HELPERS = {
    "twice": """
def twice(x):
    return 2 * x""",
    "shifted": """
def shifted(x, by=1.0):
    y = x - by * 1
    return y * y""",
    "powers": """
def powers(x, count):
    total = 0.0
    for k in range(count):
        total = total + np.tanh(x) ** k / (k + 1)
    return total""",
    "walk": """
def walk(x, steps):
    state = np.sin(x)
    for _ in range(steps):
        state = state + 0.1 * np.cos(state) * x
    return state""",
    "halves": """
def halves(x):
    return x * 0.5, x - 0.5""",
    "settings": """
def settings(x):
    return {"scaled": x * 3, "pair": (x + 1, [x])}""",
    "filled": """
def filled(x):
    out = np.zeros_like(x)
    out[...] = x
    out *= 2
    return out + x""",
    "scaled_by": """
def scaled_by(factor):
    def inner(x):
        return x * factor
    return inner""",
    "Layer": """
class Layer:
    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def __call__(self, x):
        return np.tanh(self.weight * x + self.bias)""",
    "nested": """
def nested(x):
    y = np.cos(x)
    def inner(z):
        return z * y + x
    return inner(inner(y))""",
    "smooth_max": """
def smooth_max(x):
    top = np.max(x, axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=-1, keepdims=True)) + top""",
    "normalised": """
def normalised(x, eps=1e-2):
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)""",
    "recursive": """
def recursive(x, depth):
    return x if depth == 0 else 0.5 * recursive(np.sin(x), depth - 1) + x""",
    "gelu": """
def gelu(x):
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))""",
    "piecewise": """
def piecewise(x):
    return np.where(x < 0, 0.1 * x, np.where(x < 1, x * x, 2 * x - 1))""",
    "polynomial": """
def polynomial(x, *coefficients):
    value = np.zeros_like(x * 1.0)
    for c in coefficients:
        value *= x
        value += c
    return value""",
    "rolled": """
def rolled(x, dt=0.1):
    u = x * 1.0
    for _ in range(2):
        u = u + dt * (np.roll(u, 1, -1) - 2 * u + np.roll(u, -1, -1))
    return u""",
    "attention": """
def attention(x):
    scores = x @ x.T / np.sqrt(x.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True)) @ x""",
}
"""Functions that programs call; those of ``WRAPPED`` take and give arrays alone, and may be put under a transform."""

WRAPPED = ("twice", "walk", "filled", "nested", "smooth_max", "normalised", "gelu", "piecewise", "rolled", "attention")


def _table(text):
    return tuple(line for line in text.strip().splitlines())


KINDS = {
    "map": (_table(MAPS), 4),
    "pair": (_table(PAIRS), 4),
    "reduction": (_table(REDUCTIONS), 3),
    "scan": (_table(SCANS), 1.5),
    "shape": (_table(SHAPES), 3),
    "indexing": (_table(INDEXING), 3),
    "contraction": (_table(CONTRACTIONS), 1.5),
    "complex": (_table(COMPLEX), 1),
    "new": (_table(NEW), 1.5),
    "view": (_table(VIEWS), 1.5),
    "loop": (_table(LOOPS), 2),
}
"""Expressions, each with how often it is drawn."""
STORED, MANY = (_table(STORES), 6), (_table(UNPACKED), 0.7)
