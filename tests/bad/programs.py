"""Bad programs, by families: lines of NumPy that are wrong, or that a static graph has no place for.

A program is the body of a function of the arguments its names stand for (those of ``tests/surface/calls.py``); its line
with ``#!`` is the bad one, a body of one line is an expression.
"""

import re
from dataclasses import dataclass, field

from tests.surface.calls import read


@dataclass(frozen=True)
class Program:
    family: str
    text: str
    names: tuple[str, ...] = field(default=())
    """What the error's text has to name, besides the line."""

    @property
    def lines(self):
        return self.text.splitlines() if "#!" in self.text else [f"return {self.text}  #!"]

    @property
    def bad_line(self):
        """The number of the bad line in the program's file, whose first line is the ``def``."""
        return next(k for k, line in enumerate(self.lines, 2) if "#!" in line)


def _last(name):
    return name.rsplit(".", 1)[-1]


ALONG = """
sum prod mean std var max min ptp all any argmax argmin cumsum cumprod median average nansum nanmean nanmax nanstd
count_nonzero sort argsort diff trapezoid flip squeeze expand_dims stack concatenate take repeat
"""
EXTRA = {"stack": "[x, y]", "concatenate": "[x, y]"}
MORE = {"take": "np.array([0, 1]), ", "repeat": "2, "}


def axes():
    for name in ALONG.split():
        for axis in ("5", "-7", "'rows'", "1.5"):
            yield Program("axis", f"np.{name}({EXTRA.get(name, 'x')}, {MORE.get(name, '')}axis={axis})", (name, "axis"))
    for name in ["sum", "prod", "mean", "max", "var", "any"]:
        yield Program("axis", f"np.{name}(x, axis=(0, 0))", (name, "axis"))
        yield Program("axis", f"np.{name}(x, axis=(0, 3))", (name, "axis"))
    for call in ("np.moveaxis(x, 0, 4)", "np.swapaxes(x, 0, 9)", "np.rollaxis(x, 5)", "np.transpose(x, (0, 2))", "x.T.sum(3)"):
        yield Program("axis", call, ("axis",))
    for call in ("np.transpose(x, (0, 0))", "np.rot90(v)", "np.fliplr(v)", "np.trace(v)", "np.diagonal(v)", "np.triu(z)"):
        yield Program("axis", call, (re.match(r"np\.(\w+)", call)[1],))
    for call in ("np.linalg.norm(x, axis=4)", "np.roll(x, 1, axis=3)", "np.split(x, 2, axis=4)", "np.delete(x, 0, axis=3)"):
        yield Program("axis", call, ("axis",))
    for call in ("np.insert(x, 0, 1.0, axis=3)", "np.append(x, y, axis=5)", "np.quantile(x, 0.5, axis=3)", "np.cross(v, w)"):
        yield Program("axis", call, (re.match(r"np\.(\w+)", call)[1],))


