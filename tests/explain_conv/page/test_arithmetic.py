"""The page's own arithmetic against Python's, for problems drawn at random; and that a wrong formula is noticed."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from pathlib import Path

import pytest

from trainloop.errors import UsageError
from trainloop.explain_conv import parse as parse_module
from trainloop.explain_conv.as_json import plain
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.nearest import nearest_problem
from trainloop.explain_conv.page.html import _read
from trainloop.manual.errors import ConvShapeError

DRIVER = Path(__file__).with_name("driver.js")


def by_page(node, questions, change=lambda script: script):
    """What the page's scripts make of problems.

    Args:
        node: the program that runs them.
        questions: problem, cell and pixel of each.
        change: what to do to the scripts first.
    """
    computing = "\n".join(map(_read, ("arithmetic.js", "views.js", "rules.js")))
    script = f'"use strict";\n{change(computing)}\n{DRIVER.read_text(encoding="utf-8")}'
    asked = json.dumps({"script": script, "questions": questions})
    runner = (
        "const asked = JSON.parse(require('fs').readFileSync(0, 'utf-8'));"
        "const given = { readFileSync: () => JSON.stringify(asked.questions) };"
        "new Function('require', 'process', asked.script)(() => given, process);"
    )
    done = subprocess.run([node, "-e", runner], input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def explained(conv, count, seed):
    """Explanations of problems drawn at random, each with a cell and a pixel drawn as well."""
    source = random.Random(seed)
    found = []
    for problem in conv.random_problems(count, seed):
        cell = [source.randrange(size) for size in (problem.out_channels, *problem.output_sizes)]
        pixel = [source.randrange(size) for size in (problem.in_channels, *problem.input_sizes)]
        found.append(explain_conv(problem, tuple(cell), tuple(pixel)))
    return found


@pytest.fixture(scope="module")
def explanations(conv):
    return explained(conv, 40, seed=71)


def question(explanation):
    place = {
        name: [part.channel, *part.place] for name, part in (("cell", explanation.cell), ("pixel", explanation.pixel))
    }
    return {"problem": plain(explanation.problem), **place}


def expected_of(explanation):
    """The same facts from an explanation. Numbers are compared by ==, so a score of 0.0 is 0."""
    facts = plain(explanation)
    views = {view["name"]: view for view in facts["views"]}
    wanted = {name: facts[name] for name in ("text", "output_sizes", "input", "bias", "output")}
    wanted |= {
        "broken": None,
        "sizes": [{name: axis["size"][name] for name in ("symbols", "numbers")} for axis in facts["axes"]],
        "taps": [axis["taps"] for axis in facts["axes"]],
        "reach": [axis["reach"] for axis in facts["axes"]],
        "views": {name: view["output"] for name, view in views.items()},
        "terms": facts["cell"]["terms"],
        "effects": facts["pixel"]["effects"],
        "counts": facts["overlap"]["counts"],
        "phases": [{name: phase[name] for name in ("counts", "why")} for phase in facts["overlap"]["phases"]],
        "score": pytest.approx(facts["overlap"]["score"], abs=1e-12),
    }
    for view, array in (("scatter", "uncropped"), ("zero_insert", "spread"), ("gather", "padded")):
        wanted[array] = views[view]["arrays"][array] if view in views else None
    return wanted


def differences(node, explanations, change=lambda script: script):
    """(problem, name) of every fact that the page and Python do not share."""
    answers = by_page(node, [question(explanation) for explanation in explanations], change)
    found = []
    for explanation, answer in zip(explanations, answers, strict=True):
        wanted = expected_of(explanation)
        assert set(wanted) == set(answer) or answer.get("broken"), explanation.text
        found += [(explanation.text, name) for name, value in wanted.items() if answer.get(name) != value]
    return found


def test_the_page_computes_what_python_computes(explanations, node):
    assert differences(node, explanations) == []


@pytest.mark.long
def test_the_page_computes_what_python_computes_500_times(conv, node):
    assert differences(node, explained(conv, 500, seed=72)) == []


FAULTS = {
    "a size": ("output_padding[axis];\n  }", "output_padding[axis] + 1;\n  }", "output_sizes"),
    "a tap": ("output + padding - step", "output + padding + step", "taps"),
    "a kind": ("kind: INSERTED };", "kind: PADDING };", "terms"),
    "a border": ("at < 0 ? 0 : size - 1", "at < 0 ? size - 1 : 0", "reach"),
    "a weight": ("(5 * a + 7 * b", "(5 * a + 6 * b", "output"),
    "a group": ("group * count + i", "i", "terms"),
    "a channel": ("5 * channel + width", "4 * channel + width", "input"),
    "a stamp": ("inside % dilation === 0 && ", "", "views"),
    "a turned kernel": ("problem.kernel_size[0] - 1 - k", "k", "views"),
    "a matrix": ("touch.output === place[axis]", "touch.output <= place[axis]", "views"),
    "a count": ("along(0, row) * along(1, column)", "along(0, row)", "counts"),
    "a reason": ("kernel % stride, others", "kernel % 3, others", "phases"),
    "a text": ('["groups", `${problem.groups}`, "1"]', '["groups", `${problem.groups}`, "2"]', "text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_formula_is_noticed(explanations, node, fault):
    right, wrong, name = FAULTS[fault]

    def break_it(script):
        assert script.count(right) == 1
        return script.replace(right, wrong)

    assert name in {found for _, found in differences(node, explanations[:20], break_it)}


def refused_problems(conv, monkeypatch, count, seed):
    """Problems whose numbers do not fit together, and what Python says about them."""
    source, drafts = random.Random(seed), []
    monkeypatch.setattr(parse_module, "checked", lambda problem, *_: drafts.append(problem) or problem)
    refused = []
    while len(refused) < count:
        drafts.clear()
        with contextlib.suppress(UsageError):
            parse_module.parse_problem(*conv.random_text(source))
        for draft in drafts:
            kind = source.randrange(4)
            changes = (
                {} if kind == 0 else {source.choice(("groups", "in_channels", "out_channels")): source.randint(-1, 7)}
            )
            if kind == 2:
                name = source.choice(("kernel_size", "stride", "dilation", "input_sizes"))
                changes[name] = (getattr(draft, name)[0], source.randint(-1, 3))
            problem = draft.replaced(**changes)
            try:
                problem.check()
            except ConvShapeError as error:
                refused.append((problem, str(error)))
    return refused


def wrong_refusals(node, refused, change=lambda script: script):
    """What the page says otherwise than Python about problems that do not fit together: rule or nearest."""
    answers = by_page(node, [{"problem": plain(problem)} for problem, _ in refused], change)
    found = []
    for (problem, message), answer in zip(refused, answers, strict=True):
        near = nearest_problem(problem)
        wanted = None if near is None else {"text": near.text, "input_sizes": plain(near.input_sizes)}
        found += [(problem, "rule")] if answer["broken"] != message else []
        found += [(problem, "nearest")] if answer["nearest"] != wanted else []
    return found


def test_the_page_refuses_with_the_same_rule_and_the_same_nearest_choice(conv, node, monkeypatch):
    refused = refused_problems(conv, monkeypatch, 150, seed=73)
    assert wrong_refusals(node, refused) == []


@pytest.mark.parametrize(
    ("right", "wrong", "what"),
    [
        ("padding + Math.floor((size - 1) / 2)", "padding + Math.floor(size / 2)", "rule"),
        ("-Math.floor((size - reach) / 2)", "-Math.ceil((size - reach) / 2)", "rule"),
        ("[-distance, distance]", "[distance, -distance]", "nearest"),
    ],
)
def test_a_wrong_rule_is_noticed(conv, node, monkeypatch, right, wrong, what):
    def break_it(script):
        assert script.count(right) == 1
        return script.replace(right, wrong)

    refused = refused_problems(conv, monkeypatch, 60, seed=73)
    assert what in {found for _, found in wrong_refusals(node, refused, break_it)}


def test_the_limits_of_the_page_are_python_s(node):
    from trainloop.explain_conv import limits, nearest
    from trainloop.explain_conv.page import html

    names = ("MOST_PRODUCTS", "MOST_NUMBERS", "FURTHEST", "MOST_ALONG_AXIS")
    script = f"{_read('rules.js')}\nconsole.log(JSON.stringify([{', '.join(names)}]))"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    expected = [limits.MOST_PRODUCTS, limits.MOST_NUMBERS, nearest.FURTHEST, html.MOST_ALONG_AXIS]
    assert json.loads(done.stdout) == expected
