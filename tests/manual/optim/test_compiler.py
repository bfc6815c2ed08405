"""A compiler that is missing, that fails, and one that works."""

from __future__ import annotations

import ctypes

import pytest
import torch

from trainloop.manual.errors import CompilerError
from trainloop.manual.optim import SGD
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.compiler import chosen_compiler, compiled

SOURCE = """
#include <cstdint>
extern "C" void update(int64_t count, const int64_t* sizes, double* const* tensors, const double* scalars, int threads) {
  tensors[0][0] = count + sizes[0] + scalars[0] + threads;
}
"""


def test_a_file_becomes_a_function():
    value = ctypes.c_double(0.0)
    address = (ctypes.c_void_p * 1)(ctypes.addressof(value))
    compiled(SOURCE, chosen_compiler())(1, (ctypes.c_int64 * 1)(20), address, (ctypes.c_double * 1)(300.5), 4000)
    assert value.value == 4321.5


def test_the_environment_may_name_the_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "some-compiler --with-an-option")
    assert chosen_compiler() == "some-compiler --with-an-option"
    monkeypatch.setenv("CXX", "")
    assert chosen_compiler() == "g++"


def test_a_missing_compiler_is_named_with_the_way_out(monkeypatch, optim):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompilerError) as caught:
        CompiledForm(SGD(optim.make_params(torch.float32), weight_decay=0.125))
    assert str(caught.value) == (
        "the compiled form needs a C++ compiler with OpenMP, and 'no-such-compiler' does not work: No such file or directory; "
        "install g++, or name another one in the environment variable CXX; use the foreach form"
    )


def test_a_compiler_that_fails_is_quoted():
    with pytest.raises(CompilerError, match=r"it ended with code 1: .*nonsense"):
        compiled("nonsense;", chosen_compiler())
