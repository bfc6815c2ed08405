"""The error tree: exit codes as drawn at the top of the file, and what a fault says."""

from __future__ import annotations

import re

from trainloop import errors


def every_class(root):
    yield root
    for child in root.__subclasses__():
        yield from every_class(child)


def test_the_drawing_names_every_class_with_its_exit_code():
    drawn = dict(re.findall(r"(\w+Error)\s+(\d+)\b", errors.__doc__))
    expected = {
        cls.__name__: str(cls.exit_code)
        for cls in every_class(errors.TrainloopError)
        if cls is not errors.TrainloopError
    }
    assert drawn.pop("InterruptedRunError") == "130"
    assert drawn == expected


def test_a_fault_shows_only_what_it_knows():
    assert str(errors.Fault("bad")) == "bad"
    assert (
        str(errors.Fault("bad", where="a.yaml:1:2", found="x", help="do y"))
        == "a.yaml:1:2: bad\n  found: x\n  help: do y"
    )


def test_an_error_carries_all_faults():
    faults = [errors.Fault("one"), errors.Fault("two", expected="2")]
    error = errors.ConfigError(faults)
    assert error.faults == tuple(faults)
    assert str(error) == "one\ntwo\n  expected: 2"


def test_an_interruption_has_the_exit_code_of_its_signal():
    assert errors.InterruptedRunError("stopped").exit_code == 130
    assert errors.InterruptedRunError("stopped", exit_code=143).exit_code == 143


def test_no_except_exception_of_a_library_swallows_an_interruption():
    assert not issubclass(errors.InterruptedRunError, Exception)
