"""The page of an explanation as one HTML file.

The scripts beside this file are put into the page as they are. The policy in its head lets nothing run or load but exactly
these: every script and style by the hash of its text, no request to anywhere. What comes from a user goes into the page as
JSON alone, and is written by the scripts as text.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
from importlib import resources
from string import Template

import torch

from trainloop.errors import UsageError
from trainloop.explain_conv.as_json import plain
from trainloop.explain_conv.explanation import Array, Explanation

COMPUTING = ("arithmetic.js", "views.js", "rules.js", "overlap.js", "cost.js", "code.js", "solver.js", "words.js")
"""scripts that compute and draw nothing"""
DRAWING = ("grid.js", "form.js", "pictures.js", "texts.js", "asking.js", "app.js")
SCRIPTS = (*COMPUTING, *DRAWING)
"""in the order in which they are put into the page"""
MOST_ALONG_AXIS = 4096
"""elements of an axis that the page lists taps for, as in ``rules.js``"""
WEIGHTS_OF_SUM = 997


def page_html(explanation: Explanation) -> str:
    """Return the whole page.

    Args:
        explanation: what it shows first; the page computes the same from the problem alone, and compares.

    Raises:
        UsageError: it is longer along an axis than a page can list.
    """
    _refuse_too_long(explanation)
    script, style = _script(), _read("style.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )
    return Template(_read("template.html")).substitute(
        policy=html.escape(policy, quote=True).replace("&#x27;", "'"),
        title=html.escape(f"{explanation.text}, explained"),
        style=style,
        facts=_as_data(_facts(explanation)),
        script=script,
    )


def weighted_sum(output: Array) -> int:
    """Return the sum of all numbers, each times 1 + its position mod 997: what the page compares its own numbers by.

    Args:
        output: any shape, int64.
    """
    flat = output.flatten()
    return int((flat * (torch.arange(flat.numel()) % WEIGHTS_OF_SUM + 1)).sum())


def _facts(explanation: Explanation) -> dict[str, object]:
    return {
        "problem": plain(explanation.problem),
        "output": [explanation.cell.channel, *explanation.cell.place],
        "input": [explanation.pixel.channel, *explanation.pixel.place],
        "numbers": explanation.output.numel(),
        "weighted_sum": weighted_sum(explanation.output),
        "same": explanation.same,
        "torch_version": explanation.torch_version,
    }


def _as_data(facts: dict[str, object]) -> str:
    """Return JSON that no parser of HTML can take for markup."""
    text = json.dumps(facts, ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@functools.cache
def _script() -> str:
    parts = "\n".join(_read(name) for name in SCRIPTS)
    return f'\n"use strict";\n{parts}'


@functools.cache
def _read(name: str) -> str:
    return (resources.files("trainloop.explain_conv.page") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _refuse_too_long(explanation: Explanation) -> None:
    problem = explanation.problem
    longest = max(*problem.input_sizes, *explanation.output_sizes, *problem.kernel_size)
    if longest > MOST_ALONG_AXIS:
        raise UsageError(
            f"{longest:,} along an axis are too many for a page: expected at most {MOST_ALONG_AXIS:,}",
            where="--html",
            found=f"{explanation.text} of {problem.size_text}",
            help="a smaller --input shows the same",
        )
