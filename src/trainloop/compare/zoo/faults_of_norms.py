"""Faults of batch norm."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainloop.compare.zoo.fault import UNKNOWN, Fault
from trainloop.compare.zoo.faults_of_convolutions import modelled, ruled
from trainloop.compare.zoo.nets import cnn

NORM = "rules.norm"
FAULTS: tuple[Fault, ...] = (
    ruled(
        "batch norm: the variance that normalizes is unbiased",
        "forward",
        r"activation of norm1",
        NORM,
        ((".square().mean(axes, keepdim=True)", ".var(axes, keepdim=True)"), ("var = (input - mean)", "var = input")),
        ("batch-norm variance unbiased where it normalizes",),
        within="statistics",
    ),
    ruled(
        "batch norm: eps outside the root",
        "forward",
        r"activation of norm1",
        NORM,
        (("(var + eps).rsqrt()", "1 / (var.sqrt() + eps)"),),
        ("batch-norm eps outside the square root",),
        within="statistics",
    ),
    ruled(
        "batch norm: the running variance is biased",
        "forward",
        r"norm1\.running_var",
        NORM,
        ((" * (num_values / (num_values - 1))", ""),),
        ("batch-norm running variance biased",),
        within="update_running",
    ),
    ruled(
        "batch norm: momentum weighs the old value",
        "forward",
        r"norm1\.running_mean",
        NORM,
        (
            ("(1 - momentum) * running_mean + momentum * mean", "momentum * running_mean + (1 - momentum) * mean"),
            (
                "(1 - momentum) * running_var + momentum * unbiased",
                "momentum * running_var + (1 - momentum) * unbiased",
            ),
        ),
        ("batch-norm momentum of the other convention (1 − momentum)",),
        within="update_running",
    ),
    ruled(
        "batch norm: nothing flows by way of the variance",
        "backward",
        r"grad of conv1\.(weight|bias)",
        NORM,
        ((" - normalized * (h * normalized).mean(axes, keepdim=True)", ""),),
        ("batch-norm gradient without the variance's part",),
        within="normalization_vjp",
    ),
    ruled(
        "batch norm: nothing flows by way of the mean",
        "backward",
        r"grad of conv1\.(weight|bias)",
        NORM,
        (("h - h.mean(axes, keepdim=True) - normalized", "h - normalized"),),
        ("batch-norm gradient without the mean's part",),
        within="normalization_vjp",
    ),
    ruled(
        "batch norm: grad_weight without x̂",
        "backward",
        r"grad of norm1\.weight",
        NORM,
        (("(grad_output * normalized).sum(axes)", "grad_output.sum(axes)"),),
        UNKNOWN,
        within="batch_norm_vjp",
    ),
    modelled(
        "batch norm: another momentum",
        "forward",
        r"norm1\.running_mean",
        cnn,
        lambda: _with_norm(momentum=0.3),
        UNKNOWN,
    ),
    modelled("batch norm: another eps", "forward", r"activation of norm1", cnn, lambda: _with_norm(eps=1e-3), UNKNOWN),
    modelled(
        "batch norm: by the running statistics",
        "forward",
        r"activation of norm1",
        cnn,
        lambda: _frozen(cnn()),
        ("batch-norm in eval mode (running statistics used)",),
    ),
)


def _with_norm(**settings: float) -> nn.Module:
    net = cnn()
    net.norm1 = nn.BatchNorm2d(4, **settings)  # type: ignore[arg-type]
    return net


class FrozenNorm(nn.BatchNorm2d):
    """A norm that never takes the batch's statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize as in eval mode."""
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, self.eps)


def _frozen(net: nn.Sequential) -> nn.Module:
    net.norm1 = FrozenNorm(4)
    return net
