"""Initial values: their distributions, by moments and Kolmogorov-Smirnov tests of fixed draws, and PyTorch's errors."""

import math

import numpy as np
import pytest
from scipy import stats

import tracegrad.eager as tg
from tracegrad.eager import nn
from tracegrad.eager.nn import init


def drawn(fill, *shape, dtype=None, **settings):
    tg.manual_seed(11)
    x = tg.zeros(*shape, dtype=dtype or tg.float32)
    assert fill(x, **settings) is x
    assert x.dtype == (dtype or tg.float32)
    return x.numpy().ravel().astype(float)


def follows(values, distribution):
    """Whether so many draws could come from a distribution; the draws are fixed, so this never changes."""
    return stats.kstest(values, distribution.cdf).pvalue > 1e-3


def uniform(bound):
    return stats.uniform(-bound, 2 * bound)


CASES = {
    "uniform_": (init.uniform_, (40, 50), {"a": -1.0, "b": 3.0}, stats.uniform(-1, 4)),
    "normal_": (init.normal_, (40, 50), {"mean": 2.0, "std": 0.5}, stats.norm(2, 0.5)),
    "trunc_normal_": (init.trunc_normal_, (40, 50), {"std": 2.0}, stats.truncnorm(-1, 1, scale=2)),
    "trunc_normal_, upper tail": (
        init.trunc_normal_,
        (40, 50),
        {"a": 1.5, "b": 9.0},
        stats.truncnorm(1.5, 9),
    ),
    "xavier_uniform_": (init.xavier_uniform_, (40, 10, 5), {"gain": 2.0}, uniform(2 * math.sqrt(6 / 250))),
    "xavier_normal_": (init.xavier_normal_, (40, 60), {}, stats.norm(0, math.sqrt(2 / 100))),
    "kaiming_uniform_": (init.kaiming_uniform_, (40, 60), {"a": math.sqrt(5)}, uniform(1 / math.sqrt(60))),
    "kaiming_uniform_, relu": (
        init.kaiming_uniform_,
        (40, 10, 5),
        {"mode": "fan_out", "nonlinearity": "relu"},
        uniform(math.sqrt(6 / 200)),
    ),
    "kaiming_normal_": (init.kaiming_normal_, (40, 60), {}, stats.norm(0, math.sqrt(2 / 60))),
}


@pytest.mark.parametrize("name", CASES)
def test_distribution(name):
    fill, shape, settings, distribution = CASES[name]
    values = drawn(fill, *shape, **settings)
    assert follows(values, distribution)
    low, high = distribution.support()
    assert values.min() >= np.float32(low)
    assert values.max() <= np.float32(high)
    assert drawn(fill, *shape, dtype=tg.float64, **settings).shape == values.shape


def test_far_tails_are_drawn_from():
    with pytest.warns(UserWarning, match="mean is more than 2 std"):
        values = drawn(init.trunc_normal_, 2000, dtype=tg.float64, a=12.0, b=20.0)
    assert follows(values, stats.truncnorm(12, 20))


def test_draws_follow_the_seed_and_the_generator():
    first = drawn(init.normal_, 5)
    assert drawn(init.normal_, 5).tolist() == first.tolist()
    generator = tg.Generator().manual_seed(3)
    x = init.normal_(tg.zeros(4), generator=generator)
    assert x.tolist() == init.normal_(tg.zeros(4), generator=generator.manual_seed(3)).tolist()


def test_constants():
    assert init.constant_(tg.zeros(2), 0.5).tolist() == [0.5, 0.5]
    assert init.ones_(tg.zeros(2)).tolist() == [1.0, 1.0]
    assert init.zeros_(tg.ones(2)).tolist() == [0.0, 0.0]
    assert init.eye_(tg.ones(2, 3)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    p = nn.Parameter(tg.ones(2))
    assert init.constant_(p, 3.0) is p
    assert p.is_leaf
    assert p.requires_grad


def test_dirac():
    w = init.dirac_(tg.zeros(4, 2, 3, 3), groups=2)
    x = tg.randn(1, 4, 5, 5)
    assert nn.functional.conv2d(x, w, padding=1, groups=2).tolist() == x.tolist()
    assert init.dirac_(tg.zeros(2, 3, 5)).numpy()[:, :, 2].tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (3, 2, 4)])
