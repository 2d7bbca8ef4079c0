"""The calls that are compared with PyTorch's: each takes ``F`` (either library's functions) and its tensors.

Operands are arrays of float64, which requires grad and is also tried in float32, of integers or of bools.
"""

import numpy as np

RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape).round(3)


def positive(*shape):
    return RNG.uniform(0.1, 2.0, shape).round(3)


def share(*shape):
    return RNG.uniform(0.02, 0.98, shape).round(3)


def signs(*shape):
    return RNG.choice([-1.0, 1.0], shape)


def labels(classes, *shape):
    return RNG.integers(0, classes, shape)


def apart(*shape):
    """Distinct numbers, so that maxima have no ties."""
    return (RNG.permutation(int(np.prod(shape))).reshape(shape) * 0.37 - 2.0).round(3)


X = normal(3, 4)
EDGE = np.array([-30.0, -4.0, -3.5, -2.0, -0.6, -0.4, 0.3, 0.7, 1.2, 2.5, 3.5, 7.0, 25.0])
SIGNAL, IMAGE, VOLUME = normal(2, 4, 7), normal(2, 4, 6, 5), normal(2, 4, 4, 5, 3)
PROBABILITIES = RNG.dirichlet(np.ones(4), 3)

CASES = {}


def case(name, call, *operands):
    assert name not in CASES, name
    CASES[name] = (call, operands)


# -- activations

for name in [
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "softplus",
    "softsign",
    "tanhshrink",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "logsigmoid",
    "sigmoid",
    "tanh",
    "hardshrink",
    "softshrink",
    "rrelu",
]:
    case(name, lambda F, x, name=name: getattr(F, name)(x), EDGE)
case("leaky_relu slope", lambda F, x: F.leaky_relu(x, 0.3), X)
case("elu alpha", lambda F, x: F.elu(x, 0.3), X)
case("celu alpha", lambda F, x: F.celu(x, 0.5), X)
case("gelu tanh", lambda F, x: F.gelu(x, approximate="tanh"), EDGE)
case("softplus beta", lambda F, x: F.softplus(x, 2.0, 3.0), EDGE)
case("hardtanh bounds", lambda F, x: F.hardtanh(x, -0.5, 2.0), EDGE)
case("hardshrink lambda", lambda F, x: F.hardshrink(x, 1.0), EDGE)
case("softshrink lambda", lambda F, x: F.softshrink(x, 1.0), EDGE)
case("threshold", lambda F, x: F.threshold(x, 0.5, 7.0), EDGE)
case("rrelu bounds", lambda F, x: F.rrelu(x, 0.2, 0.6), X)
case("glu", lambda F, x: F.glu(x), X)
case("glu dim", lambda F, x: F.glu(x, 1), IMAGE)
case("prelu", lambda F, x, w: F.prelu(x, w), X, normal(1))
case("prelu channels", lambda F, x, w: F.prelu(x, w), IMAGE, normal(4))
for name in ("softmax", "log_softmax", "softmin"):
    case(name, lambda F, x, name=name: getattr(F, name)(x, dim=-1), X)
    case(f"{name} dim", lambda F, x, name=name: getattr(F, name)(x, dim=1), IMAGE)

# -- linear

for rank in (1, 2, 3):
    x = normal(2, 3, 4)[(0,) * (3 - rank)]
    case(f"linear {rank}d", lambda F, x, w: F.linear(x, w), x, normal(5, 4))
    case(f"linear {rank}d bias", lambda F, x, w, b: F.linear(x, w, b), x, normal(5, 4), normal(5))
case("bilinear", lambda F, x, y, w: F.bilinear(x, y, w), normal(3, 4), normal(3, 2), normal(5, 4, 2))
case("bilinear bias", lambda F, x, y, w, b: F.bilinear(x, y, w, b), X, normal(3, 2), normal(5, 4, 2), normal(5))

# -- convolutions

