import pytest

from trainloop.errors import ModelError
from trainloop.models.arguments import check_arguments, check_whole_numbers, parameters_of, refuse_arguments


def function(num_classes: int, *, width: int = 8, rate: float = 0.1) -> tuple[int, int, float]:
    return num_classes, width, rate


def test_parameters_are_those_that_can_be_given_by_name() -> None:
    def mixed(first: int, /, second: int, *rest: int, third: int, **others: int) -> tuple[object, ...]:
        return first, second, rest, third, others

    assert list(parameters_of(mixed)) == ["second", "third"]


def test_known_arguments_pass() -> None:
    check_arguments("net", {"width": 3}, ["depth", "width"])


def test_an_unknown_argument_names_the_accepted_and_the_nearest() -> None:
    with pytest.raises(ModelError) as caught:
        check_arguments("net", {"widht": 3}, ["width", "depth"])
    assert str(caught.value) == (
        "model.args.widht: net has no argument 'widht'\n"
        "  found: widht: 3\n"
        "  expected: depth, width\n"
        "  help: did you mean 'width'?"
    )


def test_a_model_without_arguments_says_so() -> None:
    with pytest.raises(ModelError) as caught:
        check_arguments("net", {"zzz": True}, [])
    assert caught.value.faults[0].expected == "no arguments"
    assert caught.value.faults[0].help == ""


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "8"])
def test_a_count_must_be_a_whole_number_of_at_least_one(value: bool | float | str) -> None:
    with pytest.raises(ModelError) as caught:
        check_whole_numbers("net", {"width": value}, parameters_of(function))
    fault = caught.value.faults[0]
    assert (fault.what, fault.where) == ("width of net is a count", "model.args.width")
    assert (fault.found, fault.expected) == (f"width: {value}", "a whole number, at least 1")


def test_arguments_that_are_no_counts_may_be_fractions() -> None:
    check_whole_numbers("net", {"rate": 0.0, "width": 1}, parameters_of(function))


def test_a_refusal_shows_the_arguments_and_what_the_model_said() -> None:
    error = refuse_arguments("net", {"width": 3, "rate": 2.0}, ValueError("rate is over 1\nsecond line"))
    assert str(error) == (
        "model.args: net cannot be built with these arguments\n"
        "  found: width: 3, rate: 2.0\n"
        "  help: the model says: ValueError: rate is over 1"
    )