SHAPES = """
np.add(x, v)
x + v
x - s
x * np.ones(7)
np.power(v, s)
np.maximum(x, v)
np.where(x > 0, v, x)
np.arctan2(v, x)
x @ y
v @ x
np.matmul(x, y)
np.matmul(z, v)
z @ z
np.dot(x, y)
np.dot(v, x)
np.inner(x, v)
np.vdot(v, x)
np.tensordot(x, y, axes=1)
np.tensordot(x, y, axes=([0], [1]))
np.einsum('ij,jk->ik', x, y)
np.einsum('ij->ijk', x)
np.einsum('ijk->i', x)
np.einsum('ij,ij', x)
np.einsum('i j, k!', x, y)
np.einsum(x, y)
np.reshape(x, (5, 5))
x.reshape(7)
x.reshape(-1, -1)
np.reshape(x, (-1, 5))
np.resize(x, (-2, 3))
np.broadcast_to(x, (3, 5))
np.broadcast_to(x, (4,))
np.concatenate([x, v])
np.concatenate([x, s], axis=1, )[:, np.newaxis] @ x
np.concatenate([x, b.T])
np.concatenate([z, z])
np.concatenate([])
np.stack([x, v])
np.stack([])
np.vstack([x, s])
np.hstack([x, a.T[:2]])
np.column_stack([x, v])
np.dstack([x, b])
np.block([[x, v], [x]])
np.split(x, 5)
np.split(v, 2)
np.hsplit(x, 3)
np.vsplit(v, 2)
np.dsplit(x, 2)
np.squeeze(x, axis=0)
np.take(x, np.array([9]), axis=0)
np.take_along_axis(x, np.array([[9, 0]]), axis=1)
np.take_along_axis(x, n, axis=0)
np.put_along_axis(x.copy(), n, 1.0, axis=0)
np.choose(n, [v, x])
np.select([x > 0], [v])
np.select([x > 0, x < 0], [x])
np.compress([True, False, True, True, True, True], x, axis=0)
np.interp(v, u, b)
np.interp(v, u, w[:3])
np.convolve(x, v)
np.correlate(x, v)
np.convolve(v, w, mode='sane')
np.kron(x, y) + x
np.outer(x, y) + x
np.cross(x, y)
np.diag(t)
np.tril(z)
np.vander(x)
np.polyval(x, v) + x
np.trapezoid(x, v)
np.gradient(x, v)
np.gradient(z)
np.meshgrid(x, v) + x
np.pad(x, ((1, 1), (1, 1), (1, 1)))
np.pad(x, -1)
np.pad(x, 1, mode='sideways')
np.tile(x, -1)
np.repeat(x, -2)
np.repeat(x, [1, 2], axis=0)
np.average(x, weights=v)
np.average(x, axis=0, weights=v)
np.cov(t)
np.quantile(x, 1.5)
np.percentile(x, 150)
np.median(x, axis=(0, 5))
np.partition(v, 9)
np.searchsorted(x, v)
np.digitize(x, y)
np.clip(x)
np.unwrap(z)
np.linalg.inv(x)
np.linalg.inv(v)
np.linalg.det(x)
np.linalg.slogdet(x)
np.linalg.solve(x, v)
np.linalg.solve(s, v)
np.linalg.solve(v, v)
np.linalg.cholesky(x)
np.linalg.cholesky(v)
np.linalg.eigh(x)[0]
np.linalg.eigvalsh(v)
np.linalg.svd(v)[1]
np.linalg.qr(v)[0]
np.linalg.qr(x, mode='best')[0]
np.linalg.pinv(v)
np.linalg.lstsq(s, v)[0]
np.linalg.matrix_power(x, 2)
np.linalg.matrix_power(s, 1.5)
np.linalg.multi_dot([x, y])
np.linalg.multi_dot([x])
np.linalg.norm(x, ord='spectral')
np.linalg.norm(x, ord=3)
np.linalg.norm(t, ord=2)
np.linalg.norm(x, ord=2, axis=(0, 1, 2))
np.linalg.cond(v)
np.linalg.tensorsolve(x, v)
np.linalg.tensorinv(x)
np.linalg.vecdot(v, x)
scipy.linalg.solve_triangular(x, v)
scipy.linalg.solve_triangular(s, v)
scipy.linalg.cho_solve((s, True), v)
scipy.linalg.cho_factor(x)[0]
scipy.linalg.expm(x)
scipy.linalg.expm(v)
scipy.linalg.cholesky(x)
scipy.linalg.solve(s, v)
scipy.linalg.inv(x)
scipy.special.logsumexp(x, axis=3)
scipy.special.softmax(x, axis=4)
scipy.special.xlogy(x, v)
scipy.stats.norm.logpdf(x, v)
scipy.stats.multivariate_normal.logpdf(v, np.zeros(3), s)
x[5]
x[0, 9]
x[0, 0, 0]
x[n]
x[:, np.array([7])]
x[np.array([True, False])]
x[1.5]
x['rows']
x[None, 0, 0, 0]
x[..., ...]
x[0][0][0]
z[0]
z[:]
x[::0]
x[[0, 9]]
x[np.array([0.5, 1.0])]
x[[[0], [1, 2]]]
np.array([x, v])
np.array([[1.0, z], [z]])
np.array([x[0], x[0, :2]])
np.array([v, [z, z]])
np.asarray([[z], z])
np.full((2, 2), v)
np.zeros(x)
np.ones((-1, 2)) * z
np.arange(z, z + 3) + x
np.linspace(0, 1, v)
np.eye(x)
np.zeros((2, z))
"""

