"""Convolution as a product of spectra: Fourier transforms turn sliding and adding into one multiplication a frequency.

Replaces ``torch.conv2d`` and its gradients. The idea: shifting a signal only turns the phase of each frequency, so the sum
over shifts is a product. Images and kernels are transformed at the size of the padded input, multiplied frequency by
frequency (a matrix product over channels at each), and transformed back; what would wrap around lies outside of the
windows.

    Y(f)           = Σ_c X_c(f) · conj(W_oc(f)),        y[p] = Y[p · stride]
    grad_X_c(f)    = Σ_o D_o(f) · W_oc(f)               D: grad_output with stride − 1 zeros between its elements
    grad_W_oc(f)   = Σ_n conj(D_no(f)) · X_nc(f),       grad_weight[k] = grad_W[k · dilation]
    W: the kernel with dilation − 1 zeros between its taps

Cost: 4 real multiplications for each of N · G · C · O · S · (T / 2 + 1) products, S and T the padded sizes, whatever the
kernel's: 9 of the direct sum become about 2 · S · T / (P · Q), and the transforms come on top. Memory: the spectra, 4 bytes
a frequency and channel more than the tensors, for a block of images and of out_channels.

Limits: no half types, for which the library has no transform on the CPU; stride is computed and thrown away. It beats
the rungs before it from about 7 × 7 on, and the library for very large kernels only. Numerical caveat: the error is spread
evenly over all elements, so small ones next to large ones are less exact than by a direct sum.

Legend: N batch, G groups, C in_channels and O out_channels of one group, K L kernel, P Q output sizes, f frequency.

Source: Mathieu, Henaff & LeCun 2013, arXiv:1312.5851; Cooley & Tukey 1965 for the transform.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.blocks import BLOCK_BYTES, blocks, images_a_block
from trainloop.manual.conv.job import Geometry, Job
from trainloop.manual.conv.layout import grouped, new_image
from trainloop.manual.windows import Sizes, pad_spatial


def refuses(job: Job) -> str | None:
    """Return why the job cannot be done, or None."""
    if job.dtype in (torch.float32, torch.float64):
        return None
    return f"the dtype must be float32 or float64, found {str(job.dtype).removeprefix('torch.')}: there is no transform of it"


def forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the convolution, shape (N, G·O, P, Q), in the input's memory format.

    Args:
        input: shape (N, G·C, H, W).
        weight: shape (G·O, C, K, L).
        bias: shape (G·O,), or None.
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job.of(input, weight, Geometry(stride, padding, dilation, groups))
    output = new_image(job.output_shape, input)
    parts = grouped(output, groups)
    for outputs in _output_blocks(job):
        w_FGOC = _weight_spectrum(weight, job, outputs)
        for images in _image_blocks(job):
            x_FGNC = _spectrum(grouped(pad_spatial(input[images], padding), groups), job)
            y = _signal(torch.matmul(x_FGNC, w_FGOC.conj().mT), job)
            parts[images, :, outputs] = _every(y, stride, job.output_sizes)
    return output if bias is None else output.add_(bias.view(-1, 1, 1))


def grad_input(
    grad_output: Tensor, weight: Tensor, input_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_input, of ``input_shape``, in grad_output's memory format.

    Args:
        grad_output: shape (N, G·O, P, Q).
        weight: shape (G·O, C, K, L).
        input_shape: (N, G·C, H, W).
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job(tuple(input_shape), tuple(weight.shape), Geometry(stride, padding, dilation, groups), weight.dtype)
    result = new_image(job.input_shape, grad_output).zero_()
    parts, grads = grouped(result, groups), grouped(grad_output, groups)
    top, left = padding
    height, width = job.input_shape[2:]
    for outputs in _output_blocks(job):
        w_FGOC = _weight_spectrum(weight, job, outputs)
        for images in _image_blocks(job):
            d_FGNO = _spectrum(_spread(grads[images, :, outputs], stride, padded_sizes(job)), job)
            dx = _signal(torch.matmul(d_FGNO, w_FGOC), job)
            parts[images] += dx[..., top : top + height, left : left + width]
    return result


def grad_weight(
    grad_output: Tensor, input: Tensor, weight_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_weight, of ``weight_shape``, in the input's memory format.

    Args:
        grad_output: shape (N, G·O, P, Q).
        input: shape (N, G·C, H, W).
        weight_shape: (G·O, C, K, L).
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job(tuple(input.shape), tuple(weight_shape), Geometry(stride, padding, dilation, groups), input.dtype)
    result = new_image(job.weight_shape, input).zero_()
    parts, grads = result.view(groups, -1, *weight_shape[1:]), grouped(grad_output, groups)
    for outputs in _output_blocks(job):
        for images in _image_blocks(job):
            x_FGNC = _spectrum(grouped(pad_spatial(input[images], padding), groups), job)
            d_FGNO = _spectrum(_spread(grads[images, :, outputs], stride, padded_sizes(job)), job)
            dw_OGC = _signal(torch.matmul(d_FGNO.conj().mT, x_FGNC), job)
            parts[:, outputs] += _every(dw_OGC, dilation, job.kernel_size).transpose(0, 1)
    return result


def padded_sizes(job: Job) -> Sizes:
    """Return (S, T), the size of the padded input, at which everything is transformed."""
    return tuple(size + 2 * pad for size, pad in zip(job.input_shape[2:], job.geometry.padding, strict=True))


def _spectrum(signal_NGCST: Tensor, job: Job) -> Tensor:
    """Return the spectrum with the frequencies in front: (N, G, C, S, T) → (F, G, N, C)."""
    spectrum: Tensor = torch.fft.rfft2(signal_NGCST, s=padded_sizes(job))
    return spectrum.flatten(3).permute(3, 1, 0, 2)


def _signal(spectrum_FGNC: Tensor, job: Job) -> Tensor:
    """Return the signal of a spectrum: (F, G, N, C) → (N, G, C, S, T)."""
    height, width = padded_sizes(job)
    parts = spectrum_FGNC.permute(2, 1, 3, 0).reshape(*_turned(spectrum_FGNC), height, width // 2 + 1)
    signal: Tensor = torch.fft.irfft2(parts, s=(height, width))
    return signal


def _turned(spectrum_FGNC: Tensor) -> Sizes:
    _, groups, num, channels = spectrum_FGNC.shape
    return num, groups, channels


def _weight_spectrum(weight: Tensor, job: Job, outputs: slice) -> Tensor:
    """Return the spectrum of some outputs' kernels, (F, G, O, C)."""
    groups = job.geometry.groups
    kernels_GOCKL = weight.reshape(groups, -1, *weight.shape[1:])[:, outputs]
    return _spectrum(_spread(kernels_GOCKL.transpose(0, 1), job.geometry.dilation, padded_sizes(job)), job)


