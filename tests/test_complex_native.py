"""Complex numbers in kernels: every formula of planes against NumPy, programs against the interpreter, and the boundary."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg

import tracegrad as tg
from tests.complex_programs import PROGRAMS, X, Z
from tracegrad.core.interpret import interpret
from tracegrad.errors import CompileError
from tracegrad.rewrite.planes import has_planes, into_planes
from tracegrad.runtime import pocketfft

MAPS = [
    "exp",
    "log",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "abs",
    "angle",
    "square",
    "expm1",
    "exp2",
    "log1p",
    "log2",
    "log10",
    "arcsin",
    "arccos",
    "arctan",
    "arcsinh",
    "arccosh",
    "arctanh",
    "conj",
    "isnan",
    "isinf",
    "isfinite",
]


def hard_values(dtype):
    """Finite numbers: on the axes, beside the branch cuts and zeros, near overflow and underflow, and ordinary ones."""
    info, draw = np.finfo(dtype), np.random.default_rng(5)
    ends = [info.max / 4, info.tiny, info.tiny / 8, np.sqrt(info.max), 1 + info.eps, 0.7071067811865476, 1e-8, 0.5, 2.0, 30.0]
    parts = np.array([0.0, -0.0, 1.0, -1.0, *ends, *(-end for end in ends)])
    grid = (parts[:, None] + 1j * parts).ravel()
    wide = np.exp(draw.uniform(-9, 9, 300)) * np.exp(1j * draw.uniform(-4, 4, 300))
    unit = np.exp(1j * draw.uniform(-4, 4, 100)) * (1 + 1e-9 * draw.normal(size=100))
    return np.concatenate([grid, wide, unit]).astype(np.result_type(dtype, np.complex64))


@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.nightly)])
def test_formulas_over_hard_values(dtype):
    z = hard_values(dtype)
    with np.errstate(all="ignore"):
        found = tg.jit(lambda z: tuple(getattr(np, name)(z) for name in MAPS))(z)
        wanted = [getattr(np, name)(z) for name in MAPS]
    for name, mine, want in zip(MAPS, found, wanted, strict=True):
        assert mine.dtype == want.dtype, name
        if mine.dtype.kind == "b":
            np.testing.assert_array_equal(mine, want, err_msg=name)
            continue
        fine = np.isfinite(want)
        if name == "log1p":  # NumPy's is the logarithm of 1 + z rounded
            fine &= np.abs(z) > 0.5
        np.testing.assert_array_equal(np.isfinite(mine)[fine], True, err_msg=name)
        with np.errstate(all="ignore"):
            gap = np.abs(mine[fine].astype(complex) - want[fine])
            allowed = 8 * np.finfo(dtype).eps * np.abs(want[fine]) + float(np.finfo(dtype).tiny)
        assert np.all(gap <= allowed), (name, z[fine][np.argmax(gap - allowed)])


@pytest.mark.parametrize("dtype", [pytest.param(np.complex64, marks=pytest.mark.nightly), np.complex128])
def test_quotients_and_powers_over_hard_values(dtype):
    z = hard_values(np.float64 if dtype == np.complex128 else np.float32)
    other = np.random.default_rng(2).permutation(z)

    def functions(z, w):
        return z * w, z / w, 1j / w, z**3, z**-2, z / 3.0, 2.0 / z

    with np.errstate(all="ignore"):
        for mine, want in zip(tg.jit(functions)(z, other), functions(z, other), strict=True):
            fine = np.isfinite(want)
            gap = np.abs(mine - want)[fine]
            assert mine.dtype == want.dtype == dtype
            assert np.all(gap <= 8 * np.finfo(dtype).eps * np.abs(want[fine]) + float(np.finfo(dtype).tiny))
    z, other = Z.astype(dtype), (np.conj(Z[::-1]) + 0.2).astype(dtype)
    powers = lambda z, w: (z**w, z**0.5, z**w.real, 2.0**z)
    for mine, want in zip(tg.jit(powers)(z, other), powers(z, other), strict=True):
        np.testing.assert_allclose(mine, want, rtol=40 * np.finfo(dtype).eps)


def test_quotients_of_infinities_and_nothing_have_their_nans_where_numpy_has_them():
    parts = [0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan]
    line = np.array([complex(x, y) for x in parts for y in parts])
    z, w = (grid.ravel() for grid in np.meshgrid(line, line))

    def functions(z, w):
        return z * w, z / w, z.real / w, 1 / w

    with np.errstate(all="ignore"):
        for mine, want in zip(tg.jit(functions)(z, w), functions(z, w), strict=True):
            for found, wanted in ((mine.real, want.real), (mine.imag, want.imag)):
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("function", "arguments"), PROGRAMS, ids=[function.__name__ for function, _ in PROGRAMS])
def test_the_graph_of_planes_means_the_same(function, arguments):
    argnums = tuple(range(len(arguments)))
    compiled = tg.grad_compile(function, argnums=argnums, compile="never")
    graph = compiled.graph(*arguments)
    assert has_planes(graph)
    planes = into_planes(graph)
    assert not has_planes(planes)
    pairs = [np.stack([a.real, a.imag], axis=-1) if np.iscomplexobj(a) else a for a in arguments]
    wanted = [compiled(*arguments), *compiled.grad(*arguments)]
    for mine, want in zip(interpret(planes, pairs), wanted, strict=True):
        found = mine[..., 0] + 1j * mine[..., 1] if np.iscomplexobj(want) else mine
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-12)


def test_programs_in_kernels():
    for function, arguments in PROGRAMS:
        if function.__name__ not in ("stores", "impedance", "split_step", "convolution"):
            continue
        argnums = tuple(range(len(arguments)))
        value, gradients = tg.grad_compile(function, argnums=argnums).value_and_grad(*arguments)
        want, wanted = tg.value_and_grad(function, argnums)(*arguments)
        np.testing.assert_allclose(value, want, rtol=1e-13)
        for mine, other in zip(gradients, wanted, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-11, atol=1e-13)


def test_the_boundary():
    twice = tg.jit(lambda z, s: {"z": z * s, "last": z[-1] * s, "size": np.abs(z)})
    for scale in (2j, 1 + 1j, np.complex128(3), 0.5j):
        for given in (Z, np.asfortranarray(Z), np.repeat(Z, 2)[::2], Z.astype(">c16"), Z[::-1]):
            found = twice(given, scale)
            np.testing.assert_array_equal(found["z"], given * scale)
            assert type(found["last"]) is np.complex128
            assert found["last"] == given[-1] * scale
            np.testing.assert_allclose(found["size"], np.abs(given), rtol=1e-15)
    assert twice.stats.traces == 4  # of Python's number and of NumPy's, in either byte order
    mine = {"z": np.empty(6, complex), "last": np.empty((), complex), "size": np.empty(6)}
    assert twice(Z, 2j, out=mine) is mine
    np.testing.assert_array_equal(mine["z"], Z * 2j)
    assert mine["last"] == Z[-1] * 2j


def test_sizes_share_one_kernel():
    f = tg.jit(lambda z: np.sum(z * np.conj(z)).real + np.exp(z))
    f(Z)
    f(np.concatenate([Z, Z]))
    assert f.stats.compiles + f.stats.cache_hits == 2
    assert f.stats.compiles <= 1
    np.testing.assert_allclose(f(Z[:1]), np.sum(Z[:1] * np.conj(Z[:1])).real + np.exp(Z[:1]), rtol=1e-14)
    assert f(Z[:0]).shape == (0,)


def test_matrices_are_embedded():
    draw = np.random.default_rng(3)
    a = draw.normal(size=(2, 4, 4)) + 1j * draw.normal(size=(2, 4, 4))
    b = draw.normal(size=(2, 4, 3)) + 1j * draw.normal(size=(2, 4, 3))
    solved, inverse, product = tg.jit(lambda a, b: (np.linalg.solve(a, b), np.linalg.inv(a), a @ b))(a, b)
    np.testing.assert_allclose(solved, np.linalg.solve(a, b), rtol=1e-11)
    np.testing.assert_allclose(inverse, np.linalg.inv(a), rtol=1e-11)
    np.testing.assert_allclose(product, a @ b, rtol=1e-13)


def test_checkpointed_functions_and_matrices_without_elements():
    def total(z, inner):
        return np.sum(np.abs(inner(inner(z))) ** 2)

    def inner(z):
        return np.tanh(z) * np.exp(1j * z.real)

    marked = tg.checkpoint(inner)
    found = tg.grad_compile(lambda z: total(z, marked)).grad(Z)
    np.testing.assert_allclose(found, tg.grad(lambda z: total(z, inner))(Z), rtol=1e-12)
    det, sign, size = tg.jit(lambda a: (np.linalg.det(a), *np.linalg.slogdet(a)))(np.zeros((0, 0), complex))
    assert (det, sign, size) == (1.0, 1.0, 0.0)


def test_what_has_no_planes_is_named():
    with pytest.raises(CompileError, match="balance of complex numbers has no native code") as caught:
        tg.grad_compile(lambda z: np.sum(np.abs(scipy.linalg.matrix_balance(z)[0]))).grad(np.outer(Z, Z))
    assert "test_complex_native" in str(caught.value.where)


def test_a_later_process_recalls_the_program(tmp_path):
    code = """