KINDS = """
scipy.stats.gamma.pdf(..., z + 0.5)
scipy.stats.halfcauchy.logpdf(w, loc=z / 4 - 0.1, scale=b'')
scipy.stats.lognorm.logsf((lambda k: k), w + 0.3, loc=z / 4 - 0.1, scale=1.2)
scipy.stats.uniform.sf(np.array(['a']), loc=z / 4 - 0.1, scale=1.2)
scipy.stats.exponnorm.logpdf(1j, w + 0.5)
scipy.stats.betabinom.logpmf({}, 4, z + 1, 2.0)
scipy.stats.kurtosis(x, axis=2.5)
scipy.stats.moment(x, np.zeros((0,)))
scipy.special.bdtri(slice(1), np.int64(5), p)
scipy.special.betaln(object(), q)
scipy.special.diric(v, n)
scipy.special.j1(x, where=None)
scipy.linalg.toeplitz(x.T)
np.exp(c, where=None)
np.prod(t, axis=(0, -1), keepdims=True, where=None)
np.subtract(x, y, where=None)
np.array_split(v, 10**30)
np.logspace(z, z, {'a': x})
np.full_like(x, x.shape)
np.meshgrid(range(3), w)
np.meshgrid(np.nan, w)
x + None
None * x
x + 'a'
'a' * x
x @ 'a'
x + {}
x - [1.0, None, 2.0, 3.0]
x + object()
x ** 'two'
x // None
x % 'a'
x < 'a'
x & y
~x
x | 1
x << 2
x @ None
x + len
-None + x
divmod(x, None)
np.sin(None) + x
np.add(x, None)
np.add(x, 'a')
np.exp('x') + x
np.maximum(x, None)
np.where(x > 0, x, None)
np.where(x > 0, x, 'a')
np.where('a', x, y)
np.sum(x, dtype='words')
np.sum(x, dtype=str)
np.mean(x, dtype=object)
x.astype('words')
x.astype(str)
x.astype(object)
x.astype(np.float16)
x.astype(np.complex256)
np.reshape(x, 'flat')
np.reshape(x, (2.0, 6.0))
np.reshape(x, None) + None
np.concatenate([x, None])
np.concatenate([x, 'a'])
np.concatenate(x, y)
np.stack([x, 'a'])
np.stack(z)
np.concatenate(z)
np.array([x, 'a'])
np.array([x, None])
np.array([z, {}])
np.array({'a': z})
np.array([x], dtype=str)
np.take(x, 'a')
np.take(x, 0.5)
np.take(x, y)
np.repeat(x, 1.5)
np.repeat(x, 'a')
np.roll(x, 0.5)
np.roll(x, None)
np.tile(x, 'a')
np.tile(x, (2, 10**30, 3))
np.convolve(v, np.array(['2020-01-01'], 'datetime64[D]'))
np.unique(v)[[]:]
scipy.special.multigammaln(v, set())
scipy.special.multigammaln(v, 0)
scipy.stats.wishart.logpdf(s, slice(3), s)
scipy.linalg.solve_continuous_lyapunov(99, s)
np.pad(x, 'a')
np.split(x, 'a')
np.clip(x, 'a', 'b')
np.clip(x, {}, 1)
np.einsum(None, x)
np.einsum('ij', None) + x
np.tensordot(x, y, axes='a')
np.linalg.inv(None) + x
np.linalg.solve(s, None)
np.linalg.norm(x, ord=object())
np.linalg.cholesky([[z, None], [None, z]])
np.power(x, None)
np.dot(x, 'a')
np.dot(None, x)
np.matmul(x, [None])
np.outer(x, 'a')
np.interp(v, u, None)
np.interp('a', u, w)
np.quantile(x, 'half')
np.sort(x, kind='magic')
np.sort(x, order='a')
np.std(x, ddof='one')
np.var(x, correction='a')
np.round(x, 'a')
np.round(x, 1.5)
np.round(x, decimals=x)
np.linspace('a', z, 3)
np.full(3, 'a') + x
np.zeros(3, dtype='words') + x
np.zeros('a') + x
np.diag(x, 'a')
np.diff(x, n='a')
np.diff(x, n=-1)
np.trace(x, 'a')
np.tril(x, 'a')
np.cumsum(x, dtype=str)
np.logaddexp(x, 'a')
np.hypot(x, {})
np.searchsorted(u, None)
np.select('a', x)
np.piecewise(x, [x > 0], ['a'])
np.bitwise_and(x, y)
np.bitwise_xor(x, 1)
np.left_shift(x, 1)
np.gcd(x, y)
np.lcm(x, 2)
np.invert(x)
np.isnat(x)
scipy.special.erf(None) + x
scipy.special.erf('a') + x
scipy.special.gammaln(x, 'a')
scipy.special.logsumexp(x, axis='a')
scipy.stats.norm.logpdf(x, 'a')
scipy.stats.norm.logpdf(None) + x
scipy.linalg.solve_triangular(s, 'a')
math.sin(x)
math.exp(v)
math.sqrt([z])
math.pow(z, 'a')
math.atan2(z, None)
math.floor(x)
math.log(z, 'a')
math.hypot(x, y)
math.gamma(z)
math.factorial(z)
math.gcd(z, 2)
math.comb(z, 2)
math.isclose(z, 1.0)
math.fmod(z, 2.0)
math.frexp(z)
math.modf(z)
math.dist(v, w)
math.remainder(z, 2.0)
math.ulp(z)
"""

