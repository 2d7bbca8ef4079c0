"""Schedulers against PyTorch's: the same numbers at every epoch, the same state dicts, the same warnings."""

import warnings

import numpy as np
import pytest

from tracegrad.eager import optim
from tracegrad.eager.optim import lr_scheduler as ours
from tracegrad.eager.tensor import Tensor

EPOCHS = 14


class Half:
    """A callable with something to save."""

    def __init__(self, base=0.5):
        self.base = base

    def __call__(self, epoch):
        return self.base**epoch


# how to make it from the module and the optimiser
CASES = {
    "StepLR": lambda m, o: m.StepLR(o, 3, gamma=0.3),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], gamma=0.5),
    "ConstantLR": lambda m, o: m.ConstantLR(o, factor=0.3, total_iters=4),
    "LinearLR": lambda m, o: m.LinearLR(o, start_factor=0.25, end_factor=0.75, total_iters=6),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, total_iters=8, power=2.0),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, T_max=5, eta_min=0.01),
    "CosineAnnealingWarmRestarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.01),
    "LambdaLR": lambda m, o: m.LambdaLR(o, [lambda epoch: 1 / (1 + epoch), Half()]),
    "MultiplicativeLR": lambda m, o: m.MultiplicativeLR(o, lambda epoch: 0.9 + 0.01 * epoch),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, max_lr=[0.5, 0.2], total_steps=20),
    "OneCycleLR three": lambda m, o: m.OneCycleLR(
        o, 0.5, epochs=4, steps_per_epoch=5, three_phase=True, anneal_strategy="linear"
    ),
    "CyclicLR": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=3, step_size_down=4),
    "CyclicLR 2": lambda m, o: m.CyclicLR(o, [0.01, 0.02], 0.1, step_size_up=2, mode="triangular2", cycle_momentum=False),
    "CyclicLR exp": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=2, mode="exp_range", gamma=0.9),
    "CyclicLR function": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=2, scale_fn=Half(0.9), scale_mode="iterations"),
    "SequentialLR": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=3), m.CosineAnnealingLR(o, 6), m.ExponentialLR(o, 0.8)], [3, 9]
    ),
    "ChainedScheduler": lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 2), m.ExponentialLR(o, 0.9)], o),
    "SequentialLR of chained": lambda m, o: m.SequentialLR(
        o, [m.ChainedScheduler([m.StepLR(o, 2), m.ExponentialLR(o, 0.9)]), m.LinearLR(o)], [4]
    ),
}
# the first group's rates at epochs 0 … 5 with PyTorch 2.13
RECORDED = {
    "StepLR": [0.1, 0.1, 0.1, 0.03, 0.03, 0.03],
    "MultiStepLR": [0.1, 0.1, 0.05, 0.05, 0.05, 0.0125],
    "ConstantLR": [0.03, 0.03, 0.03, 0.03, 0.1, 0.1],
    "LinearLR": [
        0.025,
        0.03333333333333333,
        0.041666666666666664,
        0.049999999999999996,
        0.058333333333333334,
        0.06666666666666667,
    ],
    "ExponentialLR": [
        0.1,
        0.09000000000000001,
        0.08100000000000002,
        0.07290000000000002,
        0.06561000000000002,
        0.05904900000000002,
    ],
    "PolynomialLR": [0.1, 0.0765625, 0.05625, 0.03906250000000001, 0.02500000000000001, 0.014062500000000006],
    "CosineAnnealingLR": [0.1, 0.09140576474687263, 0.06890576474687263, 0.04109423525312736, 0.018594235253127367, 0.01],
    "CosineAnnealingWarmRestarts": [0.1, 0.0775, 0.032500000000000015, 0.1, 0.09397114317029975, 0.0775],
    "LambdaLR": [0.1, 0.05, 0.03333333333333333, 0.025, 0.020000000000000004, 0.016666666666666666],
    "MultiplicativeLR": [
        0.1,
        0.09100000000000001,
        0.08372000000000002,
        0.07785960000000001,
        0.07318802400000002,
        0.06952862280000002,
    ],
    "OneCycleLR": [
        0.020000000000000018,
        0.06583592135001265,
        0.18583592135001265,
        0.3341640786499874,
        0.45416407864998737,
        0.5,
    ],
    "OneCycleLR three": [0.02, 0.116, 0.212, 0.308, 0.404, 0.5],
    "CyclicLR": [0.01, 0.039999999999999994, 0.06999999999999998, 0.1, 0.07750000000000001, 0.054999999999999986],
    "CyclicLR 2": [0.01, 0.05500000000000001, 0.1, 0.05500000000000001, 0.01, 0.0325],
    "CyclicLR exp": [0.01, 0.05050000000000001, 0.0829, 0.04280500000000001, 0.01, 0.03657205000000001],
    "CyclicLR function": [0.01, 0.05050000000000001, 0.0829, 0.04280500000000001, 0.01, 0.03657205000000001],
    "SequentialLR": [0.010000000000000002, 0.04, 0.07, 0.1, 0.09330127018922195, 0.07500000000000001],
    "ChainedScheduler": [
        0.010000000000000002,
        0.009000000000000003,
        0.08100000000000003,
        0.07290000000000003,
        0.06561000000000003,
        0.059049000000000025,
    ],
    "SequentialLR of chained": [
        0.09000000000000001,
        0.08100000000000002,
        0.007290000000000001,
        0.006561000000000002,
        0.03333333333333333,
        0.04666666666666667,
    ],
}