import numpy as np, tracegrad as tg
tg.config.cache_dir = {!r}
f = tg.jit(lambda z, s: z * s + 1j)
print(f(np.array([1j, 2.0]), 1j), f.stats.traces)
"""
    path = tmp_path / "program.py"
    path.write_text(code.format(str(tmp_path / "cache")))
    first, second = (
        subprocess.run([sys.executable, path], capture_output=True, text=True, check=True).stdout.split("] ") for _ in range(2)
    )
    assert first[0] == second[0]
    assert (int(first[1]), int(second[1])) == (1, 0)


def test_real_programs_have_no_planes():
    graph = tg.jit(lambda x: np.sum(np.sin(x)), compile="never").graph(X)
    assert not has_planes(graph)


def test_explain_tells_of_planes():
    assert "complex values are two real ones each" in tg.jit(lambda z: z * 1j).explain(Z)
    assert "planes (" not in tg.jit(lambda x: x * 2).explain(X)


LINES = [((12,), 0), ((1,), 0), ((7,), 0), ((3, 5, 4), 1), ((3, 6, 2), 0), ((40, 9), 1)]


@pytest.mark.parametrize("dtype", [np.complex128, pytest.param(np.complex64, marks=pytest.mark.nightly)])
def test_transforms_are_those_of_numpy(dtype):
    draw = np.random.default_rng(4)
    for shape, axis in LINES:
        z = (draw.normal(size=shape) + 1j * draw.normal(size=shape)).astype(dtype)
        n = shape[axis]

        def all_of(z, n=n, axis=axis):
            return (
                np.fft.fft(z, axis=axis),
                np.fft.ifft(np.fft.fft(2 * z, n + 2, axis), axis=axis),
                np.fft.rfft(z.real, axis=axis),
                np.fft.rfft(z.imag, n + 1, axis, "ortho"),
                np.fft.irfft(z, 2 * n + 1, axis),
                np.fft.irfft(z, 2 * n, axis),
            )

        for mine, want in zip(tg.jit(all_of)(z), all_of(z), strict=True):
            assert (mine.dtype, mine.shape) == (want.dtype, want.shape)
            gap = np.max(np.abs(mine - want))
            assert gap <= 8 * np.finfo(dtype).eps * np.max(np.abs(want)), (shape, axis)


def test_the_loops_of_numpy_are_where_programs_look():
    for word, symbol in pocketfft.SYMBOLS.items():
        assert pocketfft.address(symbol) > 0, word
        assert pocketfft.address(f"{symbol}.data") > 0, word
    with pytest.raises(CompileError, match="has no loop fft of ll"):
        pocketfft.address("numpy.fft.fft.ll")


def test_the_words_of_transforms_in_plain_python():
    x = (Z[:5] * 1.0).copy()
    out = np.empty(5, complex)
    place = lambda array: type("Pointer", (), {"address": array.ctypes.data})
    pocketfft.ifft_float64(place(x), place(out), 1, 80, 80, 5, 5, 16, 16, 5)
    np.testing.assert_allclose(out, np.fft.ifft(x), rtol=1e-14)


def test_in_the_background():
    f = tg.grad_compile(lambda z: np.sum(np.abs(np.conj(z) * 2) ** 2), compile="background")
    np.testing.assert_allclose(f.grad(Z), 8 * np.conj(Z), rtol=1e-14)
    assert "complex128" in f.source(Z)
    np.testing.assert_allclose(f.grad(Z), 8 * np.conj(Z), rtol=1e-14)


def test_powers_of_which_a_plane_is_known_to_be_zero():
    t, z = np.array([0.3, -0.7, 2.0]), np.array([0.3 + 1j, -0.7 - 0.2j, 2.0])

    def functions(t, z):
        return z**0, (1j * t) ** 0j, z ** (z * 0), (t + 0j) ** -2, (1j * t) ** (1j * t), z ** (1j * t), 2.0 ** (1j * t)

    def loss(t, z):
        return sum(np.sum(np.abs(each + z) ** 2) for each in functions(t, z))

    for mine, want in zip(tg.jit(functions)(t, z), functions(t, z), strict=True):
        np.testing.assert_allclose(mine, want, rtol=1e-14)
    found = tg.grad_compile(loss, argnums=(0, 1)).grad(t, z)
    for mine, want in zip(found, tg.grad(loss, (0, 1))(t, z), strict=True):
        np.testing.assert_allclose(mine, want, rtol=1e-12)