case("conv1d", lambda F, x, w, b: F.conv1d(x, w, b), SIGNAL, normal(3, 4, 3), normal(3))
case("conv1d all", lambda F, x, w: F.conv1d(x, w, None, 2, 3, 2, 2), SIGNAL, normal(6, 2, 3))
case("conv1d one", lambda F, x, w: F.conv1d(x, w), normal(4, 7), normal(3, 4, 2))
case("conv1d same", lambda F, x, w: F.conv1d(x, w, padding="same", dilation=3), SIGNAL, normal(3, 4, 3))
case("conv2d", lambda F, x, w, b: F.conv2d(x, w, b), IMAGE, normal(3, 4, 3, 2), normal(3))
case("conv2d all", lambda F, x, w, b: F.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), 2), IMAGE, normal(6, 2, 3, 2), normal(6))
case("conv2d depthwise", lambda F, x, w: F.conv2d(x, w, groups=4, padding=1), IMAGE, normal(8, 1, 3, 3))
case("conv2d same", lambda F, x, w: F.conv2d(x, w, padding="same"), IMAGE, normal(3, 4, 3, 3))
case("conv2d valid", lambda F, x, w: F.conv2d(x, w, padding="valid", stride=2), IMAGE, normal(3, 4, 3, 3))
case("conv2d one", lambda F, x, w: F.conv2d(x, w), normal(4, 6, 5), normal(3, 4, 2, 2))
case("conv3d", lambda F, x, w, b: F.conv3d(x, w, b), VOLUME, normal(3, 4, 2, 3, 2), normal(3))
case("conv3d all", lambda F, x, w: F.conv3d(x, w, None, (2, 1, 2), (1, 0, 2), (2, 1, 1), 2), VOLUME, normal(6, 2, 2, 2, 3))
case("conv_transpose1d", lambda F, x, w, b: F.conv_transpose1d(x, w, b, 2, 1, 1), SIGNAL, normal(4, 3, 3), normal(3))
case("conv_transpose1d all", lambda F, x, w: F.conv_transpose1d(x, w, None, 1, 0, 1, 2, 2), SIGNAL, normal(4, 3, 3))
case("conv_transpose2d", lambda F, x, w, b: F.conv_transpose2d(x, w, b), IMAGE, normal(4, 3, 3, 2), normal(3))
case(
    "conv_transpose2d all",
    lambda F, x, w, b: F.conv_transpose2d(x, w, b, (2, 3), (1, 0), (1, 2), 2, (1, 2)),
    IMAGE,
    normal(4, 3, 3, 2),
    normal(6),
)
case("conv_transpose2d one", lambda F, x, w: F.conv_transpose2d(x, w, stride=2), normal(4, 3, 2), normal(4, 3, 2, 2))
case("conv_transpose3d", lambda F, x, w, b: F.conv_transpose3d(x, w, b), VOLUME, normal(4, 3, 2, 2, 2), normal(3))
case(
    "conv_transpose3d all",
    lambda F, x, w: F.conv_transpose3d(x, w, None, (2, 2, 1), (1, 0, 1), (1, 1, 0), 2, (1, 1, 2)),
    VOLUME,
    normal(4, 2, 3, 2, 2),
)
case("unfold", lambda F, x: F.unfold(x, (3, 2), (1, 2), (1, 0), (2, 1)), IMAGE)
case("unfold one", lambda F, x: F.unfold(x, 2), IMAGE[0])
case("fold", lambda F, x: F.fold(x, (6, 5), (3, 2), (1, 2), (1, 0), (2, 1)), normal(2, 12, 9))
case("fold one", lambda F, x: F.fold(x, (3, 4), 2), normal(8, 6))

# -- pooling