def optimizer(name="SGD"):
    groups = [{"params": [Tensor([1.0], requires_grad=True)]}, {"params": [Tensor([2.0], requires_grad=True)], "lr": 0.05}]
    return getattr(optim, name)(groups, lr=0.1, **({"momentum": 0.9} if name == "SGD" else {}))


def torch_optimizer(torch, name="SGD"):
    groups = [{"params": [torch.ones(1, requires_grad=True)]}, {"params": [torch.ones(1, requires_grad=True)], "lr": 0.05}]
    return getattr(torch.optim, name)(groups, lr=0.1, **({"momentum": 0.9} if name == "SGD" else {}))


def rates(scheduler, opt, epochs=EPOCHS):
    found = []
    for _ in range(epochs):
        found.append(([g["lr"] for g in opt.param_groups], scheduler.get_last_lr(), momenta(opt)))
        opt.step()
        scheduler.step()
    return found


def momenta(opt):
    return [g.get("momentum", g.get("betas")) for g in opt.param_groups]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", CASES)
def test_pytorch_gives_the_same_numbers(name, kind):
    torch = pytest.importorskip("torch")
    mine, theirs = optimizer(kind), torch_optimizer(torch, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = CASES[name](ours, mine), CASES[name](torch.optim.lr_scheduler, theirs)
        assert rates(a, mine) == rates(b, theirs)  # bit for bit
        assert a.state_dict() == b.state_dict()
        for key in ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"):
            assert [g.get(key) for g in mine.param_groups] == [g.get(key) for g in theirs.param_groups]


@pytest.mark.parametrize("options", [{}, {"mode": "max", "threshold_mode": "abs"}, {"cooldown": 2, "min_lr": [0.02, 0.001]}])
def test_plateaus(options):
    torch = pytest.importorskip("torch")
    mine, theirs = optimizer(), torch_optimizer(torch)
    a = ours.ReduceLROnPlateau(mine, patience=1, factor=0.5, **options)
    b = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, patience=1, factor=0.5, **options)
    for k in range(20):
        metric = [1.0, 0.9, 0.9, 0.95, 0.89999][k % 5] - 0.01 * (k // 10)
        a.step(Tensor(metric) if k % 2 else metric)
        b.step(torch.tensor(metric) if k % 2 else metric)
        assert a.get_last_lr() == b.get_last_lr()
    assert a.state_dict() == b.state_dict()


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_numbers(name):
    opt = optimizer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rates(CASES[name](ours, opt), opt, 6)
    np.testing.assert_allclose([lrs[0] for lrs, _, _ in found], RECORDED[name], rtol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_a_scheduler_goes_on_from_its_state_dict(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opt = optimizer()
        whole = rates(CASES[name](ours, opt), opt, 10)
        first = optimizer()
        begun = CASES[name](ours, first)
        rates(begun, first, 4)
        second = optimizer()
        resumed = CASES[name](ours, second)
        second.load_state_dict(first.state_dict())
        resumed.load_state_dict(begun.state_dict())
        assert rates(resumed, second, 6) == whole[4:]


def test_the_order_of_calls():
    opt = optimizer()
    scheduler = ours.ExponentialLR(opt, 0.9)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    opt = optimizer()
    opt.step()  # before anybody watched
    scheduler = ours.ExponentialLR(opt, 0.9)
    with pytest.warns(UserWarning, match="before"):
        scheduler.step()
    opt = optimizer()
    scheduler = ours.ExponentialLR(opt, 0.9)
    opt.step()
    scheduler.step()  # warnings are errors here
    scheduler.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(5)
    assert scheduler.get_last_lr()[0] == 0.1 * 0.9**5


def test_a_rate_that_is_a_tensor_stays_one():
    rate = Tensor(0.5)
    opt = optim.SGD([Tensor([1.0], requires_grad=True)], lr=rate)
    scheduler = ours.ExponentialLR(opt, 0.5)
    opt.step()
    scheduler.step()
    assert opt.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25
    assert scheduler.base_lrs[0].item() == 0.5


def test_schedules_of_ones_own():
    class Sawtooth(ours.LRScheduler):
        def get_lr(self):
            return [base * (1 + self.last_epoch % 2) for base in self.base_lrs]

    opt = optimizer()
    assert [lrs[0] for lrs, _, _ in rates(Sawtooth(opt), opt, 3)] == [0.1, 0.2, 0.1]


def test_fractions_of_epochs():
    torch = pytest.importorskip("torch")
    mine, theirs = optimizer(), torch_optimizer(torch)
    a = ours.CosineAnnealingWarmRestarts(mine, 2, 3)
    b = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(theirs, 2, 3)
    for k in range(40):
        a.step(k / 4)
        b.step(k / 4)
        assert a.get_last_lr() == b.get_last_lr()
    with pytest.raises(ValueError, match="non-negative epoch, but got -1"):
        a.step(-1)


def test_going_on_at_a_later_epoch():
    torch = pytest.importorskip("torch")
    made = []
    for module, opt in [(ours, optimizer()), (torch.optim.lr_scheduler, torch_optimizer(torch))]:
        with pytest.raises(KeyError, match=r"'initial_lr' is not specified in param_groups\[0\]"):
            module.CosineAnnealingLR(opt, 5, last_epoch=2)
        for group in opt.param_groups:
            group["initial_lr"] = 2 * group["lr"]
        made.append(rates(module.CosineAnnealingLR(opt, 5, last_epoch=2), opt, 5))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda o: ours.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (lambda o: ours.ConstantLR(o, 1.5), ValueError, "between 0 and 1"),
        (lambda o: ours.LinearLR(o, 0.0), ValueError, "greater than 0"),
        (lambda o: ours.LinearLR(o, 0.5, 2.0), ValueError, "Ending multiplicative factor"),
        (lambda o: ours.LambdaLR(o, [len]), ValueError, "Expected 2 lr_lambdas, but got 1"),
        (lambda o: ours.MultiplicativeLR(o, 0.5), TypeError, "should be a function, but got float"),
        (lambda o: ours.OneCycleLR(o, 0.1), ValueError, "either total_steps OR"),
        (lambda o: ours.OneCycleLR(o, 0.1, total_steps=0), ValueError, "positive integer total_steps, but got 0"),
        (lambda o: ours.OneCycleLR(o, 0.1, epochs=2, steps_per_epoch=1.5), ValueError, "steps_per_epoch, but got 1.5"),
        (lambda o: ours.OneCycleLR(o, 0.1, 10, pct_start=2.0), ValueError, "between 0 and 1 pct_start"),
        (lambda o: ours.OneCycleLR(o, 0.1, 10, anneal_strategy="no"), ValueError, "one of 'cos' or 'linear', instead got no"),
        (lambda o: ours.OneCycleLR(o, [0.1], 10), ValueError, "max_lr has 1 values, param_groups has 2"),
        (lambda o: ours.CyclicLR(o, 0.1, 0.2, mode="no"), ValueError, "mode is invalid and scale_fn is None"),
        (lambda o: ours.CosineAnnealingWarmRestarts(o, 0), ValueError, "positive integer T_0, but got 0"),
        (lambda o: ours.CosineAnnealingWarmRestarts(o, 1, 0.5), ValueError, "T_mult >= 1, but got 0.5"),
        (lambda o: ours.CosineAnnealingWarmRestarts(o, 1, eta_min="0"), ValueError, "float or int eta_min"),
        (lambda o: ours.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
        (lambda o: ours.SequentialLR(o, [ours.StepLR(o, 1)], [1]), ValueError, "one more than the number of milestone"),
        (lambda o: ours.SequentialLR(o, [ours.StepLR(optimizer(), 1)], []), ValueError, "belong to the same optimizer"),
        (lambda o: ours.ChainedScheduler([ours.ReduceLROnPlateau(o)]), ValueError, "does not support `ReduceLROnPlateau`"),
        (lambda o: ours.ChainedScheduler([3]), TypeError, "at index 0 should have `optimizer`"),
        (lambda o: ours.ReduceLROnPlateau(o, factor=1.0), ValueError, "should be < 1.0"),
        (lambda o: ours.ReduceLROnPlateau(o, mode="least"), ValueError, "mode least is unknown"),
        (lambda o: ours.ReduceLROnPlateau(o, threshold_mode="no"), ValueError, "threshold mode no is unknown"),
        (lambda o: ours.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "expected 2 min_lrs, got 1"),
    ],
)
def test_what_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make(optimizer())


def test_momentum_needs_an_optimizer_that_has_it():
    plain = optim.Adagrad([Tensor([1.0], requires_grad=True)])
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        ours.OneCycleLR(plain, 0.1, 10)
    scheduler = ours.OneCycleLR(plain, 0.1, 2, cycle_momentum=False)
    plain.step()
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match=r"Tried to step 3 times\. The specified number of total steps is 2"):
        scheduler.step()


def test_a_group_added_later():
    opt = optimizer()
    scheduler = ours.ReduceLROnPlateau(opt, patience=0, min_lr=[0.01, 0.02])
    opt.add_param_group({"params": Tensor([3.0], requires_grad=True)})
    scheduler.step(1.0)
    with pytest.raises(RuntimeError, match=r"param groups in the `optimizer` \(3\) differs .* \(2\)"):
        scheduler.step(2.0)
    np.testing.assert_array_equal([g["lr"] for g in opt.param_groups], [0.1, 0.05, 0.1])
