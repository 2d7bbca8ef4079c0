"""Averages of weights over training: equal ones, and exponential ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from tracegrad.eager.device import check_device
from tracegrad.eager.modes import no_grad
from tracegrad.eager.nn.modules.module import Module
from tracegrad.eager.nn.modules.normalisation import _BatchNorm
from tracegrad.eager.optim.optimizer import Optimizer
from tracegrad.eager.optim.schedule import LRScheduler, per_group
from tracegrad.eager.tensor import Tensor, tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Any, Any, Any], Any]
Averages = Callable[[Sequence[Any], Sequence[Any], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The function ``decay · average + (1 - decay) · new`` for :class:`AveragedModel`; ValueError for decays outside 0 … 1.

    >>> get_ema_avg_fn(0.75)(tensor([1.0]), tensor([2.0]), 3)
    tensor([1.2500])
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    @no_grad()
    def ema_update(averaged: Any, new: Any, count: Any) -> Any:
        return decay * averaged + (1 - decay) * new

    return ema_update


def get_swa_avg_fn() -> Average:
    """The function that gives all models the same weight.

    >>> get_swa_avg_fn()(tensor([1.0]), tensor([5.0]), 3)
    tensor([2.])
    """

    @no_grad()
    def swa_update(averaged: Any, new: Any, count: Any) -> Any:
        return averaged + (new - averaged) / (count + 1)

    return swa_update


def _of_many(average: Average) -> Averages:
    """One tensor after the other, integers left as they come."""

    @no_grad()
    def update(averaged: Sequence[Any], new: Sequence[Any], count: Any) -> None:
        for old, value in zip(averaged, new, strict=True):
            old.copy_(average(old, value, count))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """:func:`get_ema_avg_fn` for lists of tensors, which are written to."""
    return _of_many(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Averages:
    """:func:`get_swa_avg_fn` for lists of tensors, which are written to."""
    return _of_many(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose weights are averages of those it is shown.

    Parameters
    ----------
    model: the model to copy.
    device: the CPU, if anything.
    avg_fn: new average of one tensor from average, new value and number of values before; equal weights if None.
    multi_avg_fn: the same for lists of tensors; it writes to the first.
    use_buffers: whether buffers are averaged too, instead of copied.

    Raises ValueError for both functions at once.

    >>> from tracegrad.eager.nn.modules.linear import Linear
    >>> model = Linear(1, 1)
    >>> averaged = AveragedModel(model)
    >>> for value in (1.0, 4.0):
    ...     _ = model.weight.data.fill_(value)
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.item(), averaged.n_averaged
    (2.5, tensor(2))
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("Only one of avg_fn and multi_avg_fn should be provided")
        check_device(device)
        self.module = deepcopy(model)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model gives."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the weights of a model into the average; the first ones are copied."""
        mine, theirs = self._averaged(self.module), self._averaged(model)
        if self.n_averaged.item() == 0:
            for old, new in zip(mine, theirs, strict=True):
                old.copy_(new)
        else:
            update = self.multi_avg_fn or _of_many(self.avg_fn or get_swa_avg_fn())
            update(mine, theirs, self.n_averaged)
        if not self.use_buffers:
            for old, new in zip(self.module.buffers(), model.buffers(), strict=True):
                old.copy_(new)
        self.n_averaged += 1

    def _averaged(self, model: Module) -> list[Any]:
        found = [*model.parameters(), *(model.buffers() if self.use_buffers else ())]
        return [x.detach() for x in found]


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of batch normalisation anew, by one pass over the data.

    Parameters
    ----------
    loader: batches: tensors, or lists and tuples whose first element is the model's input.
    model: the model.
    device: the CPU, if anything.
    """
    check_device(device)
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    for batch in loader:
        model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the rates there are to ``swa_lr``, which is kept.

    Parameters
    ----------
    optimizer, last_epoch: as for :class:`LRScheduler`.
    swa_lr: the rate to go to, one for all groups or one for each.
    anneal_epochs: in how many epochs.
    anneal_strategy: ``"cos"`` or ``"linear"``.

    Raises ValueError for other strategies and epochs that are no number from 0 on.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: Any = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for group, rate in zip(optimizer.param_groups, per_group(optimizer, "swa_lr", swa_lr), strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of the groups at ``last_epoch``."""
        self._check_caller()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            rate, last = group["lr"], group["swa_lr"]
            start = last if before == 1 else (rate - before * last) / (1 - before)
            rates.append(last * now + start * (1 - now))
        return rates

    def _share(self, step: int) -> float:
        """How far along the way this step is."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t