case("max_pool1d", lambda F, x: F.max_pool1d(x, 3, 2, 1), apart(2, 4, 7))
case("max_pool1d one", lambda F, x: F.max_pool1d(x, 2), apart(4, 7))
case("max_pool2d", lambda F, x: F.max_pool2d(x, 2), apart(2, 3, 6, 5))
case("max_pool2d all", lambda F, x: F.max_pool2d(x, (3, 2), (2, 1), (1, 1), (1, 2)), apart(2, 3, 6, 5))
case("max_pool2d ceil", lambda F, x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), apart(2, 3, 6, 7))
case("max_pool2d ties", lambda F, x: F.max_pool2d(x, 2, 1), np.round(apart(2, 3, 6, 5) / 9))
case("max_pool3d", lambda F, x: F.max_pool3d(x, 2, 1, 1), apart(1, 2, 3, 4, 3))
case("avg_pool1d", lambda F, x: F.avg_pool1d(x, 3, 2, 1), SIGNAL)
case("avg_pool1d ceil", lambda F, x: F.avg_pool1d(x, 3, 2, 1, True, False), SIGNAL)
case("avg_pool2d", lambda F, x: F.avg_pool2d(x, 2), IMAGE)
case("avg_pool2d uncounted", lambda F, x: F.avg_pool2d(x, (3, 2), (2, 1), 1, False, False), IMAGE)
case("avg_pool2d ceil", lambda F, x: F.avg_pool2d(x, 3, 2, 1, True), IMAGE)
case("avg_pool2d divisor", lambda F, x: F.avg_pool2d(x, 3, 2, 1, True, True, 5), IMAGE)
case("avg_pool3d", lambda F, x: F.avg_pool3d(x, 2, 1, 1, False, False), VOLUME)
case("lp_pool1d", lambda F, x: F.lp_pool1d(x, 3, 2), positive(2, 3, 6))
case("lp_pool2d", lambda F, x: F.lp_pool2d(x, 2, (2, 3), stride=2), positive(2, 3, 6, 5))
for k, x in ((1, SIGNAL), (2, IMAGE), (3, VOLUME)):
    pool = f"adaptive_avg_pool{k}d"
    case(pool, lambda F, x, pool=pool: getattr(F, pool)(x, 3), x)
    case(f"{pool} one", lambda F, x, pool=pool: getattr(F, pool)(x, 1), x)
    pool = f"adaptive_max_pool{k}d"
    case(pool, lambda F, x, pool=pool: getattr(F, pool)(x, 3), apart(*x.shape))
case("adaptive_avg_pool2d none", lambda F, x: F.adaptive_avg_pool2d(x, (None, 2)), IMAGE)
case("adaptive_max_pool2d ties", lambda F, x: F.adaptive_max_pool2d(x, (4, 2)), np.round(apart(2, 3, 6, 5) / 9))

# -- normalisation

MEAN, VARIANCE = normal(4), positive(4)
case("batch_norm", lambda F, x, w, b: F.batch_norm(x, None, None, w, b, True), IMAGE, normal(4), normal(4))
case("batch_norm plain", lambda F, x: F.batch_norm(x, None, None, training=True), normal(5, 4))
case(
    "batch_norm running",
    lambda F, x, m, v, w, b: F.batch_norm(x, m.detach(), v.detach(), w, b, eps=1e-3),
    IMAGE,
    MEAN,
    VARIANCE,
    normal(4),
    normal(4),
)
case("layer_norm", lambda F, x, w, b: F.layer_norm(x, (4,), w, b), X, normal(4), normal(4))
case("layer_norm axes", lambda F, x, w, b: F.layer_norm(x, (6, 5), w, b, 1e-2), IMAGE, normal(6, 5), normal(6, 5))
case("layer_norm plain", lambda F, x: F.layer_norm(x, (3, 4)), X)
case("group_norm", lambda F, x, w, b: F.group_norm(x, 2, w, b), IMAGE, normal(4), normal(4))
case("group_norm plain", lambda F, x: F.group_norm(x, 1), SIGNAL)
case("instance_norm", lambda F, x, w, b: F.instance_norm(x, weight=w, bias=b), IMAGE, normal(4), normal(4))
case("instance_norm plain", lambda F, x: F.instance_norm(x), SIGNAL)
case("rms_norm", lambda F, x, w: F.rms_norm(x, (4,), w), X, normal(4))
case("rms_norm plain", lambda F, x: F.rms_norm(x, (3, 4), eps=0.1), X)
case("local_response_norm", lambda F, x: F.local_response_norm(x, 3, 0.5, 0.6, 2.0), IMAGE)
case("local_response_norm signal", lambda F, x: F.local_response_norm(x, 2, 0.5), SIGNAL)
case("normalize", lambda F, x: F.normalize(x), X)
case("normalize p", lambda F, x: F.normalize(x, p=1.0, dim=0), X)
case("normalize 3", lambda F, x: F.normalize(x, p=3.0, dim=-1), X)

# -- tables, padding

