"""The page's own arithmetic against Python's, for problems drawn at random; and that a wrong formula is noticed."""

from __future__ import annotations

import contextlib
import functools
import json
import random
import subprocess
from pathlib import Path

import pytest

from trainloop.cli.explain_conv_request import parse_solve
from trainloop.errors import UsageError
from trainloop.explain_conv import parse as parse_module
from trainloop.explain_conv.as_json import plain
from trainloop.explain_conv.code import program
from trainloop.explain_conv.explain import explain_conv
from trainloop.explain_conv.limits import nearest_smaller, too_large
from trainloop.explain_conv.nearest import fits, nearest_problem
from trainloop.explain_conv.page.html import COMPUTING, MOST_ALONG_AXIS, _read
from trainloop.explain_conv.screen.answers import solve_lines
from trainloop.explain_conv.solver import solve
from trainloop.explain_conv.words.cell import taps_text
from trainloop.explain_conv.words.cost import cost_facts
from trainloop.explain_conv.words.overlap import overlap_texts, score_text, way_text
from trainloop.explain_conv.words.rule import rule_lines
from trainloop.explain_conv.words.size import distinct_axes, size_notes, symbols_text
from trainloop.manual.errors import ConvShapeError
from trainloop.report.format import size as bytes_text

DRIVER = Path(__file__).with_name("driver.js")


def by_page(node, questions, change=lambda script: script):
    """What the page's scripts make of problems.

    Args:
        node: the program that runs them.
        questions: problem, cell and pixel of each.
        change: what to do to the scripts first.
    """
    computing = "\n".join(map(_read, COMPUTING))
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


def broken(right, wrong):
    """What puts a wrong formula into the scripts, in the one place where the right one stands."""

    def change(script):
        assert script.count(right) == 1
        return script.replace(right, wrong)

    return change


def explained(conv, count, seed):
    """Explanations of problems drawn at random, each with a cell and a pixel drawn as well, and with its facts."""
    source = random.Random(seed)
    found = []
    for problem in conv.random_problems(count, seed):
        cell = [source.randrange(size) for size in (problem.out_channels, *problem.output_sizes)]
        pixel = [source.randrange(size) for size in (problem.in_channels, *problem.input_sizes)]
        found.append(explain_conv(problem, tuple(cell), tuple(pixel)))
    return with_facts(found)


def with_facts(explanations):
    """(explanation, the facts that the page has to find) of each."""
    return [(explanation, expected_of(explanation)) for explanation in explanations]


@pytest.fixture(scope="module")
def explanations(conv):
    # The first has a larger and a smaller kernel that are equally far.
    first = conv.explained("ConvTranspose2d(1, 1, 6, stride=4, padding=1)")
    return [*with_facts([first]), *explained(conv, 40, seed=71)]


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
        "ways": facts["overlap"]["ways"],
        "ways_in_words": [way_text(way) for way in explanation.overlap.ways],
        "cost": facts["cost"],
        "cost_in_words": [list(fact) for fact in cost_facts(explanation).items()],
        "program": program(explanation.problem),
        "size_notes": [[names, size_notes(explanation, axis, names)] for names, axis in distinct_axes(explanation)],
        "symbols": symbols_text(explanation),
        "rule": rule_lines(explanation),
        "taps_in_words": taps_text(explanation.cell),
        "overlap_in_words": [*overlap_texts(explanation), score_text(explanation)],
    }
    for view, array in (("scatter", "uncropped"), ("zero_insert", "spread"), ("gather", "padded")):
        wanted[array] = views[view]["arrays"][array] if view in views else None
    return wanted


