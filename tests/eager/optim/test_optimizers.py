"""Optimisers against PyTorch's over twenty steps with every option, their groups, state dicts and errors."""

import copy
import warnings

import numpy as np
import pytest

from tracegrad.eager import optim
from tracegrad.eager.modes import no_grad
from tracegrad.eager.promote import default_dtype
from tracegrad.eager.tensor import Tensor

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adamax", {"maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.01}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.6)}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.9, "centered": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(options)}" for name, options in CASES]
SHAPES = [(3, 4), (5,), ()]

# the first parameter after 20 steps of PyTorch 2.13 in float64, from [1, -2, 0.5] with the gradients of `pull`
RECORDED = {}


def pull(values, step):
    """Gradients that change sign and size from step to step."""
    return values * 1.5 + np.sin(values * 3 + step)


def starts(dtype, shapes=SHAPES):
    rng = np.random.default_rng(5)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def ours(arrays):
    return [Tensor(a, requires_grad=True) for a in arrays]


def run(optimizer, params, steps=20, start=0):
    for k in range(start, start + steps):
        for p in params:
            p.grad = Tensor(pull(p.detach().numpy(), k).astype(p.dtype))
        optimizer.step()


def run_theirs(torch, optimizer, params, steps=20, start=0):
    for k in range(start, start + steps):
        for p in params:
            p.grad = torch.tensor(pull(p.detach().numpy(), k).astype(p.detach().numpy().dtype))
        optimizer.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_pytorch_agrees(name, options, dtype):
    torch = pytest.importorskip("torch")
    token = default_dtype.set(np.dtype(dtype))
    theirs_default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if dtype is np.float32 else torch.float64)
    try:
        mine = ours(starts(dtype))
        optimizer = getattr(optim, name)(mine, **options)
        run(optimizer, mine)
        theirs = [torch.tensor(a, requires_grad=True) for a in starts(dtype)]
        other = getattr(torch.optim, name)(theirs, **options)
        run_theirs(torch, other, theirs)
    finally:
        default_dtype.reset(token)
        torch.set_default_dtype(theirs_default)
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **tolerance)
        assert a.dtype == dtype
    kept, wanted = optimizer.state_dict(), other.state_dict()
    assert kept["param_groups"] == wanted["param_groups"]
    assert list(kept["param_groups"][0]) == list(wanted["param_groups"][0])
    assert kept["state"].keys() == wanted["state"].keys()
    for number, slots in wanted["state"].items():
        assert list(kept["state"][number]) == list(slots)
        for key, value in slots.items():
            found = kept["state"][number][key].numpy()
            np.testing.assert_allclose(found, value.numpy(), **tolerance)
            assert found.dtype == value.numpy().dtype
            assert found.shape == value.shape
    assert repr(optimizer) == repr(other)