case("embedding", lambda F, w, i: F.embedding(i, w), normal(6, 3), labels(6, 2, 4))
case("embedding padding", lambda F, w, i: F.embedding(i, w, padding_idx=-4), normal(6, 3), np.array([0, 2, 2, 5]))
case(
    "embedding frequency",
    lambda F, w, i: F.embedding(i, w, scale_grad_by_freq=True),
    normal(6, 3),
    np.array([0, 2, 2, 5, 2]),
)
case("pad", lambda F, x: F.pad(x, (1, 2)), X)
case("pad value", lambda F, x: F.pad(x, (1, 2, 0, 1), value=7.5), IMAGE)
case("pad cut", lambda F, x: F.pad(x, (-1, 2, 1, -2)), IMAGE)
for k, x in ((1, SIGNAL), (2, IMAGE), (3, VOLUME)):
    for mode in ("reflect", "replicate", "circular"):
        case(f"pad {mode} {k}d", lambda F, x, k=k, mode=mode: F.pad(x, (2, 1, 1, 0, 2, 2)[: 2 * k], mode=mode), x)

# -- losses

for r in ("mean", "sum", "none"):
    case(f"cross_entropy {r}", lambda F, x, y, r=r: F.cross_entropy(x, y, reduction=r), X, labels(4, 3))
    case(f"cross_entropy images {r}", lambda F, x, y, r=r: F.cross_entropy(x, y, reduction=r), IMAGE, labels(4, 2, 6, 5))
    case(
        f"cross_entropy options {r}",
        lambda F, x, y, w, r=r: F.cross_entropy(x, y, w.detach(), ignore_index=2, reduction=r, label_smoothing=0.2),
        X,
        np.array([1, 2, 3]),
        positive(4),
    )
    case(
        f"cross_entropy smoothing {r}",
        lambda F, x, y, r=r: F.cross_entropy(x, y, ignore_index=0, reduction=r, label_smoothing=0.2),
        IMAGE,
        labels(4, 2, 6, 5),
    )
    case(
        f"cross_entropy weight {r}",
        lambda F, x, y, w, r=r: F.cross_entropy(x, y, w.detach(), reduction=r),
        X,
        labels(4, 3),
        positive(4),
    )
    case(f"cross_entropy soft {r}", lambda F, x, y, r=r: F.cross_entropy(x, y, reduction=r), X, PROBABILITIES)
    case(
        f"cross_entropy soft options {r}",
        lambda F, x, y, w, r=r: F.cross_entropy(x, y, w.detach(), reduction=r, label_smoothing=0.2),
        X,
        PROBABILITIES,
        positive(4),
    )
    case(f"nll_loss {r}", lambda F, x, y, r=r: F.nll_loss(x, y, reduction=r), X, labels(4, 3))
    case(
        f"nll_loss options {r}",
        lambda F, x, y, w, r=r: F.nll_loss(x, y, w.detach(), ignore_index=1, reduction=r),
        IMAGE,
        labels(4, 2, 6, 5),
        positive(4),
    )
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        case(f"{name} {r}", lambda F, x, y, name=name, r=r: getattr(F, name)(x, y, reduction=r), X, normal(3, 4))
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        case(
            f"{name} weight {r}",
            lambda F, x, y, w, name=name, r=r: getattr(F, name)(x, y, reduction=r, weight=w.detach()),
            X,
            normal(3, 4),
            positive(3, 4),
        )
    case(f"smooth_l1_loss beta {r}", lambda F, x, y, r=r: F.smooth_l1_loss(x, y, reduction=r, beta=0.4), X, normal(3, 4))
    case(f"huber_loss delta {r}", lambda F, x, y, r=r: F.huber_loss(x, y, r, 0.4), X, normal(3, 4))
    case(
        f"binary_cross_entropy {r}",
        lambda F, x, y, r=r: F.binary_cross_entropy(x, y, reduction=r),
        share(3, 4),
        share(3, 4),
    )
    case(
        f"binary_cross_entropy weight {r}",
        lambda F, x, y, w, r=r: F.binary_cross_entropy(x, y.detach(), w.detach(), reduction=r),
        share(3, 4),
        share(3, 4),
        positive(4),
    )
    case(
        f"binary_cross_entropy_with_logits {r}",
        lambda F, x, y, r=r: F.binary_cross_entropy_with_logits(x, y, reduction=r),
        X,
        share(3, 4),
    )
    case(
        f"binary_cross_entropy_with_logits options {r}",
        lambda F, x, y, w, p, r=r: F.binary_cross_entropy_with_logits(
            x, y.detach(), w.detach(), reduction=r, pos_weight=p.detach()
        ),
        X,
        share(3, 4),
        positive(3, 4),
        positive(4),
    )
    case(
        f"kl_div log {r}",
        lambda F, x, y, r=r: F.kl_div(x, y, reduction=r, log_target=True),
        np.log(share(3, 4)),
        np.log(share(3, 4)),
    )
    case(f"kl_div {r}", lambda F, x, y, r=r: F.kl_div(x, y, reduction=r), np.log(share(3, 4)), share(3, 4))
    case(
        f"poisson_nll_loss {r}",
        lambda F, x, y, r=r: F.poisson_nll_loss(x, y.detach(), full=True, reduction=r),
        X,
        np.array([[0.0, 1.0, 2.0, 5.0]] * 3),
    )
    case(
        f"poisson_nll_loss rates {r}",
        lambda F, x, y, r=r: F.poisson_nll_loss(x, y, log_input=False, reduction=r),
        positive(3, 4),
        positive(3, 4),
    )
    case(
        f"gaussian_nll_loss {r}",
        lambda F, x, y, v, r=r: F.gaussian_nll_loss(x, y, v, full=True, reduction=r),
        X,
        normal(3, 4),
        np.array([[0.5], [1e-9], [2.0]]),
    )
    case(
        f"soft_margin_loss {r}",
        lambda F, x, y, r=r: F.soft_margin_loss(x, y.detach(), reduction=r),
        X,
        signs(3, 4),
    )
    case(
        f"multilabel_soft_margin_loss {r}",
        lambda F, x, y, w, r=r: F.multilabel_soft_margin_loss(x, y, w.detach(), reduction=r),
        X,
        signs(3, 4) / 2 + 0.5,
        positive(4),
    )
    case(
        f"multi_margin_loss {r}",
        lambda F, x, y, w, r=r: F.multi_margin_loss(x, y, 2, 0.7, w.detach(), reduction=r),
        X,
        labels(4, 3),
        positive(4),
    )
    case(
        f"hinge_embedding_loss {r}",
        lambda F, x, y, r=r: F.hinge_embedding_loss(x, y.detach(), reduction=r),
        X,
        signs(3, 4),
    )
    case(
        f"margin_ranking_loss {r}",
        lambda F, x, y, t, r=r: F.margin_ranking_loss(x, y, t.detach(), 0.3, reduction=r),
        normal(6),
        normal(6),
        signs(6),
    )
    case(
        f"cosine_embedding_loss {r}",
        lambda F, x, y, t, r=r: F.cosine_embedding_loss(x, y, t, -0.2, reduction=r),
        X,
        normal(3, 4),
        np.array([1, -1, 1]),
    )
    case(
        f"triplet_margin_loss {r}",
        lambda F, x, y, z, r=r: F.triplet_margin_loss(x, y, z, swap=True, reduction=r),
        X,
        normal(3, 4),
        normal(3, 4),
    )
    case(
        f"triplet_margin_with_distance_loss {r}",
        lambda F, x, y, z, r=r: F.triplet_margin_with_distance_loss(x, y, z, reduction=r),
        X,
        normal(3, 4),
        normal(3, 4),
    )