ESCAPES = """
float(x)
float(z)
int(z)
complex(z)
bool(z)
bool(x)
x.item()
x.item(0)
z.item()
f'{z:.2f}'
format(z, '.3e')
'%f' % z
'%d items' % z
'{:8.3f}'.format(z)
round(z, 1)
round(x)
x.tobytes()
bytes(x)
x.data
x.tofile(os.devnull)
x.dump(os.devnull)
x.dumps()
x.ctypes
x.setflags(write=True)
x.flags
x.strides
x.base
x.view(np.int64)
x.byteswap()
x.getfield(np.float32)
x.newbyteorder()
x.sort_values()
x.to_numpy()
x.numpy()
x.foo
x.grad
x.backward()
x.append(1.0)
x.fill(x)
x.resize(3)
x.partition(2)
x.itemset(0, 1.0)
np.asarray(x).tobytes()
np.frombuffer(x)
np.save(io.BytesIO(), x)
np.array2string(x)
np.array_str(x)
np.array_repr(x)
np.vectorize(math.sin)(x)
np.frompyfunc(math.sin, 1, 1)(x)
np.apply_along_axis(np.sort, 0, x)
np.fromiter((i for i in x), float)
np.iterable(x) and np.fromiter(v, dtype=float)
np.nditer(x)
np.ndenumerate(x)
np.random.normal(x)
np.random.default_rng(0).normal(x)
np.random.rand() * x
random.random() * x
random.gauss(0, 1) * x
random.shuffle(x)
random.choice(v)
pickle.dumps(x)
json.dumps(x)
json.dumps(z)
json.dumps({'a': z})
struct.pack('d', z)
decimal.Decimal(z)
fractions.Fraction(z)
statistics.mean(v)
statistics.fmean(v)
time.sleep(z)
range(z)
list(range(z))
[0.0] * z
'a' * z
slice(z)[0]
x if z > 0 else y
x if z else y
not z
not x
z > 0 and x
x or y
max(v)
min(v)
max(z, 0.0)
min(z, 1.0)
sorted(v)
any(v > 0)
all(v > 0)
1.0 in v
z in [1.0, 2.0]
[1.0, 2.0].index(z)
v == [] or v
assert_positive(z)
{z: 1.0}[0.4]
[i for i in v if i > 0]
list(filter(None, v))
next(i for i in v if i > 0)
len(z)
list(z)
sum(z)
[i for i in z]
iter(z)
dict(z)
set(v) and None
isinstance(x, 3)
getattr(x, 'nothing')
x()
z(1)
x.shape()
del_it(x)
x.T.T()
x.dtype.nothing
"""