def test_orthogonal(shape):
    w = drawn(init.orthogonal_, *shape, dtype=tg.float64, gain=2.0).reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(min(w.shape)), atol=1e-12)


def test_orthogonal_reaches_both_orientations():
    tg.manual_seed(0)
    signs = {np.sign(np.linalg.det(init.orthogonal_(tg.zeros(3, 3)).numpy())) for _ in range(20)}
    assert signs == {-1.0, 1.0}


def test_sparse():
    w = drawn(init.sparse_, 10, 200, sparsity=0.25, std=0.1).reshape(10, 200)
    assert ((w == 0).sum(axis=0) == 3).all()
    assert follows(w[w != 0], stats.norm(0, 0.1))
    assert len({tuple(np.flatnonzero(column == 0)) for column in w.T}) > 50


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("conv2d") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert init.calculate_gain("selu") == 0.75


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda: init.calculate_gain("gelu"), "Unsupported nonlinearity gelu"),
        (lambda: init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
        (lambda: init.eye_(tg.zeros(2)), "Only tensors with 2 dimensions are supported"),
        (lambda: init.sparse_(tg.zeros(2), 0.5), "Only tensors with 2 dimensions are supported"),
        (lambda: init.dirac_(tg.zeros(2, 2)), "Only tensors with 3, 4, or 5 dimensions are supported"),
        (lambda: init.dirac_(tg.zeros(3, 2, 2), 2), "dim 0 must be divisible by groups"),
        (lambda: init.orthogonal_(tg.zeros(2)), "Only tensors with 2 or more dimensions are supported"),
        (
            lambda: init.xavier_normal_(tg.zeros(2)),
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
        ),
        (
            lambda: init.kaiming_normal_(tg.zeros(2, 2), mode="fan"),
            "Mode fan not supported, please use one of ['fan_in', 'fan_out']",
        ),
    ],
)
def test_errors(act, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        act()
    assert str(error.value) == text


def test_without_elements():
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        init.kaiming_uniform_(tg.zeros(0, 3))
    assert init.orthogonal_(tg.zeros(0, 3)).shape == (0, 3)


# -- what layers start from -------------------------------------------------------------------------------------------


def joined(module, *names):
    tg.manual_seed(5)
    module.reset_parameters()
    return np.concatenate([getattr(module, name).detach().numpy().ravel() for name in names]).astype(float)


STARTS = {
    "Linear": (lambda: nn.Linear(25, 60), ["weight", "bias"], uniform(1 / 5)),
    "Bilinear": (lambda: nn.Bilinear(25, 6, 10), ["weight", "bias"], uniform(1 / 5)),
    "Conv1d": (lambda: nn.Conv1d(10, 40, 5, groups=2), ["weight", "bias"], uniform(1 / 5)),
    "Conv2d": (lambda: nn.Conv2d(4, 40, 5), ["weight", "bias"], uniform(1 / 10)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(40, 4, 5), ["weight", "bias"], uniform(1 / 10)),
    "Embedding": (lambda: nn.Embedding(50, 20), ["weight"], stats.norm()),
    "LSTM": (lambda: nn.LSTM(8, 16), ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"], uniform(1 / 4)),
    "GRUCell": (lambda: nn.GRUCell(8, 16), ["weight_ih", "weight_hh", "bias_hh"], uniform(1 / 4)),
}


@pytest.mark.parametrize("name", STARTS)
def test_layers_start_as_pytorchs(name):
    make, names, distribution = STARTS[name]
    assert follows(joined(make(), *names), distribution)


def test_layers_that_start_from_constants():
    attention = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    assert not attention.in_proj_bias.detach().numpy().any()
    assert not attention.out_proj.bias.detach().numpy().any()
    tg.manual_seed(5)
    wide = nn.MultiheadAttention(32, 2).in_proj_weight.detach().numpy().ravel()
    assert follows(wide.astype(float), uniform(math.sqrt(6 / 128)))
    norm = nn.BatchNorm1d(2)
    assert norm.weight.tolist() == norm.running_var.tolist() == [1.0, 1.0]
    assert norm.bias.tolist() == norm.running_mean.tolist() == [0.0, 0.0]
    assert nn.PReLU(2, init=0.5).weight.tolist() == [0.5, 0.5]
    assert nn.Embedding(3, 2, padding_idx=-1).weight.tolist()[2] == [0.0, 0.0]
