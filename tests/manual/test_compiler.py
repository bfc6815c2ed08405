"""A compiler that is missing, that fails, and one that works; what is kept for the next process."""

from __future__ import annotations

import ctypes

import pytest
import torch

from trainloop.manual.compiler import cache_folder, chosen_compiler, library
from trainloop.manual.errors import CompilerError
from trainloop.manual.optim import SGD
from trainloop.manual.optim.compiled import CompiledForm, update_function

SOURCE = """
#include <cstdint>
extern "C" void update(int64_t count, const int64_t* sizes, double* const* tensors, const double* scalars, int threads) {
  tensors[0][0] = count + sizes[0] + scalars[0] + threads;
}
"""


def test_a_file_becomes_a_function():
    value = ctypes.c_double(0.0)
    address = (ctypes.c_void_p * 1)(ctypes.addressof(value))
    update_function(SOURCE)(1, (ctypes.c_int64 * 1)(20), address, (ctypes.c_double * 1)(300.5), 4000)
    assert value.value == 4321.5


def test_the_environment_may_name_the_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "some-compiler --with-an-option")
    assert chosen_compiler() == "some-compiler --with-an-option"
    monkeypatch.setenv("CXX", "")
    assert chosen_compiler() == "g++"


def test_a_missing_compiler_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompilerError) as caught:
        CompiledForm(SGD([torch.nn.Parameter(torch.ones(3))], weight_decay=0.125))
    assert str(caught.value) == (
        "the compiled form needs a C++ compiler with OpenMP, and 'no-such-compiler' does not work: No such file or directory; "
        "install g++, or name another one in the environment variable CXX; use the foreach form"
    )


def test_a_compiler_that_fails_is_quoted():
    with pytest.raises(CompilerError, match=r"it ended with code 1: .*nonsense"):
        library("nonsense;", chosen_compiler())


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A cache folder of its own, as if nothing had been compiled yet."""
    monkeypatch.setenv("TRAINLOOP_CACHE", str(tmp_path / "cache"))
    library.cache_clear()
    yield tmp_path / "cache"
    library.cache_clear()


def number(value):
    return f'extern "C" int number() {{ return {value}; }}'


def test_a_library_is_kept_for_the_next_process(fresh, monkeypatch):
    assert library(number(41), chosen_compiler()).number() == 41
    (kept,) = fresh.iterdir()
    library.cache_clear()
    monkeypatch.setattr("trainloop.manual.compiler._compiled", lambda *_: pytest.fail("compiled again"))
    assert library(number(41), chosen_compiler()).number() == 41
    assert kept.suffix == ".so"


def test_another_text_or_another_flag_is_another_library(fresh):
    library(number(1), chosen_compiler())
    library(number(2), chosen_compiler())
    library(number(2), chosen_compiler(), "-DOTHER")
    assert len(list(fresh.iterdir())) == 3


def test_a_folder_that_cannot_be_written_costs_only_time(fresh):
    fresh.write_text("a file where the folder should be")
    assert library(number(43), chosen_compiler()).number() == 43
    assert fresh.is_file()


def test_a_failure_leaves_nothing_behind(fresh):
    with pytest.raises(CompilerError):
        library("nonsense;", chosen_compiler())
    assert list(fresh.iterdir()) == []


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("TRAINLOOP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "trainloop"
    monkeypatch.setenv("TRAINLOOP_CACHE", "elsewhere")
    assert cache_folder().name == "elsewhere"
