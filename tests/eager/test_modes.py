"""no_grad, enable_grad and set_grad_enabled as block, decorator and call, per thread and per task."""

import asyncio
import threading

import pytest

from tracegrad.eager import enable_grad, is_grad_enabled, no_grad, set_grad_enabled, tensor


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
