"""no_grad, enable_grad and set_grad_enabled as block, decorator and call, per thread and per task."""

import asyncio
import threading

import pytest

from tests.eager.transcripts import program
from tracegrad.eager import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
    tensor,
)


def test_block():
    x = tensor(2.0, requires_grad=True)
    with no_grad():
        assert not (x * x).requires_grad
        with enable_grad():
            assert (x * x).requires_grad
        assert not is_grad_enabled()
    assert (x * x).requires_grad


def test_block_is_left_by_errors_and_entered_again():
    mode = no_grad()
    with pytest.raises(KeyError), mode, mode:
        raise KeyError
    assert is_grad_enabled()


@pytest.mark.parametrize("decorator", [no_grad, no_grad(), set_grad_enabled])
def test_decorator(decorator):
    if decorator is set_grad_enabled:
        decorator = set_grad_enabled(False)

    @decorator
    def square(x):
        """Square."""
        return x * x

    assert is_grad_enabled()
    assert square.__name__ == "square"
    assert not square(tensor(2.0, requires_grad=True)).requires_grad
    assert is_grad_enabled()


def test_plain_call():
    set_grad_enabled(False)
    try:
        assert not is_grad_enabled()

        @enable_grad()
        def inner():
            return is_grad_enabled()

        assert inner()
        assert not is_grad_enabled()
    finally:
        set_grad_enabled(True)
    assert is_grad_enabled()
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_threads_and_tasks_have_their_own():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]

    async def quiet(entered, leave):
        with no_grad():
            entered.set()
            await leave.wait()
            return is_grad_enabled()

    async def both():
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(quiet(entered, leave))
        await entered.wait()
        mine = is_grad_enabled()
        leave.set()
        return mine, await task

    assert asyncio.run(both()) == (True, False)


def test_detach_and_no_grad_results_are_leaves():
    x = tensor(2.0, requires_grad=True)
    d = x.detach()
    assert (d.requires_grad, d.is_leaf) == (False, True)
    assert d._array is x._array
    with no_grad():
        y = x * 2
    assert (y.is_leaf, y.grad_fn, y.requires_grad) == (True, None, False)


@program(
    """
    False False True
    True True
    False
    True
    False
    True
    (False, (False, None)) inner What it does. True
    (False, (False, None)) inner What it does. True
    (True, (True, None)) inner What it does. True
    (False, (False, None)) inner What it does. True
    (False, (False, None)) inner What it does. True
    False
    False
    False
    False
    False
    True
    False
    True
    False
    True
    """
)
def test_blocks_calls_and_decorators(torch, show):
    x = torch.tensor(2.0, requires_grad=True)
    state = torch.is_grad_enabled
    with torch.no_grad():
        show(state(), (x * 2).requires_grad, torch.tensor(1.0, requires_grad=True).requires_grad)
        with torch.enable_grad():
            show(state(), (x * 2).requires_grad)
            with torch.set_grad_enabled(False):
                show(state())
            show(state())
        show(state())
    show(state())
    for mode in (torch.no_grad, torch.no_grad(), torch.enable_grad(), torch.set_grad_enabled(False), torch.inference_mode()):

        @mode
        def inner(n):
            """What it does."""
            return state(), inner(n - 1) if n else None

        torch.set_grad_enabled(True)
        show(inner(1), inner.__name__, inner.__doc__, state())
    torch.set_grad_enabled(False)
    show(state())
    with torch.enable_grad():
        torch.set_grad_enabled(False)
        show(state())
    show(state())
    torch.set_grad_enabled(True)
    setting = torch.set_grad_enabled(False)
    show(state())
    with setting:
        show(state())
    show(state())
    torch.set_grad_enabled(mode=True)
    for mode in (True, False):
        with torch.set_grad_enabled(mode), torch.no_grad():
            show(state())
        show(state())


@program(
    """
    KeyError: False
    True True True
    False
    True
    True
    """
)
def test_left_by_errors_and_returns(torch, show):
    state = torch.is_grad_enabled

    @torch.no_grad()
    def fails():
        raise KeyError(state())

    def leaves():
        with torch.no_grad(), torch.enable_grad():
            return state()

    show.refused(KeyError, "False", fails)
    show(state(), leaves(), state())
    for mode in (torch.no_grad(), torch.set_grad_enabled(False), torch.inference_mode()):
        try:
            with mode:
                raise ValueError
        except ValueError:
            show(state())


