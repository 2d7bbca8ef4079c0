"""Bad calls of transforms: each raises an error of ours with the line of the call, what is wrong, and what to write."""

import functools
import traceback
from pathlib import Path

import numpy as np
import pytest

import tracegrad as tg

PACKAGE = str(Path(tg.__file__).parent)

CALLS = """
tg.grad(f, argnums=3)(X)
tg.grad(f, argnums=1.5)
tg.grad(f, argnums=[])
tg.grad(f, argnums='x')
tg.grad(f, argnames=('x','q'))
tg.grad(f, argnames=3)
tg.grad(f, argnums=-2)(X)
tg.grad(f)()
tg.grad(f)(X, X)
tg.grad(f)(y=X)
tg.grad(v)(X)
tg.grad(nothing)(X)
tg.grad(lambda x: None)(X)
tg.grad(lambda x: (x[0], x[1]))(X)
tg.grad(lambda x: {'a': x[0]})(X)
tg.grad(lambda x: 'text')(X)
tg.grad(lambda x: np.argmax(x))(X)
tg.grad(lambda x: x[0] > 1)(X)
tg.grad(f)(I)
tg.grad(f)([1, 2])
tg.grad(f)('abc')
tg.grad(f)({'a': 'b'})
tg.grad(f)(np.array(['a']))
tg.grad(f)(np.array([1, 'x'], object))
tg.grad(f)(True)
tg.grad(f)(X.astype(np.float16))
tg.grad(None)
tg.grad('f')
tg.grad(gen)(X)
tg.grad(co)(X)
tg.vmap(gen)(X)
tg.jit(gen)(X)
tg.jit(co)(X)
tg.grad_compile(gen)
tg.grad(C)(X)
tg.grad(lambda *a: np.sum(a[0]), argnums=2)(X)
tg.grad(functools.partial(two, y=X), argnums=1)(X)
tg.grad(functools.partial(two, y=X), argnames='z')(X)
tg.grad(C().m, argnums=1)(X)
tg.grad(f, has_aux=True)(X)
tg.grad(lambda x: (f(x), 1, 2), has_aux=True)(X)
tg.grad(lambda x: (f(x), 'text'), has_aux=True)(X)
tg.value_and_grad(v)(X)
tg.elementwise_grad(lambda x: None)(X)
tg.elementwise_grad(lambda x: np.argmax(x))(X)
tg.jacfwd(v)(I)
tg.jacfwd(lambda x: np.argsort(x))(X)
tg.jacrev(lambda x: 'a')(X)
tg.jacrev(lambda x: None)(X)
tg.jacobian(v, argnums=4)(X)
tg.hessian(lambda x: None)(X)
tg.hvp(f, X, X)
tg.hvp(f, (X,), (X, X))
tg.hvp(f, (X,), (np.ones(2),))
tg.hvp(v, (X,), (X,))
tg.hvp(f, (), ())
tg.jvp(f, (X,), X)
tg.jvp(f, X, X)
tg.jvp(f, (X,), (np.ones(2),))
tg.jvp(f, (X,), (np.ones(3, np.float32),))
tg.jvp(f, (X,), (None,))
tg.jvp(f, (X,), ('a',))
tg.jvp(f, (X,), ())
tg.jvp(f, (I,), (X,))
tg.jvp(f, (I,), (I,))
tg.jvp(two, (X,), (X,))
tg.vjp(f)
tg.vjp(f, I)
tg.vjp(v, X)[1](1.0)
tg.vjp(v, X)[1](None)
tg.vjp(v, X)[1]('a')
tg.vjp(v, X)[1](np.ones(4))
tg.vjp(v, X)[1](X, X)
tg.vjp(v, X)[1]()
tg.vjp(two, X)
tg.vjp(f, X, has_aux=True)
tg.linearize(v, X)[1]()
tg.linearize(v, X)[1](X, X)
tg.linearize(v, X)[1](np.ones(2))
tg.linearize(v)
tg.vmap(f, in_axes=2)(M)
tg.vmap(f, in_axes=-3)(M)
tg.vmap(f, in_axes='0')
tg.vmap(f, in_axes=1.5)
tg.vmap(f, in_axes=(0, 0))(M)
tg.vmap(two, in_axes=(0, 1))(M, M)
tg.vmap(two, in_axes=(None, None))(M, M)
tg.vmap(two, in_axes=({'a': 0}, 0))(M, M)
tg.vmap(two)(M, X)
tg.vmap(two)(M, np.float64(2.0))
tg.vmap(two)(M, 'a')
tg.vmap(two)(M, None)
tg.vmap(v, out_axes=5)(M)
tg.vmap(v, out_axes='a')
tg.vmap(v, out_axes=None)(M)
tg.vmap(v, out_axes=(0, 0))(M)
tg.vmap(lambda x: 'a')(M)
tg.vmap(f, axis_size=5)(M)
tg.vmap(f, axis_size='a')(M)
tg.vmap(f, axis_size=-1)(M)
tg.vmap(f, in_axes=None, axis_size=-1)(M)
tg.vmap(f)()
tg.vmap(lambda x: x if x[0] > 0 else -x)(M)
tg.checkpoint(3)
tg.checkpoint(f)(X, X, X)
tg.grad(tg.checkpoint(gen))(X)
tg.grad(lambda x: np.sum(tg.custom_vjp(v)(x)))(X)
tg.custom_vjp(v).defvjp(3, 4)
tg.custom_vjp(3)
tg.custom_vjp(v, nondiff_argnums='a')
tg.sparse_jacobian(v, argnums=(0, 1))
tg.sparse_jacobian(v)(I)
tg.sparse_jacobian(lambda x: np.argsort(x))(X)
tg.sparse_hessian(v)(X)
tg.sparse_jacobian(v)()
tg.jacobian_operator(v, I)
tg.hessian_operator(v, X)
tg.ravel({'a': 'x'})
tg.ravel(X)[1](M)
tg.jit(f, static_argnames='q')
tg.jit(lambda x, n: x ** n, static_argnames='n')(X, [1])
tg.jit(f)(X, X)
tg.jit(f)()
tg.jit(3)
tg.grad_compile(f, argnums='x')
tg.grad_compile(f, argnames='q')
tg.grad_compile(two, argnames='y').grad(X)
tg.grad_compile(f, memory_budget='a')
tg.grad_compile(f, compile='later')
tg.grad_compile(f, threads=0)
tg.grad_compile(f, static_argnames='x').grad(2.0)
tg.grad_compile(v).grad(X)
tg.grad_compile(nothing).grad(X)
tg.grad_compile(f).grad(I)
tg.jit(lambda x: tg.grad(v)(x))(X)
tg.jit(lambda x: tg.vmap(v, in_axes=3)(x))(X)
tg.jit(lambda x: tg.jvp(v, (x,), (np.ones(2),)))(X)
tg.jit(lambda x: tg.sparse_jacobian(v)(x))(X)
tg.grad(lambda x: tg.grad(v)(x).sum())(X)
tg.grad(lambda x: np.sum(tg.custom_jvp(v, nondiff_argnums=(5,))(x)))(X)
tg.grad_compile(gen)
tg.value_and_grad(f, argnames='q')
tg.hessian(f, argnames=['y'])
tg.jacfwd(lambda x, y: x * y, argnums=1)(X)
""".strip().splitlines()

