"""Averages of weights: recorded from PyTorch, and against it where it is installed."""

import numpy as np
import pytest

import tracegrad.eager as tg
from tests.eager.programs.draws import drawn, filled, size
from tracegrad.eager.optim import swa_utils


def averaged(torch, kind):
    """Train with an average of weights, and renew its statistics."""
    nn, swa = torch.nn, torch.optim.swa_utils
    net = filled(torch, nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)))
    options = {
        "equal": {},
        "exponential": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)},
        "function": {"avg_fn": swa.get_ema_avg_fn(0.5)},
        "buffers": {"use_buffers": True, "avg_fn": lambda old, new, count: old * 0.5 + new * 0.5},
    }
    average = swa.AveragedModel(net, **options[kind])
    optimizer = torch.optim.SGD([{"params": net[0].parameters()}, {"params": net[3].parameters(), "lr": 0.2}], lr=0.1)
    strategy = "linear" if kind == "equal" else "cos"
    scheduler = swa.SWALR(optimizer, swa_lr=[0.05, 0.01], anneal_epochs=3, anneal_strategy=strategy)
    data = [(drawn(torch, f"x{k}", 6, 3), k) for k in range(4)]
    rates = []
    for x, _ in data:
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(net)
        scheduler.step()
        rates += [group["lr"] for group in optimizer.param_groups]
    before = size([b for b in average.module.buffers() if b.dim()])
    swa.update_bn(data, average)
    after = size([b for b in average.module.buffers() if b.dim()])
    assert average.training
    assert average.module[1].momentum == 0.1
    return [*rates, size(average.parameters()), int(average.n_averaged), before, after, average(data[0][0]).sum().item()]


RECORDED = {
    "equal": [
        0.08333333333333334,
        0.1366666666666667,
        0.06666666666666668,
        0.07333333333333335,
        0.05,
        0.01,
        0.05,
        0.01,
        7.238443229511746,
        4.0,
        4.192145801264739,
        4.819537931393613,
        0.9248962128823346,
    ],
    "exponential": [
        0.08750000000000001,
        0.15250000000000002,
        0.06250000000000001,
        0.05750000000000003,
        0.05,
        0.01,
        0.05,
        0.01,
        7.056268483166059,
        4.0,
        4.1923229205862365,
        4.821168078185014,
        1.6472563859714442,
    ],
    "function": [
        0.08750000000000001,
        0.15250000000000002,
        0.06250000000000001,
        0.05750000000000003,
        0.05,
        0.01,
        0.05,
        0.01,
        7.524174622359739,
        4.0,
        4.1923229205862365,
        4.830825197074332,
        0.647028346974015,
    ],
    "buffers": [
        0.08750000000000001,
        0.15250000000000002,
        0.06250000000000001,
        0.05750000000000003,
        0.05,
        0.01,
        0.05,
        0.01,
        7.524174622359739,
        4.0,
        4.144748288290763,
        4.830825197074332,
        0.647028346974015,
    ],
}


@pytest.mark.parametrize("kind", ["equal", "exponential", "function", "buffers"])
def test_recorded_numbers(kind):
    np.testing.assert_allclose(averaged(tg, kind), RECORDED[kind], rtol=1e-12)


@pytest.mark.parametrize("kind", ["equal", "exponential", "function", "buffers"])
def test_pytorch_agrees(kind):
    np.testing.assert_allclose(averaged(tg, kind), averaged(pytest.importorskip("torch"), kind), rtol=1e-12)


def test_state_survives_and_errors_speak():
    average = swa_utils.AveragedModel(tg.nn.Linear(2, 1))
    average.update_parameters(tg.nn.Linear(2, 1))
    assert list(average.state_dict()) == ["n_averaged", "module.weight", "module.bias"]
    swa_utils.update_bn([], average)
    with pytest.raises(ValueError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(average, avg_fn=min, multi_avg_fn=min)
    with pytest.raises(ValueError, match="Invalid decay value 2"):
        swa_utils.get_ema_avg_fn(2)
    optimizer = tg.optim.SGD(average.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="instead got up"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="up")
    with pytest.raises(ValueError, match="got -1"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
