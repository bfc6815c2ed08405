from __future__ import annotations

import pytest
import torch

from trainloop.explain.equation import Text
from trainloop.explain.named import Named

BETA = Named(0.9, Text("beta"))
LR = Named(0.3, Text("lr"))


@pytest.mark.parametrize(
    ("made", "symbols", "value"),
    [
        (1 - BETA, "1 − beta", 1 - 0.9),
        (BETA - 1, "beta − 1", 0.9 - 1),
        (BETA + LR, "beta + lr", 0.9 + 0.3),
        (2 + LR, "2 + lr", 2 + 0.3),
        (BETA * LR, "beta·lr", 0.9 * 0.3),
        (2 * LR, "2·lr", 2 * 0.3),
        (LR / BETA, "lr / beta", 0.3 / 0.9),
        (1 / LR, "1 / lr", 1 / 0.3),
        (-LR, "−lr", -0.3),
        (-LR * (1 - BETA), "−lr·(1 − beta)", -0.3 * (1 - 0.9)),
    ],
)
def test_arithmetic_keeps_names_and_bits(made, symbols, value):
    assert made.symbols.text == symbols
    assert float(made).hex() == value.hex()


def test_a_name_is_a_part_of_an_equation():
    term = (1 - BETA).term()
    assert (term.symbols.text, term.numbers.text, term.value) == ("1 − beta", "0.1", 1 - 0.9)


def test_beside_a_tensor_it_is_the_number():
    x = torch.tensor([0.1, -2.0, 3.0])
    for named, plain in ((LR * x, 0.3 * x), (x * LR, x * 0.3), (x - LR, x - 0.3), (LR - x, 0.3 - x), (x / LR, x / 0.3)):
        assert torch.equal(named, plain)
    assert torch.equal(torch.add(x, x, alpha=-LR), torch.add(x, x, alpha=-0.3))


def test_it_does_not_add_up_with_what_is_no_number():
    with pytest.raises(TypeError):
        LR + "x"