PYTHONS = """
tg.grad(f)(None)
tg.grad(f)([X, None])
tg.grad(lambda *a: np.sum(a[5]))(X)
tg.jvp(f, ({'a': X},), (X,))
""".strip().splitlines()


def f(x):
    return np.sum(x**2)


def v(x):
    return x**2


def two(x, y):
    return np.sum(x * y)


def gen(x):
    yield x


async def co(x):
    return x


def nothing(x):
    x**2


class C:
    def m(self, x):
        return np.sum(x**2)


SPACE = {
    "np": np,
    "tg": tg,
    "functools": functools,
    "X": np.array([0.5, 1.5, 2.0]),
    "M": np.ones((2, 3)),
    "I": np.arange(3),
    **{function.__name__: function for function in (f, v, two, gen, co, nothing, C)},
}


@pytest.mark.parametrize("call", CALLS)
def test_the_error_names_the_line_and_what_to_write(call, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(f"def program():\n    return {call}\n")
    space = dict(SPACE)
    exec(compile(file.read_text(), str(file), "exec"), space)
    with pytest.raises(tg.TracegradError) as caught:
        space["program"]()
    error = caught.value
    text = str(error)
    assert error.where is not None, text
    assert error.where.file in (str(file), __file__), text
    assert "Instead: " in text
    assert not any(word in text for word in ("numba", "llvm", PACKAGE)), text
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None, traceback.format_exception(error)


@pytest.mark.parametrize("call", PYTHONS)
def test_what_python_says_of_the_users_line_stays(call):
    with pytest.raises((TypeError, IndexError)) as caught:
        eval(call, dict(SPACE))
    assert not traceback.extract_tb(caught.value.__traceback__)[-1].filename.startswith(PACKAGE)
