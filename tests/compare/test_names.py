"""Which tensor of the candidate is which of the reference."""

from __future__ import annotations

import pytest
from torch import Size, nn

from trainloop.compare.names import Names, match_entries, match_models
from trainloop.errors import UsageError


def model(**layers):
    net = nn.Module()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net


def refusal(reference, candidate):
    with pytest.raises(UsageError) as caught:
        match_models(reference, candidate)
    return caught.value.faults[0]


def test_equal_names_of_equal_shapes_match_by_name():
    assert match_models(model(a=nn.Linear(2, 3)), model(a=nn.Linear(2, 3))) == Names()


def test_a_shape_that_only_one_has_matches_whatever_the_name():
    names = match_models(model(a=nn.Linear(2, 3)), model(b=nn.Linear(2, 3)))
    assert names.params == {"b.weight": "a.weight", "b.bias": "a.bias"}


def test_a_name_of_another_shape_does_not_match():
    reference = model(a=nn.Linear(2, 3, bias=False), b=nn.Linear(3, 4, bias=False))
    candidate = model(b=nn.Linear(2, 3, bias=False), a=nn.Linear(3, 4, bias=False))
    assert match_models(reference, candidate).params == {"b.weight": "a.weight", "a.weight": "b.weight"}


def test_a_shape_that_two_have_is_refused_with_every_name():
    reference = model(a=nn.Linear(2, 2, bias=False), b=nn.Linear(2, 2, bias=False))
    fault = refusal(reference, model(c=nn.Linear(2, 2, bias=False), d=nn.Linear(2, 2, bias=False)))
    assert fault.what.startswith("the parameters of reference and candidate cannot be matched")
    assert fault.found == "only the candidate has c.weight (2, 2), d.weight (2, 2)"
    assert fault.expected == "the reference has a.weight (2, 2), b.weight (2, 2)"


def test_a_parameter_that_the_candidate_lacks_is_refused():
    fault = refusal(model(a=nn.Linear(2, 3)), model(a=nn.Linear(2, 3, bias=False)))
    assert fault.found == "only the candidate has all of its own"
    assert fault.expected == "the reference has a.bias (3,)"


def test_a_parameter_too_many_is_refused():
    fault = refusal(model(a=nn.Linear(2, 3, bias=False)), model(a=nn.Linear(2, 3)))
    assert fault.found == "only the candidate has a.bias (3,)"


def test_a_long_list_of_names_is_cut():
    fault = refusal(model(), model(**{f"m{i}": nn.Linear(2, 2, bias=False) for i in range(8)}))
    assert fault.found.endswith("m5.weight (2, 2) and 2 more")


def test_buffers_are_matched_too():
    reference, candidate = model(), model()
    reference.register_buffer("one", nn.Linear(2, 2).weight.data)
    candidate.register_buffer("two", nn.Linear(2, 2).weight.data)
    assert match_models(reference, candidate).buffers == {"two": "one"}


def test_buffers_that_do_not_match_are_refused_as_buffers():
    fault = refusal(model(n=nn.BatchNorm2d(3, affine=False)), model())
    assert fault.what.startswith("the buffers of reference and candidate")


def test_a_module_is_called_like_the_one_with_its_parameters():
    names = match_models(model(a=nn.Linear(2, 3)), model(b=nn.Linear(2, 3)))
    assert (names.module("b"), names.module("other")) == ("a", "other")


def test_what_is_in_no_table_keeps_its_name():
    assert (Names().param("a"), Names().buffer("b")) == ("a", "b")


def test_state_entries_match_by_name():
    assert match_entries({"m": Size([2])}, {"m": Size([2])}) == {"m": "m"}


def test_state_entries_match_by_the_only_shape():
    found = match_entries({"exp_avg": Size([2]), "step": Size([])}, {"mean": Size([2]), "t": Size([])})
    assert found == {"mean": "exp_avg", "t": "step"}


def test_state_entries_of_one_shape_are_left_out():
    reference = {"exp_avg": Size([2]), "exp_avg_sq": Size([2])}
    assert match_entries(reference, {"m": Size([2]), "v": Size([2])}) == {}


def test_the_last_state_entry_of_a_shape_matches_when_the_others_have_names():
    reference = {"exp_avg": Size([2]), "exp_avg_sq": Size([2])}
    assert match_entries(reference, {"exp_avg": Size([2]), "v": Size([2])}) == {"exp_avg": "exp_avg", "v": "exp_avg_sq"}
