"""What the names of a program file mean, natively and as plain Python."""

import numpy as np
import pytest

from tracegrad.errors import CompileError
from tracegrad.runtime import twins

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "boolean"]

# out[i] = x[i] + s for each dtype, stored as float64 too; or-ed for booleans.
EVERY_DTYPE = """
@kernel
def k0_HASH_(first, last, table):
    n = table[0]
    x = read(table, 2, {dtype})
    same = write(table, 3, {dtype})
    wide = write(table, 4, float64)
    total = update(table, 5, float64)
    s = scalar(table, 6, {dtype})
    for i in range(n):
        same[i] = x[i]
        wide[i] = x[i]
        total[0] = total[0] + x[i]
    same[n] = s
    same[n + 1] = 1.0

@entry("{dtype}[::1]", "{dtype}", "{dtype}[::1]", "float64[::1]", "float64[::1]", "int64[::1]")
def run_HASH_(x, s, same, wide, total, plan):
    table = stack_table(plan, 7)
    place(table, 2, x)
    place(table, 3, same)
    place(table, 4, wide)
    place(table, 5, total)
    place_scalar(table, 6, s)
    launch(k0_HASH_, table, 0, 1)
"""


def numpy_name(dtype):
    return "bool" if dtype == "boolean" else dtype


def check_every_dtype(entry, dtype):
    kind = np.dtype(numpy_name(dtype))
    if kind == np.bool_:
        x, s = np.array([True, False, True]), np.bool_(True)
    elif kind.kind == "f":
        x, s = np.array([-0.1, np.inf, 3.5], kind), kind.type(-0.7)
    else:
        info = np.iinfo(kind)
        x, s = np.array([info.min, info.max, 3], kind), kind.type(info.min + 1)
    same, wide, total = np.zeros(5, kind), np.zeros(3), np.zeros(1)
    entry(x, s, same, wide, total, np.array([3, 0, 0, 0, 0, 0, 0]))
    assert np.array_equal(same, np.array([*x, s, kind.type(1)], kind))
    assert np.array_equal(wide, x.astype(np.float64))
    assert total[0] == wide.sum()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint32", "uint64", "boolean"])