def differences(node, explanations, change=lambda script: script):
    """(problem, name) of every fact that the page and Python do not share."""
    answers = by_page(node, [question(explanation) for explanation, _ in explanations], change)
    found = []
    for (explanation, wanted), answer in zip(explanations, answers, strict=True):
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
    "a weight": ("STEP * a + OTHER_CHANNEL_STEP * b", "STEP * a + CHANNEL_STEP * b", "output"),
    "a group": ("group * count + i", "i", "terms"),
    "a channel": ("CHANNEL_STEP * channel + width", "4 * channel + width", "input"),
    "a stamp": ("inside % dilation === 0 && ", "", "views"),
    "a turned kernel": ("problem.kernel_size[0] - 1 - k", "k", "views"),
    "a matrix": ("touch.output === place[axis]", "touch.output <= place[axis]", "views"),
    "a count": ("along(0, row) * along(1, column)", "along(0, row)", "counts"),
    "a reason": ("kernel % stride, others", "kernel % 3, others", "phases"),
    "a way": ("Math.floor(kernel / stride) + FURTHEST_KERNEL", "2", "ways"),
    "an order of ways": ('"output_padding"].map(moved), -kernels', '"output_padding"].map(moved), kernels', "ways"),
    "a way in words": (': numbers.join("×")', ': numbers.join("x")', "ways_in_words"),
    "a cost": ("tap.kind === INPUT).length))))", "tap.kind !== PADDING).length))))", "cost"),
    "a cost in words": ("wasted = cost.products -", "wasted = cost.dense_products -", "cost_in_words"),
    "a note on the size": ("left && never[0] >=", "left && never[0] >", "size_notes"),
    "an extra row": ("tap.kind === INPUT) === wanted", "tap.kind !== PADDING) === wanted", "size_notes"),
    "a rule": ("[source, place] : [place, at]", "[place, source] : [at, place]", "rule"),
    "taps in words": ('[INSERTED, "fall"', '[PADDING, "fall"', "taps_in_words"),
    "a score in words": ("uneven === 2", "uneven === 1", "overlap_in_words"),
    "a program": ("` - ${padding}`", "` + ${padding}`", "program"),
    "a text": ('["groups", `${problem.groups}`, "1"]', '["groups", `${problem.groups}`, "2"]', "text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_formula_is_noticed(explanations, node, fault):
    right, wrong, name = FAULTS[fault]

    assert name in {found for _, found in differences(node, explanations[:20], broken(right, wrong))}


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
        ("padding + Math.floor((outputSize(problem, axis) - 1) / 2)", "padding", "nearest"),
        ("(padded - 1) / problem.dilation[axis]", "padded / problem.dilation[axis]", "nearest"),
    ],
)
def test_a_wrong_rule_is_noticed(conv, node, monkeypatch, right, wrong, what):
    refused = refused_problems(conv, monkeypatch, 60, seed=73)
    assert what in {found for _, found in wrong_refusals(node, refused, broken(right, wrong))}


def large_problems(conv, count, seed):
    """Problems that are too large to be explained, but not too long for a page."""
    source, found = random.Random(seed), []
    for problem in conv.random_problems(40 * count, seed):
        more = source.choice((1, 40, 300))
        large = problem.replaced(
            in_channels=problem.in_channels * more,
            out_channels=problem.out_channels * source.choice((1, 40, 300)),
            input_sizes=tuple(1 if size == 1 else size * source.choice((20, 50)) for size in problem.input_sizes),
        )
        if fits(large) and too_large(large) and max(*large.output_sizes, *large.input_sizes) <= MOST_ALONG_AXIS:
            found.append(large)
    return found[:count]


def smaller_by_python(problem):
    near = nearest_smaller(problem)
    return {"what": too_large(problem), "nearest": near and [near.text, "x".join(map(str, near.input_sizes))]}


def test_the_page_offers_the_same_smaller_problem(conv, node):
    problems = large_problems(conv, 30, seed=75)
    assert len(problems) == 30
    expected = [smaller_by_python(problem) for problem in problems]
    questions = [{"large": plain(problem)} for problem in problems]
    assert by_page(node, questions) == expected
    wrong = broken("groups * Math.floor(number / 2)", "groups * Math.ceil(number / 3)")
    assert by_page(node, questions, wrong) != expected


def test_the_limits_of_the_page_are_python_s(node):
    from trainloop import module_text
    from trainloop.cli import explain_conv_request as request
    from trainloop.explain_conv import limits, nearest, overlap, solver, values
    from trainloop.explain_conv.page import html
    from trainloop.explain_conv.screen import answers
    from trainloop.explain_conv.words import overlap as overlap_words
    from trainloop.explain_conv.words import rule, size

    expected = {
        "MOST_PRODUCTS": limits.MOST_PRODUCTS,
        "MOST_NUMBERS": limits.MOST_NUMBERS,
        "FURTHEST": nearest.FURTHEST,
        "MOST_ALONG_AXIS": html.MOST_ALONG_AXIS,
        "MOST_WAYS": overlap.MOST_WAYS,
        "MOST_NAMED": size.MOST_NAMED,
        "MOST_MEETINGS": rule.MOST_MEETINGS,
        "MOST_COUNTS": overlap_words.MOST_COUNTS,
        "LARGEST": module_text.LARGEST,
        "FURTHEST_KERNEL": overlap.FURTHEST_KERNEL,
        "BOUNDS": solver.BOUNDS._asdict(),
        "MOST_SIZE": request.MOST_SIZE,
        "MOST_SOLUTIONS": answers.MOST_SOLUTIONS,
        "CHANNEL_STEP": values.CHANNEL,
        "OTHER_CHANNEL_STEP": values.OTHER_CHANNEL,
        "BIASES": values.BIASES,
    }
    script = "\n".join(map(_read, COMPUTING)) + f"\nconsole.log(JSON.stringify({{ {', '.join(expected)} }}))"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected


SIZES = (0, 1, 1023, 1024, 1280, 1281, 1792, 10_495, 1_048_575, 1_310_720, 1_835_008, 3 * 1024**3, 1024**3 * 5 // 4)


def test_bytes_are_rounded_as_in_python(node):
    """JavaScript rounds a number in the middle between two up, Python to the even one."""
    expected = [bytes_text(number) for number in SIZES]
    questions = [{"bytes": number} for number in SIZES]
    assert by_page(node, questions) == expected
    assert by_page(node, questions, lambda script: script.replace("=== 0.5", "=== 2")) != expected


def questions_to_solve(count, seed):
    """(text, transposed) of pairs of sizes drawn at random, of both kinds; some cannot be reached."""
    source = random.Random(seed)
    for index in range(count):
        num_axes = source.choice((1, 2))
        small = [source.randint(1, 16) for _ in range(num_axes)]
        large = [size * source.choice((1, 1, 2, 3)) + source.randint(0, 4) for size in small]
        pair = [small, source.choice((large, small[::-1]))]
        if source.random() < 0.1:
            pair[1] = [700] * num_axes
        if source.random() < 0.4:
            pair.reverse()
        yield ":".join("x".join(map(str, sizes)) for sizes in pair), index % 2 == 0


@functools.cache
def solved_by_python(text, transposed):
    """What the command answers: the facts, and the lines without the hint at its option."""
    solved = solve(*parse_solve(text), transposed=transposed)
    lines = (" ".join(line.plain.split()) for line in solve_lines(solved, 10_000))
    facts = plain(solved)
    facts["reachable"] = {str(axis): sizes for axis, sizes in facts["reachable"].items()}
    return facts | {"lines": [line.replace(" (--json lists them all)", "") for line in lines if line]}


def wrong_solutions(node, questions, change=lambda script: script):
    """(question, name) of every fact about solutions that the page and Python do not share."""
    asked = [{"solve": text, "transposed": transposed} for text, transposed in questions]
    found = []
    for (text, transposed), answer in zip(questions, by_page(node, asked, change), strict=True):
        wanted = solved_by_python(text, transposed)
        assert set(wanted) == set(answer)
        found += [(text, name) for name, value in wanted.items() if answer[name] != value]
    return found


def test_the_page_solves_as_python_does(node):
    questions = list(questions_to_solve(60, seed=74))
    assert wrong_solutions(node, questions) == []
    answers = [solved_by_python(*question) for question in questions]
    assert any(answer["per_axis"] for answer in answers)
    assert any(answer["reachable"] for answer in answers)
    assert any("more, less simple" in " ".join(answer["lines"]) for answer in answers)


SOLVER_FAULTS = {
    "a bound": ("stride: 8", "stride: 7", "solutions"),
    "an order": ("from(1, BOUNDS.stride)", "from(1, BOUNDS.stride).reverse()", "solutions"),
    "a formula": ("reach + output_padding + 1", "reach + output_padding", "solutions"),
    "an axis alone": ("solutions.length || axes.length === 1", "axes.length === 1", "per_axis"),
    "a nearest size": ("other >= 1 && other < wanted", "other >= 1 && other < wanted - 1", "reachable"),
    "a note": ("counts.includes(0)", "counts.includes(1)", "lines"),
    "a count": ("found.length - solutions.length", "found.length", "lines"),
}


@pytest.mark.parametrize("fault", SOLVER_FAULTS)
def test_a_wrong_solver_is_noticed(node, fault):
    right, wrong, name = SOLVER_FAULTS[fault]

    questions = list(questions_to_solve(60, seed=74))
    assert name in {found for _, found in wrong_solutions(node, questions, broken(right, wrong))}


READABLE = ("7x7:14x14", " 7 X 8 → 14×3 ", "7,7:1,1", "4096:1", "007:7")
UNREADABLE = ("", "7x7", "7x0:1x1", "7:7x7", "1x1x1:1x1x1", "7:4097", "7:-7", "1:2:3", "a:b", "7.0:7", "7:")


def test_the_page_refuses_sizes_in_the_words_of_the_command(node):
    unreadable = (*UNREADABLE, "0000040960000:1", "٧:٧")
    for text, answer in zip(READABLE, by_page(node, [{"solve": text} for text in READABLE]), strict=True):
        sizes, wanted = parse_solve(text)
        assert (answer["input_sizes"], answer["output_sizes"]) == (list(sizes), list(wanted))
    for text, answer in zip(unreadable, by_page(node, [{"solve": text} for text in unreadable]), strict=True):
        with pytest.raises(UsageError) as error:
            parse_solve(text)
        fault = error.value.faults[0]
        assert answer == {"broken": {"what": fault.what, "found": fault.found, "expected": fault.expected}}
