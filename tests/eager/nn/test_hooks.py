"""Hooks around forward and backward, against PyTorch's order, arguments and errors."""

import numpy as np
import pytest

import tracegrad.eager as tg
from tracegrad.eager import nn


def test_forward_hooks_see_and_replace():
    layer, seen = nn.Identity(), []
    x = tg.tensor([1.0, 2.0])
    layer.register_forward_pre_hook(lambda m, args: seen.append(("before", m is layer, len(args))))
    layer.register_forward_pre_hook(lambda m, args: args[0] + 1)
    layer.register_forward_hook(lambda m, args, out: seen.append(("after", args[0].tolist(), out.tolist())))
    handle = layer.register_forward_hook(lambda m, args, out: out * 10)
    assert layer(x).tolist() == [20.0, 30.0]
    assert seen == [("before", True, 1), ("after", [2.0, 3.0], [2.0, 3.0])]
    handle.remove()
    handle.remove()
    assert layer(x).tolist() == [2.0, 3.0]


def test_order_and_prepend():
    layer, seen = nn.Identity(), []
    for name, first in (("a", False), ("b", False), ("c", True)):
        layer.register_forward_hook(lambda *_, name=name: seen.append(name), prepend=first)
        layer.register_forward_pre_hook(lambda *_, name=name: seen.append(name.upper()), prepend=first)
    layer(1)
    assert seen == ["C", "A", "B", "c", "a", "b"]


def test_keyword_arguments():
    class Scaled(nn.Module):
        def forward(self, x, *, by=1):
            return x * by

    layer, seen = Scaled(), []
    with layer.register_forward_pre_hook(lambda m, a, k: (a, {"by": k["by"] + 1}), with_kwargs=True):
        layer.register_forward_hook(lambda m, a, k, out: seen.append((a, k, out)), with_kwargs=True)
        assert layer(3, by=2) == 9
    assert seen == [((3,), {"by": 3}, 9)]
    assert layer(3, by=2) == 6


def test_a_pre_hook_with_keywords_that_returns_something_else():
    layer = nn.Identity()
    layer.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\), but got 3\."):
        layer(1)


def test_always_call():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    layer, seen = Fails(), []
    layer.register_forward_hook(lambda m, a, out: seen.append("usual"))
    layer.register_forward_hook(lambda m, a, out: seen.append(("always", out)), always_call=True)
    with pytest.raises(ValueError, match="no"):
        layer(1)
    assert seen == [("always", None)]
    layer.register_forward_hook(lambda m, a, out: 1 / 0, always_call=True)
    with (
        pytest.warns(UserWarning, match="silenced as another error was raised in forward: division by zero"),
        pytest.raises(ValueError, match="no"),
    ):
        layer(1)


def test_full_backward_hooks():
    layer, seen = nn.Linear(2, 2, bias=False), []
    with tg.no_grad():
        layer.weight[...] = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer.register_full_backward_pre_hook(lambda m, g: (g[0] * 10,))
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist())))
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] + 1,))
    x = tg.tensor([[1.0, 1.0]], requires_grad=True)
    layer(x).sum().backward()
    assert seen == [([[40.0, 60.0]], [[10.0, 10.0]])]
    assert x.grad.tolist() == [[41.0, 61.0]]
    assert layer.weight.grad.tolist() == [[10.0, 10.0], [10.0, 10.0]]


def test_a_full_backward_hook_without_inputs_that_require_grad():
    layer, seen = nn.Linear(2, 2), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        layer(tg.tensor([[1.0, 1.0]])).sum().backward()
    assert seen == [((None,), [[1.0, 1.0]])]


def test_a_full_backward_hook_that_returns_too_much():
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda m, gi, go: (*gi, None))
    x = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        layer(x).sum().backward()


def test_backward_hooks_as_pytorch_calls_them():
    torch = pytest.importorskip("torch")

    def record(library):
        class Two(library.nn.Module):
            def forward(self, x, n, y):
                return x * y, y * n

        module, seen = Two(), []
        module.register_full_backward_hook(
            lambda m, gi, go: seen.append([None if g is None else g.tolist() for g in (*gi, *go)])
        )
        module.register_full_backward_hook(lambda m, gi, go: tuple(None if g is None else 2 * g for g in gi))
        x, y = (library.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 5.0]))
        first, second = module(x, 4, y)
        (first.sum() + (second * second).sum()).backward()
        module(x, 4, y)[0].sum().backward()
        return seen, x.grad.tolist(), y.grad.tolist()

    class Ours:
        nn, tensor = nn, staticmethod(tg.tensor)

    assert record(Ours) == record(torch)


def test_no_hooks_no_nodes():
    layer = nn.Identity()
    x = tg.tensor([1.0], requires_grad=True)
    handle = layer.register_full_backward_hook(lambda *_: None)
    assert layer(x).grad_fn.name() == "BackwardHookFunctionBackward"
    handle.remove()
    assert layer(x) is x
    np.testing.assert_array_equal(x.detach().numpy(), [1.0])