DATA = """
x[x > 0]
v[v > v.mean()]
x[:, x[0] > 0]
np.nonzero(x)
np.where(x > 0)
np.argwhere(x > 0)
np.flatnonzero(v)
np.unique(v)
np.unique(x, return_counts=True)
np.extract(x > 0, x)
np.compress(v > 0, v)
np.delete(v, v > 0)
np.repeat(v, n)
np.bincount(n)
np.histogram(v)
np.histogram(v, bins=3)[0]
np.trim_zeros(v)
np.union1d(v, w)
np.intersect1d(v, w)
np.setdiff1d(v, w)
np.setxor1d(v, w)
np.ediff1d(v, to_end=None)[v > 0]
np.arange(0.0, z, 0.1)
np.linspace(0, 1, int(z))
x[:int(z)]
x[:z]
x[z:]
v[z]
np.zeros(int(z))
np.split(v, z)
np.reshape(v, (z, 1))
np.fromfunction(lambda i: i * z, (z,))
np.tile(v, z)
np.roll(v, z)
np.array_split(v, z)
np.expand_dims(x, z)
np.sum(x, axis=z)
np.moveaxis(x, z, 0)
np.eye(z)
np.tri(z)
np.lexsort((v, w))
np.packbits(v > 0)
np.diag(v, z)
np.linalg.matrix_power(s, z)
np.round(x, z)
"""

RESULTS = """
'done'
None
{1, 2}
object()
(i for i in v)
lambda: x
x.sum
np
np.float64
print
{'a': x, 'b': 'text'}
[x, [None, 'a']]
{1.5: x, 'a': x}
(x, {x.shape})
range(3)
b'bytes'
Exception('a')
x.dtype
slice(1, 2)
type(x)
"""

CALLS = """
np.sin()
np.sin(x, y, x, y, x)
np.add(x)
np.sum()
np.where()
np.where(x > 0, x)
np.reshape(x)
np.concatenate()
np.dot(x)
np.clip()
np.matmul(x)
np.linalg.solve(s)
np.linalg.inv()
np.einsum()
np.interp(v)
np.take(x)
np.stack()
np.outer(x)
np.tensordot(x)
np.linspace(z)
np.full(3)
np.diff()
np.power(x)
np.maximum(x)
np.zeros()
np.repeat(x)
np.roll(x)
np.tile(x)
np.split(x)
np.kron(x)
scipy.special.erf()
scipy.special.beta(x)
scipy.special.logsumexp()
scipy.linalg.solve(s)
scipy.stats.norm.logpdf()
x.reshape()
x.dot()
x.sum(0, None, None, False, 1, 2, 3)
x.astype()
x.take()
x.clip(1, 2, 3, 4, 5)
x.transpose(0, 1, 2)
x.swapaxes(0)
x.mean(axes=0)
x.sum(axes=0)
x.reshape(12, shapes=3)
x.max(keep_dims=True)
x.argmax(axes=1)
x.cumsum(axes=1)
x.std(dof=1)
x.round(digits=2)
x.repeat(2, axes=0)
x.astype(float, how='fast')
x.flatten(axis=0)
x.copy(deep=True)
x.transpose(axis=(1, 0))
"""

NAMES = """
np.summ(x)
np.sinn(x)
np.linalg.inverse(s)
np.tanhh(x)
np.relu(x)
np.sigmoid(x)
np.softmax(x)
np.logsumexp(x)
np.erf(x)
np.expit(x)
np.Matmul(x, y)
np.cat([x, y])
np.randn(3) * x
np.trapz_(x)
np.float(z)
np.int(z)
np.product(x)
np.cumproduct(x)
np.sometrue(x)
np.alltrue(x)
np.in1d(v, w)
np.row_stack([x, y])
np.msort(x)
scipy.special.sigmoid(x)
scipy.special.gammalnn(x)
scipy.linalg.inverse(s)
scipy.stats.normal.logpdf(x)
scipy.stats.norm.log_pdf(x)
math.sine(z)
math.tanhh(z)
missing(x)
x.T.summ()
"""

RUNTIME = """
np.linalg.inv(s * 0.0)
np.linalg.inv(np.zeros((3, 3)) + 0 * z)
np.linalg.solve(s * 0.0, b)
np.linalg.solve(np.outer(v[:3], v[:3]), b)
np.linalg.cholesky(-s)
np.linalg.cholesky(np.outer(-v[:3], v[:3]))
scipy.linalg.cholesky(-s)
scipy.linalg.solve(s * 0.0, b)
scipy.linalg.inv(s * 0.0)
scipy.linalg.cho_factor(-s)[0]
scipy.linalg.solve_triangular(s * 0.0, b)
np.linalg.tensorinv(s[:2, :2, None, None] * 0.0)
np.linalg.matrix_power(s * 0.0, -1)
np.linalg.eigh(s * np.nan)[0]
np.linalg.svd(x * np.nan)[1]
np.linalg.det(s * np.nan) + s
np.linalg.inv(s * np.nan)
x[n + 9]
v[n + 3]
np.take(v, n + 5)
np.take_along_axis(v, n + 4, axis=0)
np.choose(n + 4, [n, n])
"""