case("cross_entropy one", lambda F, x, y: F.cross_entropy(x, y), normal(4), np.array(2))
case("kl_div batchmean", lambda F, x, y: F.kl_div(x, y, reduction="batchmean"), np.log(share(3, 4)), share(3, 4))
case("smooth_l1_loss beta 0", lambda F, x, y: F.smooth_l1_loss(x, y, beta=0.0), X, normal(3, 4))
case("multi_margin_loss p 1", lambda F, x, y: F.multi_margin_loss(x, y), X, labels(4, 3))
case(
    "multilabel_margin_loss",
    lambda F, x, y: F.multilabel_margin_loss(x, y),
    X,
    np.array([[3, 0, -1, 1], [-1, 0, 0, 0], [1, 2, 3, 0]]),
)
case("multilabel_margin_loss one", lambda F, x, y: F.multilabel_margin_loss(x, y), X[0], np.array([2, -1, 3, 0]))
case("gaussian_nll_loss wide", lambda F, x, y, v: F.gaussian_nll_loss(x, y, v), X, normal(3, 4), positive(3))

# -- distances, attention, images

case("cosine_similarity", lambda F, x, y: F.cosine_similarity(x, y), X, normal(3, 4))
case("cosine_similarity dim", lambda F, x, y: F.cosine_similarity(x, y, dim=0), X, normal(1, 4))
for p in (1.0, 2.0, 3.0, np.inf):
    case(f"pairwise_distance {p}", lambda F, x, y, p=p: F.pairwise_distance(x, y, p, keepdim=True), X, normal(3, 4))
    case(f"pdist {p}", lambda F, x, p=p: F.pdist(x, p), X)
