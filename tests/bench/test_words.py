"""Problems in words: what is read, and what each fault is answered."""

from __future__ import annotations

import pytest

from trainloop.bench.words import parse_words
from trainloop.errors import UsageError
from trainloop.manual.conv import Geometry, TransposedGeometry


def refused(text, **options):
    with pytest.raises(UsageError) as caught:
        parse_words(text, **options)
    assert caught.value.exit_code == 2
    assert caught.value.faults[0].where == "--problem"
    return caught.value.faults[0]


def test_every_word_is_read():
    problem = parse_words("n2 c4 o8 h9 w7 k3 l2 s2x1 p1x0 d1x2 g2")
    assert problem.input_shape == (2, 4, 9, 7)
    assert problem.weight_shape == (8, 2, 3, 2)
    assert problem.geometry == Geometry((2, 1), (1, 0), (1, 2), 2)
    assert not problem.bias


def test_order_commas_and_capitals_do_not_matter():
    assert parse_words("K3,H9, O8 C4 N2") == parse_words("n2 c4 o8 h9 k3")


def test_the_word_and_the_option_make_a_transposed_problem():
    problem = parse_words("transpose n2 c4 o8 h9 k3 s2 op1")
    assert problem == parse_words("n2 c4 o8 h9 k3 s2 op1", transpose=True)
    assert problem.geometry == TransposedGeometry((2, 2), (0, 0), (1, 1), 1, (1, 1))
    assert problem.weight_shape == (4, 8, 3, 3)


def test_a_word_that_is_none_lists_the_words_and_the_nearest():
    fault = refused("n1 c4 o8 h5 z3")
    assert (fault.what, fault.found) == ("z3 is no word of a problem", "z3 in 'n1 c4 o8 h5 z3'")
    assert "k (kernel height)" in fault.expected
    assert fault.help.startswith("did you mean `")


def test_a_text_that_is_nothing_like_it_is_shown_an_example():
    fault = refused("conv3x3forever")
    assert "such as --problem 'n128 c64 o256 h15 k3 s1 p1'" in fault.help


@pytest.mark.parametrize("missing", ["n", "c", "o", "h", "k"])
def test_a_number_that_is_missing_is_named(missing):
    text = " ".join(word for word in ("n2", "c4", "o8", "h9", "k3") if word[0] != missing)
    fault = refused(text)
    assert fault.what.startswith(f"the problem does not say {missing}, the ")
    assert fault.expected.startswith("at least n (batch), c (in_channels)")


def test_a_letter_without_a_number_is_refused():
    assert refused("n2 c4 o8 h9 k").what == "k is not a letter with its number"


def test_a_number_of_a_hundred_digits_is_refused():
    assert refused(f"n{'9' * 100} c4 o8 h9 k3").expected == "such as n3"


def test_two_numbers_where_there_is_one_axis_are_refused():
    fault = refused("n2 c4 o8 h9x8 k3")
    assert (fault.what, fault.found) == ("h takes one number", "h9x8 in 'n2 c4 o8 h9x8 k3'")
    assert "w beside h" in fault.expected


def test_a_letter_that_comes_twice_is_refused():
    assert refused("n2 n3 c4 o8 h9 k3").what == "n is given twice"


def test_output_padding_without_a_transposed_problem_is_refused():
    fault = refused("n2 c4 o8 h9 k3 op1")
    assert fault.what == "op, the output_padding, belongs to a transposed convolution"
    assert "--transpose" in fault.help


def test_a_kernel_larger_than_the_padded_input_is_refused_with_the_arithmetic():
    fault = refused("n2 c4 o8 h2 k5")
    assert fault.what == (
        "the kernel is larger than the padded input along H: (H + 2·p − d·(k − 1) − 1) / s + 1 = "
        "(2 + 2·0 − 1·(5 − 1) − 1) / 1 + 1 = -2, expected at least 1"
    )
    assert "use a padding of at least 2, or a smaller kernel or dilation" in fault.help


def test_an_output_of_size_zero_is_refused_with_the_arithmetic():
    assert "(2 + 2·0 − 1·(3 − 1) − 1) / 1 + 1 = 0, expected at least 1" in refused("n2 c4 o8 h9 w2 k3").what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("n2 c4 o8 h9 k3 g3", "in_channels (=4) must be divisible by groups (=3): 4 = 1·3 + 1"),
        ("n2 c4 o6 h9 k3 g4", "out_channels (=6) must be divisible by groups (=4): 6 = 1·4 + 2"),
        ("transpose n2 c4 o6 h9 k3 g4", "out_channels (=6) must be divisible by groups (=4): 6 = 1·4 + 2"),
        ("n2 c4 o8 h9 k3 g0", "groups (=0) must be at least 1"),
        ("n2 c4 o8 h9 k3 s0", "stride (=0) must be at least 1 along every spatial axis"),
        ("n2 c4 o0 h9 k3", "weight of shape (0, 4, 3, 3) has an axis of size 0"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(text, what):
    fault = refused(text)
    assert (fault.what, fault.found) == (what, text)


def test_an_output_padding_as_large_as_the_stride_is_refused():
    fault = refused("transpose n2 c4 o8 h9 k3 s2 op2")
    assert fault.what.startswith("output_padding (=2) must be smaller than stride (=2) or dilation (=1) along H")


def test_a_padding_that_leaves_nothing_is_refused_with_the_arithmetic():
    fault = refused("transpose n2 c4 o8 h1 k3 p2")
    assert "(H − 1)·s − 2·p + d·(k − 1) + output_padding + 1 = (1 − 1)·1 − 2·2 + 1·(3 − 1) + 0 + 1 = -1" in fault.what


@pytest.mark.parametrize("text", ["n1 c64 o256 h15 k3 g128", "transpose n1 c4 o4 h15 k3 g8"])
def test_more_groups_than_channels_are_refused_for_that(text):
    with pytest.raises(UsageError, match="groups"):
        parse_words(text)