BODIES = {
    "writes": """
x[0] = 1.0  #!\nreturn x
x += 1.0  #!\nreturn x
x *= y  #!\nreturn x
x[:, 0] = 0.0  #!\nreturn np.sum(x)
x[x > 0] = 0.0  #!\nreturn x
x[0] += v[:4]  #!\nreturn x
x.sort()  #!\nreturn x
x.fill(0.0)  #!\nreturn x
x.T[0] = 1.0  #!\nreturn x
x.reshape(-1)[0] = 1.0  #!\nreturn x
x.ravel()[0] = 1.0  #!\nreturn x
np.add(x, 1.0, out=x)  #!\nreturn x
np.exp(x, x)  #!\nreturn x
np.copyto(x, 0.0)  #!\nreturn x
np.fill_diagonal(x, 0.0)  #!\nreturn x
np.put(x, [0], 1.0)  #!\nreturn x
np.putmask(x, x > 0, 0.0)  #!\nreturn x
np.place(x, x > 0, [0.0])  #!\nreturn x
np.put_along_axis(x, np.array([[0]]), 1.0, axis=0)  #!\nreturn x
np.add.at(x, 0, 1.0)  #!\nreturn x
np.clip(x, 0, 1, out=x)  #!\nreturn x
for row in x:\n    row[0] = 0.0  #!\nreturn x
OUTSIDE[0] = z  #!\nreturn x
OUTSIDE += v  #!\nreturn x
OUTSIDE[:] = v  #!\nreturn x
np.sin(v, out=OUTSIDE)  #!\nreturn x
np.copyto(OUTSIDE, v)  #!\nreturn x
OUTSIDE.fill(z)  #!\nreturn x
y = np.broadcast_to(z, (3,))\ny[0] = 1.0  #!\nreturn y
y = np.zeros(3, dtype=int)\ny += z  #!\nreturn y
y = np.zeros(3)\ny += x  #!\nreturn y
y = np.zeros(3)\ny[:] = v  #!\nreturn y
y = np.zeros(3)\ny[5] = z  #!\nreturn y
y = np.zeros(3)\ny['a'] = z  #!\nreturn y
y = np.zeros(3)\ny[0] = 'a'  #!\nreturn y * z
y = np.zeros(3)\ny[0] = None  #!\nreturn y * z
y = np.zeros(3)\ny[0] = v  #!\nreturn y
y = np.zeros(3)\ny[0, 0] = z  #!\nreturn y
y = np.zeros((3, 4))\ny[x > 0] = v  #!\nreturn y
y = np.zeros((3, 4))\ny[x > 0] = x[x > 0]  #!\nreturn y
y = np.zeros(3)\nnp.add(v, 1.0, out=y)  #!\nreturn y
y = np.zeros(5, dtype=int)\nnp.add(v, 1.0, out=y)  #!\nreturn y
y = z\ny[0] = 1.0  #!\nreturn y
y = x[0, 0]\ny[()] = 1.0  #!\nreturn y
y = list(v)\ny[9] = z  #!\nreturn y
""",
    "statements": """
if z > 0:  #!\n    x = -x\nreturn x
while z < 3:  #!\n    z = z + 1\nreturn z
assert z > 0  #!\nreturn x
assert np.all(x > -9)  #!\nreturn x
for i in range(z):  #!\n    x = x + i\nreturn x
for i in z:  #!\n    x = x + i\nreturn x
a, b = v  #!\nreturn a
a, b, c = z  #!\nreturn a
(a, b), c = x[:2]  #!\nreturn a
match z:\n    case 0.4 if z > 0:  #!\n        return x\nreturn y
with x:  #!\n    return x
raise ValueError(z)  #!
raise ValueError('mine')  #!
del x[0]  #!\nreturn x
return x.y.z  #!\nreturn x
x.name = 'mine'  #!\nreturn x
x.shape = (12,)  #!\nreturn x
x.dtype = int  #!\nreturn x
x.T = y  #!\nreturn x
np.sin.name = 'mine'  #!\nreturn x
import_it = __import__('nowhere')  #!\nreturn x
y = [z]\ny.sort(key=float)  #!\nreturn y
y = np.empty(3, dtype=object)\ny[0] = x  #!\nreturn y
y = np.empty(3)\ny[0] = float(z)  #!\nreturn y
y = np.array([float(i) for i in v])  #!\nreturn y
y = np.array([0.0, 1.0])\ny[0] = int(z)  #!\nreturn y
return undefined + x  #!\nreturn x
return 1 / 0 * x  #!\nreturn x
return [][0] * x  #!\nreturn x
return {}['a'] * x  #!\nreturn x
return int('a') * x  #!\nreturn x
return (lambda q: q)() + x  #!\nreturn x
return (lambda q: float(q))(z) + x  #!\nreturn x
return sorted([z, 1.0, 0.0])[0] * x  #!\nreturn x
return sorted(v, key=lambda q: -q)  #!\nreturn x
return max([z, 1.0]) * x  #!\nreturn x
return functools.lru_cache(float)(z)  #!\nreturn x
return functools.reduce(lambda p, q: p if p > q else q, v)  #!\nreturn x
return list(map(float, v))  #!\nreturn x
return list(map(int, v))  #!\nreturn x
return [float(i) for i in v]  #!\nreturn x
return np.array(list(map(float, v)))  #!\nreturn x
return copy.copy(float)(z)  #!\nreturn x
return operator.index(z)  #!\nreturn x
return operator.setitem(x, 0, 1.0) or x  #!\nreturn x
return math.prod(['a', z])  #!\nreturn x
return sum([x, 'a'])  #!\nreturn x
return sum(['a'], z)  #!\nreturn x
return np.sum([x, v])  #!\nreturn x
return np.mean([[z], [z, z]])  #!\nreturn x
return np.max([z, [z]])  #!\nreturn x
""",
}