QUERY, KEY, VALUE = normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 2)
case("attention", lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v), QUERY, KEY, VALUE)
case("attention 3d", lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.3), QUERY[0], KEY[0], VALUE[0])
case("attention 2d", lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v), QUERY[0, 0], KEY[0, 0], VALUE[0, 0])
case("attention causal", lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), QUERY, KEY, VALUE)
MASK = RNG.random((5, 6)) < 0.6
MASK[2] = False
case("attention mask", lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), QUERY, KEY, VALUE, MASK)
case(
    "attention added",
    lambda F, q, k, v, m: F.scaled_dot_product_attention(q, k, v, m.detach()),
    QUERY,
    KEY,
    VALUE,
    normal(2, 1, 5, 6),
)
case(
    "attention grouped",
    lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
    normal(2, 4, 5, 3),
    normal(2, 2, 6, 3),
    normal(2, 2, 6, 3),
)
for mode in ("nearest", "nearest-exact", "area"):
    case(f"interpolate {mode} signal", lambda F, x, mode=mode: F.interpolate(x, 9, mode=mode), SIGNAL)
    case(f"interpolate {mode}", lambda F, x, mode=mode: F.interpolate(x, scale_factor=(1.7, 0.6), mode=mode), IMAGE)
    case(f"interpolate {mode} volume", lambda F, x, mode=mode: F.interpolate(x, (3, 7, 5), mode=mode), VOLUME)
for mode, x in (("linear", SIGNAL), ("bilinear", IMAGE), ("bicubic", IMAGE), ("trilinear", VOLUME)):
    case(f"interpolate {mode}", lambda F, x, mode=mode: F.interpolate(x, scale_factor=1.7, mode=mode), x)
    case(f"interpolate {mode} size", lambda F, x, mode=mode: F.interpolate(x, (8, 3, 5)[: x.ndim - 2], mode=mode), x)
    case(
        f"interpolate {mode} corners",
        lambda F, x, mode=mode: F.interpolate(x, (8, 3, 5)[: x.ndim - 2], mode=mode, align_corners=True),
        x,
    )
    case(
        f"interpolate {mode} recomputed",
        lambda F, x, mode=mode: F.interpolate(x, scale_factor=1.7, mode=mode, recompute_scale_factor=True),
        x,
    )
case("pixel_shuffle", lambda F, x: F.pixel_shuffle(x, 2), IMAGE)
case("pixel_unshuffle", lambda F, x: F.pixel_unshuffle(x, 3), normal(2, 6, 9))
case("channel_shuffle", lambda F, x: F.channel_shuffle(x, 2), IMAGE)

ROUNDED = {"hardsigmoid"}
"""Where PyTorch computes float64 with a constant in float32: 1/6."""


def run(name, functions, make, grad, dtype):
    """Value, gradients of float operands (None where there is none) and grad_fn name of a case, in either library."""
    call, operands = CASES[name]
    tensors = [make(a.astype(dtype) if a.dtype.kind == "f" else a) for a in operands]
    wrt = [t.requires_grad_() for t, a in zip(tensors, operands, strict=True) if a.dtype.kind == "f"]
    out = call(functions, *tensors)
    g = np.cos(np.arange(int(np.prod(out.shape)))).reshape(tuple(out.shape)).astype(dtype)
    found = grad(out, wrt, make(g), create_graph=True, allow_unused=True)
    return out, found, out.grad_fn.name().split("::")[-1], wrt
