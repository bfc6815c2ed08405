"""Spectra: what they refuse, how they are counted, and that blocks are joined."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.conv import CONV2D, Geometry, Job, fft

FFT = CONV2D["fft"]
JOB = Job((2, 4, 8, 6), (6, 2, 3, 3), Geometry((2, 1), (1, 2), (1, 2), 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_refused(dtype):
    reason = FFT.refuses(Job(JOB.input_shape, JOB.weight_shape, JOB.geometry, dtype))
    assert reason == (
        f"the dtype must be float32 or float64, found {str(dtype).removeprefix('torch.')}: there is no transform of it"
    )


def test_the_products_of_spectra_are_counted():
    assert fft.padded_sizes(JOB) == (10, 10)
    assert FFT.multiplications(JOB, "forward") == 4 * 2 * 6 * 2 * 10 * 6


def test_blocks_of_images_and_of_outputs_are_joined(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x, weight, dy = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in (JOB.input_shape, JOB.weight_shape, JOB.output_shape)
    )

    def results():
        return (
            FFT.forward(x, weight, None, *JOB.geometry),
            FFT.grad_input(dy, weight, JOB.input_shape, *JOB.geometry),
            FFT.grad_weight(dy, x, JOB.weight_shape, *JOB.geometry),
        )

    whole = results()
    monkeypatch.setattr(fft, "images_a_block", lambda *_: 1)
    for one, other in zip(results(), whole, strict=True):
        assert torch.allclose(one, other, rtol=1e-13, atol=1e-13)