def _spread(signal: Tensor, step: Sizes, sizes: Sizes) -> Tensor:
    """Return zeros of ``sizes`` along the last two axes, with ``signal`` at every step-th place."""
    spread = signal.new_zeros((*signal.shape[:3], *sizes))
    _every(spread, step, tuple(signal.shape[3:])).copy_(signal)
    return spread


def _every(signal: Tensor, step: Sizes, num: Sizes) -> Tensor:
    """Return ``num`` elements along the last two axes, every step-th from the first on, as a view."""
    rows, columns = (slice(0, s * (count - 1) + 1, s) for s, count in zip(step, num, strict=True))
    return signal[..., rows, columns]


def _frequency_bytes(job: Job) -> int:
    """Return the bytes of one channel's spectrum."""
    height, width = padded_sizes(job)
    return height * (width // 2 + 1) * 2 * job.dtype.itemsize


def _outputs_a_block(job: Job) -> int:
    out_channels, channels = job.weight_shape[0] // job.geometry.groups, job.weight_shape[1]
    return images_a_block(out_channels, channels * job.geometry.groups * _frequency_bytes(job), 2 * BLOCK_BYTES)


def _images_a_block(job: Job) -> int:
    return images_a_block(job.input_shape[0], (job.input_shape[1] + job.weight_shape[0]) * _frequency_bytes(job))


def _output_blocks(job: Job) -> Iterator[slice]:
    return blocks(job.weight_shape[0] // job.geometry.groups, _outputs_a_block(job))


def _image_blocks(job: Job) -> Iterator[slice]:
    return blocks(job.input_shape[0], _images_a_block(job))


def _workspace(job: Job, direction: str) -> int:
    """Return the bytes of the spectra and signals of a block of images and of outputs, with the copies that products make."""
    del direction
    of_weight = _outputs_a_block(job) * job.input_shape[1] * _frequency_bytes(job)
    of_images = _images_a_block(job) * (job.input_shape[1] + job.weight_shape[0]) * _frequency_bytes(job)
    return 5 * (of_weight + of_images)


def _multiplications(job: Job, direction: str) -> int:
    """Return the real multiplications of the products; those of the transforms are left out."""
    del direction
    height, width = padded_sizes(job)
    return 4 * job.input_shape[0] * job.weight_shape[0] * job.weight_shape[1] * height * (width // 2 + 1)


FFT = Algorithm("fft", forward, grad_input, grad_weight, _workspace, _multiplications, refuses)
