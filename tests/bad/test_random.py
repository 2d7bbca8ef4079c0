"""Bad programs about random numbers and printing: NumPy's numbers and state, or an error that names the line; never others."""

import linecache
import random
import warnings

import numpy as np
import pytest

import tracegrad as tg

PROGRAMS = """
rng.normal(x, size=2)
rng.normal(x, size=(2, 3))
rng.normal(x, size=(3, 2))
rng.normal(x, y)
rng.normal(x, np.ones((2, 1)))
rng.normal(0.0, -1.0)
rng.normal(x, -1.0)
rng.normal('a')
rng.normal(None)
rng.normal([x[0], 1.0])
rng.normal([1.0, 2.0], size=3)
rng.normal(1j)
rng.normal(size=-1)
rng.normal(size=2.5)
rng.normal(size=x)
rng.normal(size=x[0])
rng.normal(size=int(x[0]))
rng.normal(size=len(x))
rng.normal(size=x.shape)
rng.normal(size=n)
rng.normal(size=(n, 2))
rng.normal(size=rng.integers(3))
rng.normal(size=rng.poisson(3.0))
rng.normal(1.0, 2.0, 3, 4)
rng.normal(mean=1.0)
rng.normal(loc=x, scale=x)
rng.nomral()
rng.randn(3)
rng.rand(3)
rng.seed(0)
rng.random_sample(3)
rng()
rng[0]
rng + x
np.sin(rng)
float(rng.normal())
int(rng.integers(3))
bool(rng.integers(2))
x if rng.random() < 0.5 else -x
[0.0] * rng.integers(3)
x[rng.integers(3)]
x[rng.integers(7, size=2)]
x[rng.permutation(3)]
np.sum(x[rng.random(3) < 0.5])
np.where(rng.random(3) < 0.5, x, 0.0)
np.sum(x[rng.choice(3, 2, replace=False)])
rng.choice(x)
rng.choice(x, 2, replace=False)
rng.choice(x, 7, replace=False)
rng.choice(x, p=x / np.sum(x))
rng.choice(x, p=[0.5, 0.25, 0.25])
rng.choice(x, p=[0.5, 0.5])
rng.choice(x, p=[0.9, 0.9, 0.1])
rng.choice(0)
rng.choice([])
rng.choice(['a', 'b'])
rng.choice(x, axis=1)
rng.choice(n)
rng.integers(0)
rng.integers(3, 1)
rng.integers(x)
rng.integers(n)
rng.integers(0, n, size=4)
rng.integers(2.5)
rng.integers(3, dtype=float)
rng.integers(300, dtype=np.uint8)
rng.integers(3, size=2, endpoint=True)
rng.permutation(x, axis=1)
rng.permutation(n)
rng.permutation(2.5)
rng.permutation([3, 1, 2])
rng.permuted(x, axis=1)
rng.permuted([3, 1, 2])
rng.permuted(x, out=x)
rng.shuffle(x)
rng.shuffle([1, 2, 3])
rng.shuffle(3)
rng.shuffle(np.arange(3.0))
rng.uniform(x, x + 1)
rng.uniform(2.0, 1.0)
rng.uniform(0.0, np.inf)
rng.exponential(-1.0)
rng.exponential(x)
rng.standard_exponential(3, method='none')
rng.standard_exponential(method='inv')
rng.standard_normal(3, dtype=int)
rng.standard_normal(3, dtype=np.float16)
rng.standard_normal(3, out=x)
rng.standard_normal(out=np.empty(3))
rng.standard_normal(2, out=np.empty(3))
rng.standard_normal(out=np.empty(3, np.float32))
rng.random(dtype='f4', size=3)
rng.lognormal(x, -1.0)
rng.laplace(x, x)
rng.weibull(-1.0)
rng.weibull(0)
rng.weibull(x)
rng.pareto(0.0)
rng.power(-2.0)
rng.triangular(0.0, 2.0, 1.0)
rng.triangular(0.0, 0.5, 1.0, size=3)
rng.triangular(0.0, x, 3.0)
rng.vonmises(0.0, 4.0)
rng.wald(1.0, 2.0, size=3)
rng.zipf(2.0, size=3)
rng.geometric(0.5)
rng.geometric(2.0)
rng.binomial(5, 0.5, size=2)
rng.binomial(5, 1.5)
rng.binomial(-1, 0.5)
rng.poisson(-1.0)
rng.poisson(3.0)
rng.multinomial(5, [0.5, 0.5])
rng.multinomial(5, [0.9, 0.5])
rng.dirichlet([1.0, 2.0])
rng.dirichlet([-1.0, 2.0])
rng.hypergeometric(3, 4, 2)
rng.multivariate_normal(x, np.eye(3))
rng.multivariate_normal(x, np.eye(2))
rng.multivariate_normal(x, x)
rng.multivariate_normal(x[0], np.eye(3))
rng.multivariate_normal(x, np.eye(3), method='lu')
rng.multivariate_normal(x, -np.eye(3), method='cholesky')
rng.multivariate_normal(x, np.eye(3), size=(2, 2), method='cholesky')
rng.bytes(3)
rng.spawn(2)
rng.bit_generator
rng.bit_generator.state
copy.copy(rng)
copy.deepcopy(rng).normal()
pickle.dumps(rng)
np.random.normal(x)
np.random.default_rng(0).normal()
np.random.default_rng(rng).normal()
np.random.Generator(np.random.PCG64(0)).normal()
random.random()
OUTSIDE.normal(size=3)
OLD.normal(size=3)
isinstance(rng, np.random.Generator) and rng.random()
isinstance(rng, np.random.RandomState) or rng.random()
isinstance(rng, (random.Random, np.random.Generator)) and rng.random()
np.random.SeedSequence(3).spawn(2)
random.Random(0).random()
hasattr(rng, 'normal') and rng.random()
hasattr(rng, 'randn') or rng.random()
getattr(rng, 'normal')(x)
(lambda r: r.normal(x) + r.normal())(rng)
list(map(rng.normal, [1.0, 2.0]))
[rng.normal() for _ in range(3)]
sum(rng.normal(size=3) for _ in range(2))
{'a': rng}
rng
rng.normal
np.vectorize(rng.normal)(x)
np.array([rng.normal(), x[0]])
np.full(3, rng.normal())
np.linspace(0.0, rng.random(), 4)
np.arange(rng.integers(5))
tg.debug.print('{} {}', x)
tg.debug.print('{}', x, y)
tg.debug.print('{:.2f}', x)
tg.debug.print('{:.2f}', x[0])
tg.debug.print('{:d}', x[0])
tg.debug.print('{z}', y=x)
tg.debug.print('{', x)
tg.debug.print('{}}', x)
tg.debug.print('{0} {}', x, x)
tg.debug.print('{x.shape} {x[0]}', x=x)
tg.debug.print('{x.nothing}', x=x)
tg.debug.print('{x[7]}', x=x)
tg.debug.print(x)
tg.debug.print()
tg.debug.print('{!r:>30}', x[0])
tg.debug.print('{!z}', x)
tg.debug.print('{}', [x, {'a': y}])
print(f'{x:.2f}')
'%f' % x[0]
str(x) + 'a'
"""
PROGRAMS = [line for line in PROGRAMS.splitlines() if line]
SPACE = {
    "np": np,
    "tg": tg,
    "random": random,
    "copy": __import__("copy"),
    "pickle": __import__("pickle"),
    "OUTSIDE": np.random.default_rng(0),
    "OLD": np.random.RandomState(0),
}
INTERNAL = ("tracegrad/", "Sym", "numba", "TracedGenerator", "_Recorder")


