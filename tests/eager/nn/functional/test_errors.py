"""Bad input: the kind of error, PyTorch's words, both shapes, and what to write instead."""

import pytest

from tracegrad import eager as torch
from tracegrad.eager.nn import functional as F
from tracegrad.errors import DtypeError, ShapeError


def zeros(*shape, dtype=None):
    return torch.zeros(*shape, dtype=dtype)


LABELS = torch.tensor([0, 1, 2])

CALLS = {
    "groups and channels": (
        lambda: F.conv2d(zeros(1, 1, 28, 28), zeros(6, 3, 5, 5)),
        ShapeError,
        r"weight of size \[6, 3, 5, 5\], expected input\[1, 1, 28, 28\] to have 3 channels, but got 1 channels instead",
    ),
    "transposed channels": (
        lambda: F.conv_transpose2d(zeros(1, 1, 8, 8), zeros(6, 3, 5, 5)),
        ShapeError,
        r"Given transposed=1, weight of size \[6, 3, 5, 5\], expected input\[1, 1, 8, 8\] to have 6 channels, but got 1",
    ),
    "rank of the input": (
        lambda: F.conv2d(zeros(8, 8), zeros(6, 3, 5, 5)),
        ShapeError,
        r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d, but got input of size: \[8, 8\]",
    ),
    "rank of the weight": (lambda: F.conv1d(zeros(1, 3, 8), zeros(6, 3, 5, 5)), ShapeError, "expected a 3-dimensional weight"),
    "kernel too large": (
        lambda: F.conv2d(zeros(1, 3, 4, 4), zeros(6, 3, 5, 5)),
        ShapeError,
        r"Calculated padded input size per channel: \(4 x 4\). Kernel size: \(5 x 5\). Kernel size can't be greater",
    ),
    "groups": (lambda: F.conv2d(zeros(1, 4, 8, 8), zeros(5, 2, 3, 3), groups=2), ShapeError, "Given groups=2, expected weight"),
    "bias": (
        lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(6, 3, 3, 3), zeros(5)),
        ShapeError,
        r"expected bias to be 1-dimensional with 6 elements, but got bias of size \[5\] instead",
    ),
    "dtype": (
        lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(6, 3, 3, 3, dtype=torch.float64)),
        DtypeError,
        "input is float32, weight is float64",
    ),
    "same": (lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(6, 3, 3, 3), stride=2, padding="same"), ValueError, "strided"),
    "padding word": (lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(6, 3, 3, 3), padding="full"), ValueError, "'valid', 'same'"),
    "stride": (lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(6, 3, 3, 3), stride=(1, 2, 3)), ShapeError, r"stride=\(1, 2, 3\)"),
    "output padding": (
        lambda: F.conv_transpose2d(zeros(1, 6, 8, 8), zeros(6, 3, 3, 3), output_padding=1),
        ShapeError,
        "output padding must be smaller than either stride or dilation",
    ),
    "transposed too small": (
        lambda: F.conv_transpose1d(zeros(1, 6, 2), zeros(6, 3, 2), padding=3),
        ShapeError,
        "Calculated output size per channel",
    ),
    "unfold rank": (lambda: F.unfold(zeros(3, 4), 2), ShapeError, "Expected 3D or 4D"),
    "unfold size": (lambda: F.unfold(zeros(1, 1, 2, 2), 3), ShapeError, "its components must be at least one"),
    "fold taps": (lambda: F.fold(zeros(1, 7, 4), 3, 2), ShapeError, "divisible by the product of kernel_size"),
    "fold blocks": (lambda: F.fold(zeros(1, 8, 5), 3, 2), ShapeError, r"sliding blocks 2 \* 2 = 4, but got input.size\(2\)=5"),
    "linear": (
        lambda: F.linear(zeros(2, 3), zeros(5, 4)),
        ShapeError,
        r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)",
    ),
    "linear bias": (lambda: F.linear(zeros(2, 3), zeros(5, 3), zeros(4)), ShapeError, r"a bias of shape \[4\]"),
    "linear dtype": (lambda: F.linear(zeros(2, 3), zeros(5, 3, dtype=torch.float64)), DtypeError, "weight is float64"),
    "pool rank": (lambda: F.max_pool2d(zeros(3, 4), 2), ShapeError, r"max_pool2d: Expected 3D or 4D input.*\[3, 4\]"),
    "pool padding": (
        lambda: F.max_pool2d(zeros(1, 4, 4), 2, padding=2),
        ShapeError,
        r"pad should be at most half of effective kernel size, but got pad=\(2, 2\), kernel_size=\(2, 2\)",
    ),
    "pool size": (lambda: F.avg_pool2d(zeros(1, 2, 2), 3), ShapeError, "Output size is too small"),
    "pool divisor": (lambda: F.avg_pool2d(zeros(1, 2, 2), 2, divisor_override=0), ValueError, "divisor must be not zero"),
    "adaptive rank": (lambda: F.adaptive_avg_pool2d(zeros(2, 2), 1), ShapeError, "Expected 3D or 4D tensor"),
    "adaptive size": (lambda: F.adaptive_avg_pool2d(zeros(1, 2, 2), (1, 2, 3)), ShapeError, "one per spatial dim"),
    "batch norm of one": (
        lambda: F.batch_norm(zeros(1, 3), None, None, training=True),
        ValueError,
        r"Expected more than 1 value per channel when training, got input size torch.Size\(\[1, 3\]\)",
    ),
    "running mean": (
        lambda: F.batch_norm(zeros(2, 3), zeros(4), zeros(3)),
        ShapeError,
        "running_mean should contain 3 elements not 4",
    ),
    "no running mean": (
        lambda: F.batch_norm(zeros(2, 3), None, None),
        ShapeError,
        "running_mean must be defined in evaluation",
    ),
    "batch norm eps": (
        lambda: F.batch_norm(zeros(2, 3), None, None, training=True, eps=0.0),
        ValueError,
        "eps must be positive",
    ),
    "instance norm of one": (lambda: F.instance_norm(zeros(2, 3, 1)), ValueError, "more than 1 spatial element"),
    "layer norm": (
        lambda: F.layer_norm(zeros(2, 3), [4]),
        ShapeError,
        r"Given normalized_shape=\[4\], expected input with shape \[\*, 4\], but got input of size\[2, 3\]",
    ),
    "layer norm weight": (lambda: F.layer_norm(zeros(2, 3), 3, zeros(2)), ShapeError, "Expected weight to be of same shape"),
    "group norm": (
        lambda: F.group_norm(zeros(2, 3, 4), 2),
        ShapeError,
        r"channels in input to be divisible by num_groups, but got input of shape \[2, 3, 4\] and num_groups=2",
    ),
    "response norm": (lambda: F.local_response_norm(zeros(2, 3), 2), ShapeError, "Expected 3D or higher"),
    "pad length": (lambda: F.pad(zeros(2), (1, 1, 1, 1)), ShapeError, r"4 widths for an input of shape \[2\]"),
    "pad odd": (lambda: F.pad(zeros(2), (1,)), ShapeError, "divisible by 2"),
    "pad reflect": (
        lambda: F.pad(zeros(1, 1, 2), (2, 0), "reflect"),
        ShapeError,
        "less than the corresponding input dimension",
    ),
    "pad circular": (lambda: F.pad(zeros(1, 1, 2), (3, 0), "circular"), ShapeError, "at most the corresponding input"),
    "pad negative": (lambda: F.pad(zeros(1, 1, 2), (-3, 0)), ShapeError, "negative output size"),
    "pad mode": (lambda: F.pad(zeros(1, 1, 2), (1, 0), "symmetric"), NotImplementedError, "Unrecognised padding mode"),
    "pad ranks": (lambda: F.pad(zeros(2, 2), (1, 1, 1, 1), "reflect"), NotImplementedError, "Only 2D, 3D, 4D, 5D padding"),
    "embedding index": (lambda: F.embedding(LABELS, zeros(2, 4)), IndexError, "index out of range in self"),
    "embedding dtype": (lambda: F.embedding(zeros(2), zeros(2, 4)), DtypeError, "scalar types: Long, Int; but got float32"),
    "embedding padding": (lambda: F.embedding(LABELS, zeros(3, 4), 3), ValueError, "Padding_idx must be within num_embeddings"),
    "one_hot dtype": (lambda: F.one_hot(zeros(2)), DtypeError, "LongTensor"),
    "one_hot classes": (lambda: F.one_hot(LABELS, 2), ValueError, "Class values must be smaller than num_classes"),
    "one_hot negative": (lambda: F.one_hot(LABELS - 1), ValueError, "Class values must be non-negative"),
    "dropout": (lambda: F.dropout(zeros(2), 1.5), ValueError, "has to be between 0 and 1, but got 1.5"),
    "dropout1d": (lambda: F.dropout1d(zeros(2)), ShapeError, "Expected 2D or 3D input, but received a 1D input"),
    "batch sizes": (
        lambda: F.cross_entropy(zeros(3, 5), torch.tensor([0, 1, 2, 3])),
        ShapeError,
        r"Expected input batch_size \(3\) to match target batch_size \(4\)",
    ),
    "targets of images": (
        lambda: F.cross_entropy(zeros(2, 3, 4, 4), torch.zeros(2, 4, 5, dtype=torch.int64)),
        ShapeError,
        r"Expected target size \[2, 4, 4\], got \[2, 4, 5\]",
    ),
    "target": (lambda: F.cross_entropy(zeros(3, 2), LABELS), IndexError, "Target 2 is out of bounds"),
    "target dtype": (lambda: F.nll_loss(zeros(3, 4), zeros(3)), DtypeError, "expected scalar type Long but found float32"),
    "probabilities dtype": (
        lambda: F.cross_entropy(zeros(3, 4), torch.zeros(3, 4, dtype=torch.int64)),
        DtypeError,
        "Expected floating point type for target with class probabilities, got int64",
    ),
    "class weight": (
        lambda: F.cross_entropy(zeros(3, 4), LABELS, zeros(3)),
        ShapeError,
        r"for all 4 classes or no classes but got weight tensor of shape: \[3\]",
    ),
    "smoothing": (
        lambda: F.cross_entropy(zeros(3, 4), LABELS, label_smoothing=2.0),
        ValueError,
        "between 0.0 and 1.0. Got: 2.0",
    ),
    "reduction": (
        lambda: F.mse_loss(zeros(2), zeros(2), reduction="avg"),
        ValueError,
        "avg is not a valid value for reduction",
    ),
    "mse sizes": (
        lambda: F.mse_loss(zeros(3, 1), zeros(3)),
        ShapeError,
        r"Using a target size \(\[3\]\) that is different to the input size \(\[3, 1\]\)",
    ),
    "bce range": (
        lambda: F.binary_cross_entropy(torch.tensor([1.5]), zeros(1)),
        ValueError,
        "all elements of input should be between 0 and 1",
    ),
    "bce sizes": (
        lambda: F.binary_cross_entropy_with_logits(zeros(2, 1), zeros(2)),
        ShapeError,
        r"Target size \(\[2\]\) must be the same as input size \(\[2, 1\]\)",
    ),
    "weights": (lambda: F.mse_loss(zeros(2), zeros(2), weight=zeros(3)), ValueError, "must have the same size"),
    "delta": (lambda: F.huber_loss(zeros(2), zeros(2), delta=0.0), ValueError, "non-positive values for delta"),
    "beta": (lambda: F.smooth_l1_loss(zeros(2), zeros(2), beta=-1.0), ValueError, "negative values for beta"),
    "variance": (lambda: F.gaussian_nll_loss(zeros(2), zeros(2), zeros(2) - 1), ValueError, "var has negative entry"),
    "variance size": (lambda: F.gaussian_nll_loss(zeros(2, 3), zeros(2, 3), zeros(4)), ValueError, "var is of incorrect size"),
    "margin order": (lambda: F.multi_margin_loss(zeros(3, 4), LABELS, p=3), ValueError, "only p == 1 and p == 2"),
    "multilabel": (lambda: F.multilabel_margin_loss(zeros(3, 4), LABELS), ShapeError, r"target size: \[3\].*\[3, 4\]"),
    "multilabel class": (lambda: F.multilabel_margin_loss(zeros(3), LABELS + 1), IndexError, "3 classes"),
    "cosine targets": (
        lambda: F.cosine_embedding_loss(zeros(3, 4), zeros(3, 4), LABELS[:2]),
        ShapeError,
        r"target of size \[2\]",
    ),
    "triplet margin": (lambda: F.triplet_margin_loss(zeros(2), zeros(2), zeros(2), margin=0), ValueError, "greater than 0"),
    "triplet ranks": (lambda: F.triplet_margin_loss(zeros(2), zeros(1, 2), zeros(2)), ShapeError, "positive 2D"),
    "cdist": (lambda: F.distance.cdist(zeros(2, 3), zeros(2, 4)), ShapeError, "same number of columns. X1: 3 X2: 4"),
    "pdist": (lambda: F.pdist(zeros(2)), ShapeError, "2D tensors, got: 1D"),
    "mask and causal": (
        lambda: F.scaled_dot_product_attention(*[zeros(2, 2)] * 3, zeros(2, 2), is_causal=True),
        ValueError,
        "Explicit attn_mask should not be set when is_causal=True",
    ),
    "attention sizes": (
        lambda: F.scaled_dot_product_attention(zeros(2, 3), zeros(2, 4), zeros(2, 4)),
        ShapeError,
        r"query \[2, 3\], key \[2, 4\]",
    ),
    "attention dtype": (
        lambda: F.scaled_dot_product_attention(zeros(2, 3), zeros(2, 3), zeros(2, 3, dtype=torch.float64)),
        DtypeError,
        "value.dtype: float64",
    ),
    "attention mask": (
        lambda: F.scaled_dot_product_attention(*[zeros(2, 3)] * 3, torch.zeros(2, 2, dtype=torch.int64)),
        DtypeError,
        "attn_mask dtype to be bool",
    ),
    "interpolate nothing": (lambda: F.interpolate(zeros(1, 1, 2)), ValueError, "either size or scale_factor"),
    "interpolate both": (lambda: F.interpolate(zeros(1, 1, 2), 2, 2.0), ValueError, "only one of size or scale_factor"),
    "interpolate mode": (
        lambda: F.interpolate(zeros(1, 1, 2), 2, mode="bilinear"),
        NotImplementedError,
        "Got 3D input, but bilinear mode needs 4D input",
    ),
    "interpolate corners": (lambda: F.interpolate(zeros(1, 1, 2), 2, align_corners=True), ValueError, "align_corners option"),
    "interpolate sizes": (lambda: F.interpolate(zeros(1, 1, 2), (2, 2)), ShapeError, "same number of spatial dimensions"),
    "interpolate antialias": (
        lambda: F.interpolate(zeros(1, 1, 2, 2), 2, mode="bilinear", antialias=True),
        NotImplementedError,
        "antialias",
    ),
    "pixel shuffle": (lambda: F.pixel_shuffle(zeros(1, 3, 2, 2), 2), ShapeError, r"input.size\(-3\)=3 is not divisible by 4"),
    "pixel unshuffle": (lambda: F.pixel_unshuffle(zeros(1, 3, 3, 2), 2), ShapeError, r"input.size\(-2\)=3"),
    "channel shuffle": (lambda: F.channel_shuffle(zeros(1, 3, 2), 2), ShapeError, "Got 3 channels and 2 groups"),
    "prelu": (
        lambda: F.prelu(zeros(2, 3), zeros(4)),
        ShapeError,
        "Found parameter numbers = 4 and channel size = 3",
    ),
    "glu": (lambda: F.glu(zeros(2, 3)), ShapeError, "Halving dimension must be even, but dimension 1 is size 3"),
    "gelu": (lambda: F.gelu(zeros(2), "fast"), ValueError, '"tanh"'),
    "hardtanh": (lambda: F.hardtanh(zeros(2), 1.0, 0.0), ValueError, "min_val cannot be greater than max_val"),
    "softshrink": (lambda: F.softshrink(zeros(2), -1.0), ValueError, "lambda must be greater or equal to 0"),
    "rrelu": (lambda: F.rrelu(zeros(2), 1.0, 0.5), ValueError, "Lower bound should be less than or equal to"),
}


@pytest.mark.parametrize("name", CALLS)
def test_errors(name):
    call, error, text = CALLS[name]
    with pytest.raises(error, match=text) as caught:
        call()
    if isinstance(caught.value, (ShapeError, DtypeError)):
        assert "Instead: " in str(caught.value)
        assert __file__ in str(caught.value), "the user's line"
