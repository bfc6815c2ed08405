"""Cross entropy of logits: how surprised the softmax of the logits is by the labels.

With p = softmax(logits) and q the distribution that the labels describe (all of it on one class; spread a little by label
smoothing; or given outright), the loss of one sample is −Σ_k q_k log p_k. Its gradient is why this loss and a softmax belong
together:

    grad_logits = p Σ_k q_k − q,      which for plain labels is p − onehot(label)

Legend: N batch, K classes, D any number of further dimensions; y label, ε label_smoothing, w class weight, g grad_output;
logits_NKD, labels_ND, target_NKD, weight_K. Without a batch: (K,) and ().
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.losses.labels import Labels, check_class_weight, class_dim, weight_over_classes
from trainloop.manual.losses.nll import nll_loss, nll_loss_vjp
from trainloop.manual.losses.reduction import check_reduction, reduce


def cross_entropy(
    logits_NKD: Tensor,
    labels: Tensor,
    weight_K: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the cross entropy between logits and class labels, or class probabilities.

    Labels: l_n = −(1 − ε) w[y_n] log p[n, y_n] − ε/K Σ_k w_k log p[n, k], and 0 where y_n = ignore_index;
    none: l,  sum: Σ l,  mean: Σ l / Σ w[y_n] over the labels that are not ignored (nan if there is none).
    Probabilities t: q = (1 − ε) t + ε/K;  l_n = −Σ_k w_k q[n, k] log p[n, k];  the mean is over the samples.

    Args:
        logits_NKD: shape (K,), (N, K) or (N, K, d1, …), floating point.
        labels: classes from 0 to K − 1, shape (), (N,) or (N, d1, …), int64 or uint8; or probabilities, shape of the logits.
        weight_K: one number for each class, shape (K,).
        ignore_index: a label that counts as none.
        reduction: ``none``, ``mean`` or ``sum``.
        label_smoothing: ε, between 0 and 1.

    Returns:
        The loss, shape (N, D) for ``none``, else ().

    Raises:
        ValueError: a shape does not fit, ε is not between 0 and 1, ignore_index with probabilities, an unknown reduction.
        TypeError: a dtype does not fit.
        IndexError: a label out of range.

    Source: Bishop 2006, equation 4.108; Szegedy et al. 2016, arXiv:1512.00567, section 7 (smoothing);
    ``torch.nn.functional.cross_entropy``.
    """
    check_arguments(logits_NKD, labels, weight_K, ignore_index, reduction, label_smoothing)
    log_probs = torch.log_softmax(logits_NKD, class_dim(logits_NKD))
    return cross_entropy_of_log_probs(log_probs, labels, weight_K, ignore_index, reduction, label_smoothing)