def run(line, call):
    """Result, error and the state of the generator after a program."""
    file = f"<random {line}>"
    text = f"def program(x, y, n, rng):\n    return {line}\n"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = dict(SPACE)
    exec(compile(text, file, "exec"), space)
    rng = np.random.default_rng(5)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found, error = call(space["program"])(np.array([0.5, 1.5, 2.5]), np.array([1.0, 2.0]), 3, rng), None
        except Exception as raised:  # noqa: BLE001 - it is what is looked at
            found, error = None, raised
    return found, error, rng.bit_generator.state


def same(left, right):
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if left is None or right is None:
        return left is right
    return np.shape(left) == np.shape(right) and np.allclose(np.asarray(left), np.asarray(right), rtol=1e-13, atol=0)


@pytest.mark.parametrize("line", PROGRAMS)
def test_a_program_is_right_or_refused(line, capsys):
    expected, wrong, state = run(line, lambda f: f)
    printed = capsys.readouterr().out
    found, error, left = run(line, lambda f: tg.jit(f, compile="never"))
    if error is None:
        assert wrong is None, f"NumPy raises {wrong!r}"
        assert same(found, expected)
        assert left == state
        assert capsys.readouterr().out == printed
        return
    assert not any(word in str(error) for word in INTERNAL), str(error)
    if isinstance(error, tg.TracegradError):
        assert error.where is not None
        assert error.where.file == f"<random {line}>"
        assert error.fix
    else:
        assert wrong is not None, f"NumPy does it, and this is {error!r}"
        assert isinstance(error, type(wrong)), f"{error!r} in place of {wrong!r}"
    if wrong is None:
        assert left == np.random.default_rng(5).bit_generator.state, "a program that was refused has drawn"
