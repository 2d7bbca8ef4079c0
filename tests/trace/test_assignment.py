"""Assignment has NumPy's semantics: views share memory, copies do not, scalars are values."""

import numpy as np
import pytest

from tracegrad.errors import TraceError

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)
V = np.array([0.5, -1.0, 2.0, 3.0])


def views(x):
    out = np.zeros((3, 4))
    row, column, block, flipped = out[1], out[:, 2], out[1:, ::2], out[::-1, ::-1]
    out[0] = x[0]
    row[:] = 7.0
    column += x[:, 1]
    block[...] = x[1:, ::2] * 2
    flipped[0, 0] = 5.0
    column[1] -= 3.0
    return out, row, column, block, flipped


def transposed(x):
    out = np.zeros((4, 3))
    t = out.T
    t[0] = V
    t[1:, 0] += x[1:, 0]
    t.swapaxes(0, 1)[2] = 1.0
    np.moveaxis(out, 0, 1)[2, 2] = 9.0
    return out


def reshaped(x):
    out = np.zeros((3, 4))
    flat = out.reshape(-1)
    flat[::5] = x[0, 0]
    out.ravel()[3] = 2.0
    out.reshape(3, 2, 2)[:, 1, 0] += x[:, 0]
    out[:, None, :][1, 0, 1] = 8.0
    out.T.reshape(-1)[0] = 100.0  # a copy in NumPy: out does not see it
    out.T.ravel()[1] = 100.0
    out[:, ::2].reshape(3, 2)[0] = 4.0
    out.flatten()[0] = 100.0
    return out, flat


def copies(x):
    y = x * 2
    z = y.copy()
    w = np.array(y)
    a = np.asarray(y)
    z[0] = 1.0
    w[1] = 2.0
    a[2] = 3.0
    c = y.astype(np.float64)
    c[0] = 50.0
    d = y[[0, 1]]
    d[0] = 60.0
    e = +y
    e += 1
    f = np.positive(y)
    f *= 3
    return y, z, w, a, c, d, e, f


def in_place(x):
    y = x * 1.0
    alias = y
    y += 1
    y -= x
    y *= 2.0
    y /= 3
    s = y.sum()
    t = s
    s += 1
    v = y[0, 0]
    y[0, 0] = 40.0
    y[0] **= 2
    return y, alias, s, t, v


def keys(x):
    out = np.zeros((3, 4))
    index = np.array([2, 0])
    out[index] = x[:2]
    out[[0, 1], [1, 2]] = 5.0
    out[[0, 0, 1]] += 1.0
    mask = np.array([True, False, True, False])
    out[0, mask] = x[1, mask]
    out[..., -1] = x[:, 0]
    out[x > 1.0] = -1.0
    out[1][x[1] < 0] = 3.0
    return out


def out_argument(x):
    y = np.empty_like(x)
    np.multiply(x, 2.0, out=y)
    np.add(y, x, out=y)
    np.add(y[0], 1.0, y[1])
    s = np.zeros(3)
    np.sum(x, axis=1, out=s)
    np.copyto(y[2], x[0])
    return y, s


def at(x):
    out = np.zeros(3)
    np.add.at(out, np.array([0, 2, 2]), x[0, :3])
    total = np.add.reduce(x, axis=1)
    return out, total, np.multiply.outer(x[0], x[1, :2]), np.maximum.reduce(x)


def boxed(x):
    total = np.zeros(())
    total += x[0, 0]
    total[()] = total * 2
    alias = total[...]
    alias += 1
    return total


def casts(x):
    out = np.zeros(3, np.int64)
    out[0] = x[2, 3] * 1.9
    small = np.zeros(2, np.float32)
    small[:] = x[0, :2]
    small += x[1, :2].astype(np.float32)
    small[0] = 0.1
    return out, small


def swap(x):
    y = x[0] + 0.0
    y[[0, 1]] = y[[1, 0]]
    y[2], y[3] = y[3], y[2]
    y[1:] = y[:-1]
    a, b = y[:2], y[2:]
    a += b
    return y


def recurrence(x):
    out = np.zeros(50)
    out[0] = x[0, 0]
    for i in range(1, 50):
        out[i] = np.tanh(out[i - 1] * 1.1 + x[i % 3, i % 4])
        out[i - 1] *= 0.5
    return out


def elimination(x):
    a = np.zeros((3, 3))
    a[:] = x[:, :3]
    a += np.eye(3) * 4
    for k in range(3):
        for i in range(k + 1, 3):
            a[i, k] /= a[k, k]
            a[i, k + 1 :] -= a[i, k] * a[k, k + 1 :]
    return a


FUNCTIONS = (
    views, transposed, reshaped, copies, in_place, keys, out_argument, at, boxed, casts, swap, recurrence, elimination,
)  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_as_in_numpy(tool, function):
    tool.check(function, X)


def test_a_write_to_a_whole_array_needs_no_update(tool):
    def f(x):
        out = np.zeros((3, 4))
        out[:] = x * 2
        return out

    names = [node.op.name for node in tool.trace(f, X).graph]
    assert names.count("slice") == 0
    assert len(names) == 4


def test_an_in_place_slice_is_written_once(tool):
    def f(x):
        out = x * 2
        out[1:] += 1.0
        return out

    names = [node.op.name for node in tool.trace(f, X).graph]
    assert sum("update" in name for name in names) == 1


def test_read_only_views(tool):
    def f(x):
        np.broadcast_to(x * 2, (2, 3, 4))[0] = 1.0
        return x

    def g(x):
        x.sum()[...] = 1.0
        return x

    with pytest.raises(TraceError, match="read-only"):
        tool.trace(f, X)
    with pytest.raises(TypeError):
        tool.trace(g, X)


def test_traced_masks_take_scalars_or_what_they_select(tool):
    def f(x):
        out = x * 1.0
        out[x > 0] = x[x > 1]
        return out

    with pytest.raises(TraceError, match="mask"):
        tool.trace(f, X)


def test_scalars_have_no_memory_to_be_seen(tool):
    def f(x):
        total, product, element = np.sum(x), x @ x, x.take(1)
        views = [np.atleast_1d(total), product.reshape(1), np.ravel(element), np.expand_dims(x.dot(x), 0)]
        for view in views:
            view[0] = -7.0
        product += 1.0
        return total, product, element, views

    tool.check(f, np.array([1.0, 2.0, 3.0]))


def test_where_and_select_give_arrays_that_are_written_to(tool):
    def f(x):
        a = np.where(x[0] > 0, x[0], 0.5)
        b = np.select([x[1] > 0], [x[1]], 0.25)
        np.add(a, 1.0, out=a)
        b += a
        return a, b

    tool.check(f, np.array([1.0, -2.0]))

    def to_a_scalar(x):
        s = x[0] * 2.0
        np.add(s, 1.0, out=s)
        return s

    with pytest.raises(TraceError, match="a scalar cannot be written to"):
        tool.trace(to_a_scalar, np.ones(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_lists_and_numbers_among_arrays_that_are_joined(tool, dtype):
    def f(x):
        return (
            np.concatenate(([0.0], x)), np.concatenate([x, [1], [x[0]]]), np.hstack([x, 1.5]), np.vstack([x, [1, 2, 3]]),
            np.append(x, 1), np.append(x, [2.5, x[0]]), np.append([1, 2], x), np.stack([x[0], 1]),
            np.append(x, values=2.5), np.column_stack([x, [1, 2, 3]]), np.select([x > 1, x > 0], [x, x > 0], 0.25),
        )  # fmt: skip

    tool.check(f, np.arange(3).astype(dtype))