def cross_entropy_of_log_probs(
    log_probs_NKD: Tensor,
    labels: Tensor,
    weight_K: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """Compute the same from log p = log_softmax(logits), which the vjp will want."""
    dim = class_dim(log_probs_NKD)
    if has_probabilities(log_probs_NKD, labels):
        q = soft_labels(log_probs_NKD, labels, weight_K, label_smoothing)
        losses_of_samples = -(q * log_probs_NKD).sum(dim)
        return reduce(losses_of_samples, reduction)
    loss = nll_loss(log_probs_NKD, labels, weight_K, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0:
        return loss
    over_classes = log_probs_NKD if weight_K is None else weight_over_classes(weight_K, log_probs_NKD) * log_probs_NKD
    _, ignored, weight = Labels.of(log_probs_NKD, labels, weight_K, ignore_index)
    smooth = -over_classes.sum(dim).masked_fill(ignored, 0)
    if reduction != "none":
        smooth = smooth.sum() / weight.sum() if reduction == "mean" else smooth.sum()
    return (1 - label_smoothing) * loss + label_smoothing / log_probs_NKD.shape[dim] * smooth


def cross_entropy_vjp(
    grad_output: Tensor,
    log_probs_NKD: Tensor,
    labels: Tensor,
    weight_K: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    *,
    needs: tuple[bool, ...] = (True, True),
) -> tuple[Tensor, Tensor | None]:
    """Return (grad_logits, grad_target): g (p Σ_k q_k − q), and for probabilities g (ε − 1) w log p.

    What is called q here includes the class weights. For a mean g is divided as the loss was.
    """
    if has_probabilities(log_probs_NKD, labels):
        q = soft_labels(log_probs_NKD, labels, weight_K, label_smoothing)
        share = _share(grad_output, log_probs_NKD, reduction)
        grad_target = share * (label_smoothing - 1) * log_probs_NKD if needs[1] else None
        if grad_target is not None and weight_K is not None:
            grad_target = grad_target * weight_over_classes(weight_K, log_probs_NKD)
        return _through_softmax(-share * q, log_probs_NKD), grad_target
    grad = nll_loss_vjp(grad_output, log_probs_NKD, labels, weight_K, ignore_index, reduction)
    if label_smoothing > 0:
        smooth = _smooth_vjp(grad_output, log_probs_NKD, labels, weight_K, ignore_index, reduction)
        grad = (1 - label_smoothing) * grad + label_smoothing / log_probs_NKD.shape[class_dim(log_probs_NKD)] * smooth
    return _through_softmax(grad, log_probs_NKD), None


def has_probabilities(logits_NKD: Tensor, labels: Tensor) -> bool:
    """Tell class probabilities from class labels: by their shape, as torch does."""
    return labels.shape == logits_NKD.shape


def soft_labels(log_probs_NKD: Tensor, target_NKD: Tensor, weight_K: Tensor | None, label_smoothing: float) -> Tensor:
    """Return w q = w ((1 − ε) t + ε/K)."""
    q = target_NKD
    if label_smoothing > 0:
        q = q * (1 - label_smoothing) + label_smoothing / log_probs_NKD.shape[class_dim(log_probs_NKD)]
    return q if weight_K is None else q * weight_over_classes(weight_K, log_probs_NKD)


def check_arguments(
    logits_NKD: Tensor,
    labels: Tensor,
    weight_K: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> None:
    """Check what does not depend on the kind of labels, and what only probabilities must not have.

    Raises:
        ValueError: see :func:`cross_entropy`.
        TypeError: labels that have the shape of the logits are not floating point.
    """
    check_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing (={label_smoothing}) must be between 0 and 1")
    if not has_probabilities(logits_NKD, labels):
        return
    if not labels.is_floating_point():
        raise TypeError(
            f"labels have the shape of the logits, {tuple(labels.shape)}, so they should be probabilities, but their dtype is "
            f"{labels.dtype}, which is not floating point"
        )
    if ignore_index >= 0:
        raise ValueError(f"ignore_index (={ignore_index}) means nothing where the labels are probabilities")
    check_class_weight(logits_NKD, weight_K)


def _share(grad_output: Tensor, log_probs_NKD: Tensor, reduction: str) -> Tensor:
    """Return what arrives at the loss of each sample, shaped so that it broadcasts over the classes."""
    if reduction == "none":
        return grad_output.unsqueeze(class_dim(log_probs_NKD))
    num_samples = log_probs_NKD.numel() // max(log_probs_NKD.shape[class_dim(log_probs_NKD)], 1)
    return grad_output / max(num_samples, 1) if reduction == "mean" else grad_output


def _smooth_vjp(
    grad_output: Tensor,
    log_probs_NKD: Tensor,
    labels: Tensor,
    weight_K: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    """Return the gradient of −Σ_k w_k log p[n, k]: −g w_k, and 0 where the label is ignored."""
    dim = class_dim(log_probs_NKD)
    _, ignored, weight = Labels.of(log_probs_NKD, labels, weight_K, ignore_index)
    share = grad_output / weight.sum() if reduction == "mean" else grad_output
    grad = -share.expand(labels.shape).masked_fill(ignored, 0).unsqueeze(dim).expand(log_probs_NKD.shape)
    return grad if weight_K is None else grad * weight_over_classes(weight_K, log_probs_NKD)


def _through_softmax(grad_log_probs: Tensor, log_probs: Tensor) -> Tensor:
    """Return grad_logits = grad_log_probs − p Σ_k grad_log_probs, which with grad_log_probs = −q is p Σ_k q − q."""
    return grad_log_probs - log_probs.exp() * grad_log_probs.sum(class_dim(log_probs), keepdim=True)
