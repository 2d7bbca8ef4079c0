"""Layers of windows, norms, margins and slopes: recorded from PyTorch, and against it where it is installed."""

import numpy as np
import pytest

import tracegrad.eager as tg

DRAWS = np.random.RandomState(0)
IMAGE = DRAWS.standard_normal((2, 4, 6, 6))
SCORES, OTHERS, THIRDS = DRAWS.standard_normal((3, 3, 5))
WEIGHT = np.array([1.0, 0.5, 2.0, 1.0, 0.25])

CASES = {
    "Fold": (lambda t: t.nn.Fold((4, 5), 2), [IMAGE.reshape(-1)[: 2 * 8 * 12].reshape(2, 8, 12)]),
    "Unfold": (lambda t: t.nn.Unfold((2, 3), padding=1, stride=2), [IMAGE]),
    "LPPool1d": (lambda t: t.nn.LPPool1d(2, 3), [np.abs(IMAGE[0])]),
    "LPPool2d": (lambda t: t.nn.LPPool2d(3, 2, stride=1, ceil_mode=True), [np.abs(IMAGE)]),
    "ChannelShuffle": (lambda t: t.nn.ChannelShuffle(2), [IMAGE]),
    "RReLU": (lambda t: t.nn.RReLU(0.1, 0.5).eval(), [IMAGE]),
    "MultiMarginLoss": (
        lambda t: t.nn.MultiMarginLoss(p=2, margin=0.7, weight=t.tensor(WEIGHT), reduction="sum"),
        [SCORES, np.array([0, 4, 2])],
    ),
    "MultiLabelMarginLoss": (
        lambda t: t.nn.MultiLabelMarginLoss(),
        [SCORES, np.array([[0, 1, -1, 2, 2], [4, -1, 0, 0, 0], [1, 2, 3, -1, 0]])],
    ),
    "MultiLabelSoftMarginLoss": (
        lambda t: t.nn.MultiLabelSoftMarginLoss(weight=t.tensor(WEIGHT)),
        [SCORES, (OTHERS > 0).astype(float)],
    ),
    "TripletMarginWithDistanceLoss": (
        lambda t: t.nn.TripletMarginWithDistanceLoss(margin=2.0, swap=True),
        [SCORES, OTHERS, THIRDS],
    ),
}


def outcome(torch, name):
    """Text, result, gradient and node of a layer."""
    build, arrays = CASES[name]
    layer = build(torch)
    inputs = [torch.tensor(a) for a in arrays]
    inputs[0].requires_grad_()
    y = layer(*inputs)
    (y * y).sum().backward()
    node = y.grad_fn.name()
    return repr(layer), y.detach().numpy(), inputs[0].grad.numpy(), node


RECORDED = {
    "Fold": (
        "Fold(output_size=(4, 5), kernel_size=2, dilation=1, padding=0, stride=1)",
        (2, 2, 4, 5),
        198.68952878900456,
        528.962007616772,
        "Col2ImBackward0",
    ),
    "Unfold": (
        "Unfold(kernel_size=(2, 3), dilation=1, padding=1, stride=2)",
        (2, 24, 12),
        390.85352966501296,
        623.444599710321,
        "Im2ColBackward0",
    ),
    "LPPool1d": (
        "LPPool1d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)",
        (4, 6, 2),
        147.9007514936972,
        238.03859378696484,
        "PowBackward0",
    ),
    "LPPool2d": (
        "LPPool2d(norm_type=3, kernel_size=2, stride=1, ceil_mode=True)",
        (2, 4, 5, 5),
        595.2539113743511,
        852.9724480393589,
        "PowBackward0",
    ),
    "ChannelShuffle": (
        "ChannelShuffle(groups=2)",
        (2, 4, 6, 6),
        289.4632090043285,
        468.4387945212629,
        "ChannelShuffleBackward0",
    ),
    "RReLU": (
        "RReLU(lower=0.1, upper=0.5)",
        (2, 4, 6, 6),
        164.41793424753575,
        259.3761202942176,
        "RreluWithNoiseBackward0",
    ),
    "MultiMarginLoss": (
        "MultiMarginLoss()",
        (),
        134.25411213588654,
        427.63042963689855,
        "MultiMarginLossBackward0",
    ),
    "MultiLabelMarginLoss": (
        "MultiLabelMarginLoss()",
        (),
        0.6192315838486359,
        1.8885904593024243,
        "MultilabelMarginLossBackward0",
    ),
    "MultiLabelSoftMarginLoss": (
        "MultiLabelSoftMarginLoss()",
        (),
        0.9475327312787639,
        1.0944631691995328,
        "MeanBackward0",
    ),
    "TripletMarginWithDistanceLoss": (
        "TripletMarginWithDistanceLoss(\n  (distance_function): PairwiseDistance()\n)",
        (),
        8.479037569000381,
        12.21972078059594,
        "MeanBackward0",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layers_give_the_numbers_recorded_from_pytorch(name):
    text, y, gradient, node = outcome(tg, name)
    wanted_text, shape, total, slope, wanted_node = RECORDED[name]
    assert (text, y.shape, node) == (wanted_text, shape, wanted_node)
    np.testing.assert_allclose([np.square(y).sum(), np.abs(gradient).sum()], [total, slope], rtol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_layers_agree_with_pytorch(name):
    here, there = outcome(tg, name), outcome(pytest.importorskip("torch"), name)
    assert (here[0], here[1].dtype, here[3]) == (there[0], there[1].dtype, there[3])
    np.testing.assert_allclose(here[1], there[1], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(here[2], there[2], rtol=1e-12, atol=1e-15)


def test_draws_of_channels_and_slopes():
    tg.manual_seed(0)
    x = tg.ones(4, 8, 2, 2, 2)
    kept = tg.nn.Dropout3d(0.5)(x).numpy().reshape(32, 8)
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert np.all(kept == kept[:, :1])
    rescaled = tg.nn.FeatureAlphaDropout(0.5)(x).numpy().reshape(32, 8)
    assert len(np.unique(rescaled)) == 2
    assert np.all(rescaled == rescaled[:, :1])
    slopes = -tg.nn.RReLU(0.25, 0.75)(tg.full((1000,), -1.0)).numpy()
    assert slopes.min() >= 0.25
    assert slopes.max() <= 0.75
    assert 0.45 < slopes.mean() < 0.55
    for layer in (tg.nn.Dropout3d(0.5), tg.nn.FeatureAlphaDropout(0.5)):
        assert np.array_equal(layer.eval()(x).numpy(), x.numpy())


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda n: n.MultiMarginLoss(p=3), "only p == 1 and p == 2 supported"),
        (lambda n: n.MultiMarginLoss(weight=tg.ones(2, 2)), "expected weight to be None or 1D tensor, got 2D instead"),
        (lambda n: n.TripletMarginWithDistanceLoss(margin=0), "expected margin to be greater than 0, got 0 instead"),
        (lambda n: n.Dropout3d(2), "dropout probability has to be between 0 and 1, but got 2"),
    ],
)
def test_settings_that_are_refused(build, text):
    with pytest.raises(ValueError, match=text):
        build(tg.nn)
