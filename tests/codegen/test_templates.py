"""Templates are run as programs and compared with the eager ops."""

import itertools
import math
import os
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

from tracegrad.codegen import microkernels, templates
from tracegrad.codegen.templates import ABI, TEMPLATES, Layout, contiguous, contraction
from tracegrad.ops.contractions import matmul_batched
from tracegrad.ops.conv import convolve, convolve_input_gradient, convolve_weight_gradient
from tracegrad.runtime.load import load_program

OPS = (matmul_batched, convolve, convolve_input_gradient, convolve_weight_gradient)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("programs") / "cache"


def layout_of(array):
    """The flat buffer an array is a view of, and its layout there."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    base = np.ravel(base, order="K")
    begin = array.__array_interface__["data"][0] - base.__array_interface__["data"][0] if array.size else 0
    return base, Layout(array.dtype, array.shape, tuple(s // array.itemsize for s in array.strides), begin // array.itemsize)


def program_of(template, dtype):
    """Text and argument types of a program that launches a template once on two operands."""
    modules = {}
    for module, name in template.imports | {(ABI, n) for n in ("entry", "launch", "place", "shift", "stack_table")}:
        modules.setdefault(module, []).append(name)
    kind = "boolean" if dtype.kind == "b" else dtype.name
    arguments = (*[f"{kind}[::1]"] * 3, "uint8[::1]", "int64[::1]")
    actions = {
        "buffer": "place(table, {}, x{})",
        "output": "place(table, {}, out)",
        "scratch": "shift(table, {}, arena)",
    }
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(modules.items())]
    kernels = template.source.replace("{name}_finish", "k0_finish_HASH_").replace("{name}", "k0_HASH_")
    lines += [kernels, f"@entry{arguments}"]
    lines += ["def run_HASH_(x0, x1, out, arena, plan):", f"    table = stack_table(plan, {len(template.slots) + 2})"]
    for k, (what, *value) in enumerate(template.slots):
        if what in actions:
            lines.append("    " + actions[what].format(k + 2, *value))
    lines.append("    launch(k0_HASH_, table, 0)")
    if template.finish:
        lines.append("    launch(k0_finish_HASH_, table, 0, 1)")
    return "\n".join(lines), arguments


def run(op, operands, params, cache_dir, threads):
    """The result of an op's template, computed into a buffer full of rubbish."""
    found = [layout_of(a) for a in operands]
    shape = np.shape(op(*operands, **params))
    dtype = operands[0].dtype
    template = contraction(op.lower, params, tuple(layout for _, layout in found), contiguous(shape, dtype))
    text, arguments = program_of(template, dtype)
    out = np.full(math.prod(shape), 77).astype(dtype)
    words, scratch = [], 0
    for what, *value in template.slots:
        words.append(value[0] if what == "size" else scratch)
        scratch += -(-value[0] // 64) * 64 if what == "scratch" else 0
    arena = np.full(scratch + 64, 255, np.uint8)
    aligned = -arena.ctypes.data % 64
    plan = np.array([template.chunks, threads, *words], np.int64)
    entry = load_program(text, arguments, cache_dir).entry
    entry(*(base for base, _ in found), out, arena[aligned : aligned + scratch], plan)
    return out.reshape(shape)


def check(op, operands, params, cache_dir):
    """Equal to eager up to rounding, and bitwise equal whether one thread runs or several."""
    expected = op(*operands, **params)
    result = run(op, operands, params, cache_dir, threads=1)
    if result.dtype.kind == "f":
        scale = op(*(abs(a) for a in operands), **params)
        error = np.max(np.abs(result - expected) / (scale + 1e-30), initial=0)
        assert error < 32 * np.finfo(result.dtype).eps
    else:
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(run(op, operands, params, cache_dir, threads=0), result)


def draw(shape, dtype, seed=0):
    rng = np.random.default_rng([seed, *shape])
    return rng.random(shape) < 0.4 if dtype == "bool" else (3 * rng.normal(size=shape)).astype(dtype)


SIZES = [(3, 4, 5), (50, 300, 70), (100, 3, 2), (13, 0, 4), (0, 3, 2), (33, 257, 130), (97, 20, 600)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_products_of_any_strides(m, k, n, dtype, cache_dir):
    plain = draw((m, k), dtype), draw((k, n), dtype, 1)
    for a, b in [
        plain,
        (draw((k, m), dtype).T, draw((n, k), dtype).T),
        (draw((m, 2 * k), dtype)[:, ::2], np.broadcast_to(draw((k, 1), dtype), (k, n))),
        (plain[0][::-1], plain[1][:, ::-1]),
    ]:
        check(matmul_batched, (a, b), {}, cache_dir)


@pytest.mark.parametrize(("m", "k", "n"), [(1, 7, 9), (9, 7, 1), (1, 5, 1), (700, 300, 1), (1, 300, 700), (1, 0, 3)])
def test_products_with_vectors(m, k, n, cache_dir):
    check(matmul_batched, (draw((m, k), "float64"), draw((k, n), "float64", 1)), {}, cache_dir)
    check(matmul_batched, (draw((k, m), "float64").T, draw((n, k), "float64", 1).T), {}, cache_dir)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("depth", "n"), [(30_011, 7), (20_003, 50), (900, 1111), (40_000, 65)])
def test_long_sums_of_rows_are_cut_into_parts(depth, n, dtype, cache_dir):
    x, g = draw((depth, n), dtype), draw((1, depth), dtype, 1)
    check(matmul_batched, (g, x), {}, cache_dir)
    check(matmul_batched, (x[::-1].T, g[:, ::-1].T), {}, cache_dir)


def test_stacks_of_sums_of_rows(cache_dir):
    for depth in (5, 9_000):
        x, g = draw((2, depth, 13), "float64"), draw((2, 1, depth), "float64", 1)
        check(matmul_batched, (g, x), {}, cache_dir)
        check(matmul_batched, (x.transpose(0, 2, 1), np.broadcast_to(g[0].T, (2, depth, 1))), {}, cache_dir)


@pytest.mark.parametrize(("m", "k", "n"), [(5, 6, 7), (40, 9, 3)])
def test_stacks_of_products(m, k, n, cache_dir):
    check(matmul_batched, (draw((4, m, k), "float64"), draw((4, k, n), "float64")), {}, cache_dir)
    a = draw((2, 3, m, k), "float64").transpose(1, 0, 2, 3)
    b = np.broadcast_to(draw((2, k, n), "float64"), (3, 2, k, n))
    check(matmul_batched, (a, b), {}, cache_dir)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k", "n"), [(130, 10, 10), (31, 600, 13), (5, 300, 16), (13, 65, 3)])
def test_narrow_products_read_their_rows_in_place(m, k, n, dtype, cache_dir):
    between = draw((m, 7, k), dtype).transpose(1, 0, 2)
    check(matmul_batched, (between, draw((7, n, k), dtype).transpose(0, 2, 1)), {}, cache_dir)
    check(matmul_batched, (draw((k, m), dtype).T, draw((k, n), dtype, 1)), {}, cache_dir)


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_products_of_whole_numbers_and_truth_values(dtype, cache_dir):
    check(matmul_batched, (draw((4, 5), dtype), draw((5, 3), dtype, 1)), {}, cache_dir)


PARAMS = [
    {"strides": s, "padding": p, "dilations": d, "groups": g}
    for s, p, d, g in itertools.product(
        ((1, 1), (2, 3)),
        (((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 0), (1, 3)), ((4, 4), (3, 5))),
        ((1, 1), (2, 1)),
        (1, 2),
    )
]


def the_three(x, w, params):
    """The convolution of x and w, and both of its gradients."""
    g = draw(convolve(x, w, **params).shape, x.dtype.name, 3)
    yield convolve, (x, w), params
    yield convolve_input_gradient, (g, w), {**params, "sizes": x.shape[2:]}
    yield convolve_weight_gradient, (x, g), {**params, "window": w.shape[2:]}


@pytest.mark.parametrize("params", PARAMS)
def test_convolutions_and_their_gradients(params, cache_dir):
    x, w = draw((3, 4, 9, 8), "float64"), draw((6, 4 // params["groups"], 3, 2), "float64")
    for op, operands, all_params in the_three(x, w, params):
        check(op, operands, all_params, cache_dir)


@pytest.mark.parametrize(
    ("x_shape", "w_shape"),
    [((64, 1, 8, 8), (16, 1, 3, 3)), ((64, 16, 4, 4), (32, 16, 3, 3)), ((5, 3, 40, 40), (2, 3, 1, 1))],
)
def test_convolutions_of_many_images(x_shape, w_shape, cache_dir):
    params = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilations": (1, 1), "groups": 1}
    for op, operands, all_params in the_three(draw(x_shape, "float32"), draw(w_shape, "float32"), params):
        check(op, operands, all_params, cache_dir)


def test_convolutions_of_strided_operands(cache_dir):
    x, w = draw((9, 8, 4, 3), "float64").transpose(3, 2, 0, 1)[:, ::-1], draw((6, 4, 3, 4), "float64")[..., ::2]
    for op, operands, all_params in the_three(x, w, PARAMS[0]):
        check(op, (operands[0], operands[1]), all_params, cache_dir)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("params", [PARAMS[4], PARAMS[14], PARAMS[19]])
def test_infinite_operands_give_what_eager_gives(params, which, cache_dir):
    x, w = draw((3, 4, 9, 8), "float64"), draw((6, 4 // params["groups"], 3, 2), "float64")
    for op, operands, all_params in the_three(x, w, params):
        for value in (np.inf, np.nan):
            changed = [a.copy() for a in operands]
            for k in which:
                changed[k].flat[0], changed[k].flat[changed[k].size // 2] = -value, value
            result = run(op, changed, all_params, cache_dir, threads=1)
            np.testing.assert_allclose(result, op(*changed, **all_params), rtol=1e-12, atol=1e-12)


def test_scratch_of_large_products_is_bounded():
    x = contiguous((4000, 4000), np.dtype("float64"))
    slots = contraction(matmul_batched.lower, {}, (x, x), x).slots
    assert 0 < max(value[0] for what, *value in slots if what == "scratch") <= 1 << 23


def test_convolutions_of_whole_numbers(cache_dir):
    x, w = draw((2, 2, 5, 4), "int64"), draw((2, 1, 3, 2), "int64")
    for op, operands, all_params in the_three(x, w, PARAMS[-1]):
        check(op, operands, all_params, cache_dir)


def text_of(op, operands, params):
    shape = np.shape(op(*operands, **params))
    layouts = tuple(layout_of(a)[1] for a in operands)
    return contraction(op.lower, params, layouts, contiguous(shape, operands[0].dtype))


def test_sizes_are_no_part_of_the_text():
    for m, k, n in SIZES[:3]:
        one = text_of(matmul_batched, (draw((m, k), "float64"), draw((k, n), "float64")), {})
        other = text_of(matmul_batched, (draw((7, 9), "float64"), draw((9, 8), "float64")), {})
        assert one.source == other.source
    for params in PARAMS:
        x, w = draw((3, 4, 9, 8), "float64"), draw((6, 4 // params["groups"], 3, 2), "float64")
        texts = [text_of(*each) for each in the_three(x, w, params)]
        larger = [text_of(*each) for each in the_three(draw((70, 4, 9, 8), "float64"), w, params)]
        assert [t.source for t in texts] == [t.source for t in larger]
        assert larger[0].chunks > 1
    assert not re.search(r"\b(3|4|9|8)\b", re.sub(r"table(\[\d+\]|, \d+)", "", texts[0].source))


def test_every_contraction_has_a_template():
    assert {op.lower for op in OPS} == set(TEMPLATES)


OLD_PROCESSOR = """
import numpy as np, tracegrad as tg
draw = np.random.default_rng(0).normal
for m, k, n in ((4, 4, 5), (13, 70, 5), (20, 10, 70)):
    x, y = draw(size=(m, k)), draw(size=(k, n))
    np.testing.assert_allclose(tg.jit(lambda x, y: x @ y)(x, y), x @ y, rtol=1e-12, atol=1e-12)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the features are those of x86-64")
def test_products_on_a_processor_with_short_vectors(tmp_path):
    # a tile's rows are more than its columns there, which is so nowhere else
    profile = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse,+sse2", "TRACEGRAD_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", OLD_PROCESSOR], env={**os.environ, **profile}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_templates_and_microkernels_agree_on_what_is_short():
    # two constants, as templates load without Numba and a kernel's text is part of what its cache entry is found by
    assert templates.SHORT == microkernels.SHORT
