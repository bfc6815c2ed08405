"""Cross entropy: value and gradient, with label smoothing and with a label that is to be ignored, against float64.

With p = softmax(logits), K classes, smoothing s, and the mean over the M images whose label is not −100:

    loss = Σ ((s − 1) · log p[label] − s / K · Σ log p) / M        grad = (p − (1 − s) · onehot(label) − s / K) / M
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from trainloop.doctor.answer import Answer, Numbers
from trainloop.doctor.layouts import to_device
from trainloop.doctor.whole_numbers import some_numbers
from trainloop.tolerance import tolerance

IMAGES, CLASSES, IGNORED = 37, 10, -100
SMOOTHINGS = (0.0, 0.1)


def cross_entropy(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of cross entropy."""
    numbers = some_numbers((IMAGES, CLASSES), 31)
    labels = some_numbers((IMAGES,), 32) + 3
    labels[::5] = IGNORED
    targets = torch.from_numpy(labels).to(device)
    for smoothing in SMOOTHINGS:
        logits = to_device(numbers, device).requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(logits, targets, ignore_index=IGNORED, label_smoothing=smoothing)
        (grad,) = torch.autograd.grad(loss, logits)
        right_loss, right_grad = right_cross_entropy(numbers, labels, smoothing)
        where = f"cross_entropy, label smoothing {smoothing:g}"
        yield Answer(f"{where}, loss", loss, right_loss, tolerance("float32", "output"))
        yield Answer(f"{where}, grad", grad, right_grad, tolerance("float32", "gradient"))


def right_cross_entropy(logits: Numbers, labels: Numbers, smoothing: float) -> tuple[Numbers, Numbers]:
    """Return loss, shape (), and gradient, shape (N, K), in float64."""
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    counted = labels != IGNORED
    wanted = (1 - smoothing) * (labels[:, None] == np.arange(logits.shape[1])) + smoothing / logits.shape[1]
    wanted = wanted * counted[:, None]
    loss = -(wanted * logs).sum() / counted.sum()
    return np.asarray(loss), (np.exp(logs) * counted[:, None] - wanted) / counted.sum()