UNLISTED = """
np.nextafter np.polydiv np.histogram2d np.setxor1d np.gcd np.lcm np.packbits np.unpackbits np.histogramdd np.bitwise_count
np.sort_complex np.spacing np.roots np.busday_count np.trim_zeros np.shares_memory np.array2string np.is_busday np.busday_offset
np.isnat np.frexp np.mask_indices np.savetxt np.blackman np.kaiser np.hanning
"""
"""Names that no list of the surface holds."""


def unsupported():
    from pathlib import Path

    import tests.surface.calls as calls

    names = (Path(calls.__file__).with_name("not_yet.txt")).read_text("utf-8").split()
    for name in [*names, *UNLISTED.split()][:: max(1, len(names) // 60)]:
        yield Program("unsupported", f"{name}(v, w)", (_last(name),))


def keywords():
    for name in list(read())[::5]:
        if "[" in name or name.split(".")[-1] in {"at", "reduce", "accumulate", "outer"}:
            continue
        call = next(c for c in read()[name])
        if call.startswith(name + "(") and call.endswith(")"):
            inside = call[len(name) + 1 : -1]
            yield Program("keyword", f"{name}({inside}, bogus=1)", ("bogus",))


def programs():
    """All bad programs, in a fixed order, those with the same text once."""
    found = [*axes(), *unsupported(), *keywords()]
    for family, text in [
        ("shape", SHAPES),
        ("kind", KINDS),
        ("escape", ESCAPES),
        ("data", DATA),
        ("result", RESULTS),
        ("call", CALLS),
        ("name", NAMES),
        ("runtime", RUNTIME),
        *BODIES.items(),
    ]:
        texts = _bodies(text) if family in BODIES else text.strip().splitlines()
        found += [Program(family, one) for one in texts]
    return list({program.text: program for program in found}.values())


def _bodies(text):
    """Programs of several lines, written one after the other: each begins where nothing is indented after a return."""
    current = []
    for line in text.strip("\n").splitlines():
        if current or "#!" in line or not line.startswith("return"):  # what stands after a return has been passed
            current.append(line)
        if line.startswith(("return", "raise")) and any("#!" in one for one in current):
            yield "\n".join(current)
            current = []