def test_loads_stores_casts_and_scalars(registry, imports, tmp_path, dtype):
    source = imports + EVERY_DTYPE.format(dtype=dtype)
    arguments = (f"{dtype}[::1]", dtype, f"{dtype}[::1]", "float64[::1]", "float64[::1]", "int64[::1]")
    check_every_dtype(registry.load(source, arguments, tmp_path / "cache").entry, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loads_stores_casts_and_scalars_in_python(dtype):
    names = {name: getattr(twins, name) for name in twins.__all__}
    names |= {name: numpy_name(name) for name in DTYPES}
    names |= {"kernel": lambda function: function, "entry": lambda *arguments: lambda function: function}
    exec(EVERY_DTYPE.format(dtype=dtype), names)
    check_every_dtype(names["run_HASH_"], dtype)


POINTERS = """
@kernel
def k0_HASH_(first, last, table):
    x = read(table, 2, float64)
    out = write(table, 3, float64)
    plain = pointer(table, 4, float64)
    for c in range(first, last):
        row = buffer_offset(x, c * 4)
        to = buffer_offset(out, uint64(c) * uint64(4))
        for i in range(uint64(4)):
            to[i] = row[i] + plain[int64(i) - 1]

@entry("float64[:, ::1]", "float64[::1, :]", "float64[:]", "int64[::1]")
def run_HASH_(x, out, plain, plan):
    table = stack_table(plan, 5)
    place(table, 2, x)
    place(table, 3, out)
    place(table, 4, plain)
    launch(k0_HASH_, table, 0)
"""


def test_offsets_negative_indices_and_layouts(registry, imports, tmp_path):
    arguments = ("float64[:, ::1]", "float64[::1, :]", "float64[:]", "int64[::1]")
    program = registry.load(imports + POINTERS, arguments, tmp_path / "cache")
    x, out, plain = np.arange(12.0).reshape(3, 4), np.zeros((4, 3), order="F"), np.array([10.0, 20.0, 30.0, 40.0])
    program.entry(x, out, plain[1:], np.array([3, 0, 0, 0, 0]))
    assert np.array_equal(out.T, x + plain)  # plain[-1] is the element before, not the last
    with pytest.raises(TypeError):
        program.entry(x.T, out, plain, np.array([3, 0, 0, 0, 0]))


MASKS = """
@kernel
def k0_HASH_(first, last, table):
    x = read(table, 2, {dtype})
    out = write(table, 3, {dtype})
    for c in range(first, last):
        mask = all_bits(c % 3 != 1)
        for i in range(table[4]):
            out[c * table[4] + i] = kept(x[c * table[4] + i], mask)

@entry("{dtype}[:, ::1]", "{dtype}[:, ::1]", "int64[::1]")
def run_HASH_(x, out, plan):
    table = stack_table(plan, 5)
    place(table, 2, x)
    place(table, 3, out)
    launch(k0_HASH_, table, 0)
"""


def check_masks(entry, dtype):
    x = np.arange(1, 46).reshape(5, 9).astype(dtype)
    if x.dtype.kind == "f":
        x[1, 2], x[2, 3], x[3, 4], x[4, 5] = np.inf, np.nan, -0.0, -np.inf
    out = np.full_like(x, 7)
    entry(x, out, np.array([5, 0, 0, 0, 9]))
    expected = x.copy()
    expected[[1, 4]] = 0
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int16", "uint32", "int64"])
def test_masks_keep_all_bits_of_a_number_or_none(registry, imports, tmp_path, dtype):
    arguments = (f"{dtype}[:, ::1]", f"{dtype}[:, ::1]", "int64[::1]")
    check_masks(registry.load(imports + MASKS.format(dtype=dtype), arguments, tmp_path / "cache").entry, dtype)


@pytest.mark.parametrize("dtype", ["float64", "int16"])
def test_masks_in_python(dtype):
    names = {name: getattr(twins, name) for name in twins.__all__}
    names |= {dtype: numpy_name(dtype), "kernel": lambda f: f, "entry": lambda *arguments: lambda f: f}
    exec(MASKS.format(dtype=dtype), names)
    check_masks(names["run_HASH_"], dtype)


DIVISION = """
@kernel
def k0_HASH_(first, last, table):
    out = write(table, 2, int64)
    for c in range(first, last):
        out[2 * c] = quotient(c - 7, table[3])
        out[2 * c + 1] = leftover(c - 7, table[3])

@entry("int64[:, ::1]", "int64[::1]")
def run_HASH_(out, plan):
    table = stack_table(plan, 4)
    place(table, 2, out)
    launch(k0_HASH_, table, 0)
"""


@pytest.mark.parametrize("extent", [1, 3, 8])
def test_division_is_pythons_for_positive_extents(registry, imports, tmp_path, extent):
    out = np.zeros((15, 2), np.int64)
    registry.load(imports + DIVISION, ("int64[:, ::1]", "int64[::1]"), tmp_path / "cache").entry(
        out, np.array([15, 0, 0, extent])
    )
    assert out.tolist() == [list(divmod(n - 7, extent)) for n in range(15)]


def test_read_only_arrays_are_arguments_like_others(registry, chain, tmp_path):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    x = np.arange(10.0)
    expected = chain.call(entry, x)
    x.flags.writeable = False
    assert chain.call(entry, x)[0] == expected[0] == 1.5 * x.sum()


def test_other_argument_types_are_refused(registry, chain, tmp_path):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    with pytest.raises(TypeError):
        chain.call(entry, np.arange(10, dtype=np.float32))
    with pytest.raises(TypeError):
        chain.call(entry, np.arange(20.0)[::2])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("acc = acc + t", "acc = acc + out[i]"),  # loaded from a buffer declared with write
        ("out[i] = t", "x[i] = t"),  # stored to one declared with read
        ("partial[c] = acc", "return acc"),
        ("out[i] = t", "out[i] = 'text'"),
    ],
)
def test_undeclared_accesses_do_not_compile(registry, chain, tmp_path, old, new):
    assert old in chain.source
    with pytest.raises(CompileError, match="did not compile"):
        registry.load(chain.source.replace(old, new), chain.arguments, tmp_path / "cache")
    leftover = [path.name for path in (tmp_path / "cache").glob("**/*") if path.suffix in (".json", ".nbi", ".nbc")]
    assert leftover == []


@pytest.mark.parametrize("text", ["float65", "float64[", "float64[x]", "float64[::1, ::1]", "float64[:, ::1, :]", ""])
def test_argument_types_are_checked(registry, imports, tmp_path, text):
    source = imports + f'@entry("{text}")\ndef run_HASH_(x):\n    pass\n'
    with pytest.raises(ValueError, match="not the type of an entry argument"):
        registry.load(source, (text,), tmp_path / "cache")


def test_results_do_not_depend_on_the_threads(registry, chain, tmp_path):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    x = np.random.default_rng(0).standard_normal(100_000)
    value, out = chain.call(entry, x, parallel=0)
    assert value == pytest.approx(1.5 * x.sum())
    for parallel in (1, 2, 3, 64):
        again = chain.call(entry, x, parallel=parallel)
        assert again[0] == value
        assert np.array_equal(again[1], out)


def test_no_chunks_run_nothing(registry, chain, tmp_path):
    entry = registry.load(chain.source, chain.arguments, tmp_path / "cache").entry
    for parallel in (0, 1):
        value, _ = chain.call(entry, np.empty(0), parallel=parallel)
        assert value == 0.0


def test_the_same_file_runs_as_python(run_python):
    script = """
from tracegrad.runtime.load import load_program
program = load_program(CHAIN, ARGUMENTS, FOLDER)
value, out = call_chain(program.entry, np.linspace(-1.0, 2.0, 3000))
print(type(program.entry).__name__, float(value).hex(), float(out.sum()).hex())
"""
    native, python = run_python(script), run_python(script, NUMBA_DISABLE_JIT="1")
    assert python.split()[0] == "function"
    assert native.split()[0] != "function"
    assert native.split()[1:] == python.split()[1:]


def test_a_plan_too_short_is_seen_in_python():
    with pytest.raises(IndexError, match="needs 3"):
        twins.stack_table(np.zeros(2, np.int64), 3)
