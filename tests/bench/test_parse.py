"""``--problem``, ``--input`` and ``--transpose`` together."""

from __future__ import annotations

import pytest

from trainloop.bench.parse import parse_problem, parse_problems
from trainloop.errors import UsageError


def test_words_and_modules_stand_side_by_side():
    found = parse_problems(["n2 c3 o4 h5 k3", "Conv2d(3, 4, 3, bias=False)"], "2,3,5,5")
    assert found[0] == found[1]


def test_an_input_without_a_module_is_refused():
    with pytest.raises(UsageError) as caught:
        parse_problems(["n2 c3 o4 h5 k3"], "2,3,5,5")
    fault = caught.value.faults[0]
    assert (fault.what, fault.where) == ("an input's shape goes with the text of a module", "--input")


def test_a_convolution_is_not_transposed_by_an_option():
    with pytest.raises(UsageError) as caught:
        parse_problem("Conv2d(3, 4, 3)", "2,3,5,5", transpose=True)
    fault = caught.value.faults[0]
    assert (fault.what, fault.found) == ("this module is not a transposed convolution", "Conv2d(3, 4, 3)")


def test_a_transposed_module_may_stand_beside_the_option():
    assert parse_problem("ConvTranspose2d(3, 4, 3)", "2,3,5,5", transpose=True).transposed
