"""Negative log likelihood: minus the log-probability of the right class.

Legend: N batch, K classes, D any number of further dimensions; y label, w class weight, g grad_output; log_probs_NKD,
labels_ND, weight_K. Without a batch: (K,) and ().
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.losses.labels import Labels, check_labels, class_dim, label_errors
from trainloop.manual.losses.reduction import check_reduction


def nll_loss(
    log_probs_NKD: Tensor,
    labels_ND: Tensor,
    weight_K: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Compute the negative log likelihood.

    l_n = −w[y_n] · log_probs[n, y_n], and 0 where y_n = ignore_index;
    none: l,  sum: Σ l,  mean: Σ l / Σ w[y_n] over the labels that are not ignored (nan if there is none).

    Args:
        log_probs_NKD: logarithms of probabilities, shape (K,), (N, K) or (N, K, d1, …).
        labels_ND: classes from 0 to K − 1, shape (), (N,) or (N, d1, …), int64 or uint8.
        weight_K: one number for each class, shape (K,), dtype of the input.
        ignore_index: a label that counts as none.
        reduction: ``none``, ``mean`` or ``sum``.

    Returns:
        The loss, shape of the labels for ``none``, else ().

    Raises:
        ValueError: a shape does not fit, or an unknown reduction.
        TypeError: a dtype does not fit.
        IndexError: a label out of range.

    Source: Bishop 2006, equation 4.108; ``torch.nn.functional.nll_loss``.
    """
    check_reduction(reduction)
    check_labels(log_probs_NKD, labels_ND, weight_K)
    dim = class_dim(log_probs_NKD)
    if log_probs_NKD.dim() == 1:
        labels_ND = labels_ND.reshape(())
    with label_errors(log_probs_NKD, labels_ND, ignore_index):
        used, ignored, weight = Labels.of(log_probs_NKD, labels_ND, weight_K, ignore_index)
        chosen = log_probs_NKD.gather(dim, used.unsqueeze(dim)).squeeze(dim)
    loss = -(weight * chosen).masked_fill(ignored, 0)
    if reduction == "none":
        return loss
    return loss.sum() / weight.sum() if reduction == "mean" else loss.sum()


def nll_loss_vjp(
    grad_output: Tensor,
    log_probs_NKD: Tensor,
    labels_ND: Tensor,
    weight_K: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    """Return grad_log_probs: −g w[y_n] at [n, y_n], 0 elsewhere; for a mean g is divided by Σ w[y_n].

    Of ``log_probs_NKD`` only shape and dtype matter.
    """
    dim = class_dim(log_probs_NKD)
    if log_probs_NKD.dim() == 1:
        labels_ND = labels_ND.reshape(())
    used, ignored, weight = Labels.of(log_probs_NKD, labels_ND, weight_K, ignore_index)
    share = grad_output / weight.sum() if reduction == "mean" else grad_output
    # Last of all, for where all labels are ignored the share is g / 0, and the gradient 0 all the same.
    grad_chosen = (-weight * share).masked_fill(ignored, 0)
    return torch.zeros_like(log_probs_NKD).scatter(dim, used.unsqueeze(dim), grad_chosen.unsqueeze(dim))
