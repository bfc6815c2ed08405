"""Which kernel ran: read from what oneDNN prints."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from trainloop.bench import kernel_names
from trainloop.bench.kernel_names import ONEDNN_BACKEND, backend, call_and_name, describe, kernels_in
from trainloop.bench.words import parse_words

JOB = parse_words("n16 c16 o16 h8 k3 p1").job()
FORWARD = (
    "onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx2,forward_training,src:f32::blocked:acdb::f0 "
    "wei:f32:a:blocked:Acdb16a::f0,attr-scratchpad:user,alg:convolution_direct,mb16_ic16oc16,0.05"
)


def test_the_kernel_stands_behind_the_primitive():
    assert kernels_in(f"onednn_verbose,v1,info,oneDNN v3.12.0\n{FORWARD}\n") == "brg_conv_fwd:avx2"


def test_reorders_and_creations_are_no_kernels():
    text = (
        FORWARD.replace("convolution,brg", "reorder,brg") + "\n" + FORWARD.replace("exec", "create_nested:cache_miss")
    )
    assert kernels_in(text) == ""


def test_a_time_stamp_and_an_older_form_are_read():
    stamped = FORWARD.replace("onednn_verbose,v1,primitive,exec", "onednn_verbose,1700000000.5,primitive,exec")
    older = "onednn_verbose,exec,cpu,deconvolution,jit:avx2,backward_data,x"
    assert kernels_in(stamped) == "brg_conv_fwd:avx2"
    assert kernels_in(older) == "jit:avx2"


def test_several_kernels_are_joined_once_each():
    other = FORWARD.replace("brg_conv_fwd:avx2", "jit:avx2")
    assert kernels_in("\n".join([FORWARD, other, FORWARD])) == "brg_conv_fwd:avx2 + jit:avx2"


def test_lines_that_are_cut_off_or_anybodys_are_passed_over():
    assert kernels_in("onednn_verbose,v1,primitive,exec,cpu\nhello, exec, you\n\n") == ""


@pytest.mark.skipif(backend(JOB) != ONEDNN_BACKEND, reason="torch takes no oneDNN here")
def test_the_library_is_asked_while_it_runs(capfd):
    x, w = torch.randn(JOB.input_shape), torch.randn(JOB.weight_shape)
    result, name = call_and_name(lambda: torch.conv2d(x, w, padding=1), JOB)
    torch.testing.assert_close(result, torch.conv2d(x, w, padding=1))
    assert ":" in name
    assert "verbose" not in capfd.readouterr().out


def test_what_is_printed_around_the_call_arrives(capfd):
    print("before")
    _, name = call_and_name(lambda: os.write(1, b"swallowed\n"), JOB)
    print("after")
    sys.stdout.flush()
    assert capfd.readouterr().out.split() == ["before", "after"]
    assert name == "oneDNN, which does not tell its kernel"


def test_an_exception_gives_standard_output_back(capfd):
    with pytest.raises(ZeroDivisionError):
        call_and_name(lambda: 1 / 0, JOB)
    print("still here")
    assert capfd.readouterr().out == "still here\n"


def test_without_a_c_library_to_flush_the_call_is_made_all_the_same(monkeypatch):
    def missing(_name):
        raise OSError("none")

    monkeypatch.setattr(kernel_names.ctypes, "CDLL", missing)
    assert call_and_name(lambda: 3, JOB) == (3, "oneDNN, which does not tell its kernel")


def test_another_back_end_is_named_without_asking():
    wide = parse_words("n2 c3 o4 h5 k3").job(torch.float64)
    assert call_and_name(lambda: 3, wide) == (3, "columns and products of matrices")


def test_back_ends_are_told_in_words():
    assert describe("NnpackSpatial", JOB) == "NNPACK F(6×6,3×3)"
    assert describe("NnpackSpatial", parse_words("n16 c3 o4 h9 k5").job()) == "NNPACK"
    assert describe("NnpackSpatial", parse_words("n16 c3 o4 h9 k3 s2").job()) == "NNPACK"
    assert describe("Cudnn", JOB) == "Cudnn"
    assert describe("", JOB) == "not told"


def test_a_torch_that_does_not_tell_its_back_end_is_no_error(monkeypatch):
    monkeypatch.delattr(torch._C, "_select_conv_backend")
    assert backend(JOB) == ""


def test_a_transposed_job_has_a_back_end_too():
    assert backend(parse_words("transpose n2 c3 o4 h5 k3 s2 op1").job())