@program(
    """
    got 3 False
    False True False True
    closed False
    got 3 False
    False True False True
    caught False
    after True
    closed False
    got 3 False
    False True False True
    closed False
    []
    returned True
    [1] False
    (False, 1) (False, 2) False (False, True) True
    False False
    """
)
def test_generators_and_classes(torch, show):
    state = torch.is_grad_enabled

    @torch.no_grad()
    def steps():
        """Its doc."""
        try:
            got = yield state()
            show("got", got, state())
            yield state()
        except KeyError:
            show("caught", state())
            yield "after"
        finally:
            show("closed", state())

    for end in ("close", "throw", "exhaust"):
        g = steps()
        show(next(g), state(), g.send(3), state())
        if end == "close":
            g.close()
        elif end == "throw":
            show(g.throw(KeyError()), state())
            g.close()
        else:
            show(list(g))

    @torch.enable_grad()
    def returning():
        yield 1
        return state()

    def outer():
        result = yield from returning()
        show("returned", result)

    with torch.no_grad():
        show(list(outer()), state())

    class Model:
        @torch.no_grad()
        def method(self, n=1):
            return state(), n

        @staticmethod
        @torch.no_grad()
        def static():
            return state()

        @classmethod
        @torch.inference_mode()
        def made(cls):
            return state(), torch.is_inference_mode_enabled()

    show(Model().method(), Model().method(n=2), Model.static(), Model.made(), state())
    show(torch.no_grad()(lambda: state())(), torch.inference_mode(lambda: state())())


@program(
    """
    False True False True False
    tensor([5., 5.]) True True True False
    True False True
    True
    True False
    RuntimeError: Inference tensors cannot be saved for backward.
    RuntimeError: Inplace update to inference tensor outside InferenceMode is not allowed.
    RuntimeError: Inplace update to inference tensor outside InferenceMode is not allowed.
    RuntimeError: Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.
    True False False True
    False True
    True
    """
)
def test_inference_tensors(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.inference_mode():
        y = x * 2
        z = torch.ones(2)
        show(torch.is_grad_enabled(), torch.is_inference_mode_enabled(), y.requires_grad, y.is_inference(), x.is_inference())
        y += 1
        y[0] = 5.0
        show(y, z.is_inference(), y[:1].is_inference(), y.clone().is_inference(), x[:1].is_inference())
        with torch.inference_mode(False):
            show(torch.is_grad_enabled(), torch.is_inference_mode_enabled(), (x * 2).requires_grad)
        with torch.enable_grad():
            show(torch.is_grad_enabled())
    show(torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    show.refused(RuntimeError, "Inference tensors cannot be saved for backward.", lambda: x * y)
    outside = "Inplace update to inference tensor outside InferenceMode is not allowed."
    show.refused(RuntimeError, outside, y.add_, 1)
    show.refused(RuntimeError, outside, y[:1].add_, 1)
    requires = "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."
    show.refused(RuntimeError, requires, y.requires_grad_)
    show((x + y).requires_grad, y.clone().is_inference(), (y * 2).is_inference(), (x * y.clone()).requires_grad)
    y.clone().requires_grad_().sum().backward()
    with torch.no_grad():
        show((x * y).is_inference(), y.is_inference())
    with torch.inference_mode(mode=False):
        show(torch.is_grad_enabled())


@program(
    """
    tensor([2., 2.], grad_fn=<MulBackward0>) 1
    RuntimeError: A view was created in no_grad mode and is being modified inplace with grad mode enabled.
    tensor([7., 3.], requires_grad=True) True None
    RuntimeError: a leaf Variable that requires grad is being used in an in-place operation.
    RuntimeError: a view of a leaf Variable that requires grad is being used in an in-place operation.
    """
)
def test_views_made_without_a_record(torch, show):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    h = x * 1
    with torch.no_grad():
        part = h[:1]
        part += 1
        show(h, h._version)
    text = "A view was created in no_grad mode and is being modified inplace with grad mode enabled."
    show.refused(RuntimeError, text, part.add_, 1)
    with torch.no_grad():
        x += 1
        x[0] = 7.0
        y = x * 2
    show(x, y.is_leaf, y.grad_fn)
    show.refused(RuntimeError, "a leaf Variable that requires grad is being used in an in-place operation.", x.add_, 1)
    text = "a view of a leaf Variable that requires grad is being used in an in-place operation."
    show.refused(RuntimeError, text, x[:1].add_, 1)


@program(
    """
    [True, False, False, True]
    """
)
def test_each_thread_starts_with_recording(torch, show):
    def inside():
        seen.append(torch.is_grad_enabled())
        torch.set_grad_enabled(False)
        seen.append(torch.is_grad_enabled())

    seen = []
    with torch.no_grad():
        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        seen.append(torch.is_grad_enabled())
    seen.append(torch.is_grad_enabled())
    show(seen)


def test_tasks_do_not_change_each_other():
    async def switches(order, name, mode):
        seen = []
        for _ in range(3):
            with mode():
                order.append(name)
                await asyncio.sleep(0)
                seen.append((is_grad_enabled(), is_inference_mode_enabled()))
            await asyncio.sleep(0)
            seen.append((is_grad_enabled(), is_inference_mode_enabled()))
        set_grad_enabled(False)
        await asyncio.sleep(0)
        return seen

    async def all_of_them():
        order = []
        found = await asyncio.gather(
            switches(order, "a", no_grad), switches(order, "b", enable_grad), switches(order, "c", inference_mode)
        )
        return order, found, is_grad_enabled()

    order, (a, b, c), after = asyncio.run(all_of_them())
    assert order[:3] == ["a", "b", "c"]  # they did run between each other's steps
    assert a == [(False, False), (True, False)] * 3
    assert b == [(True, False), (True, False)] * 3
    assert c == [(False, True), (True, False)] * 3
    assert after
