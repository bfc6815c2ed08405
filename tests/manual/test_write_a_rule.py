"""docs/write-a-rule.md is run as it stands, and its rule is put to the test that every rule passes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "write-a-rule.md"


@pytest.fixture(scope="module")
def page():
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)  # noqa: S102 - a page of this project
    return names


def test_the_page_runs_and_its_check_holds(page):
    assert page["w"].grad.shape == (5,)


def test_the_rule_has_the_gradient_of_autograd(page):
    x = page["x"].detach().requires_grad_()
    page["squareplus"](x)[0].sum().backward()
    assert torch.allclose(x.grad, page["grad"])


def test_the_rule_is_about_ten_lines():
    text = PAGE.read_text(encoding="utf-8")
    first = text[text.index("def squareplus(") : text.index("```", text.index("def squareplus("))]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10
