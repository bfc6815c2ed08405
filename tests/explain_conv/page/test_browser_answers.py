"""What the page in a real browser says about the form's problem: ways, cost, program and solver."""

from __future__ import annotations

import re

from trainloop.explain_conv.code import program
from trainloop.explain_conv.page.html import page_html
from trainloop.explain_conv.solver import solve
from trainloop.explain_conv.words.cost import cost_facts
from trainloop.explain_conv.words.overlap import way_text


def facts(seen):
    """Ways, cost and program, as the page says them."""
    ways = seen.page.locator("#ways span").all_text_contents()
    cost = seen.value(
        "[...document.querySelectorAll('#cost tr')].map((row) => [...row.children].map((e) => e.textContent))"
    )
    return ways, dict(cost), seen.text("#program")


def expected_facts(explanation):
    ways = [way_text(way) for way in explanation.overlap.ways]
    return ways, cost_facts(explanation), program(explanation.problem)


def test_ways_cost_and_program_follow_the_form(conv, open_page, capsys):
    seen = open_page(page_html(conv.explained()))
    assert facts(seen) == expected_facts(conv.explained())
    seen.change(in_channels=4, out_channels=2, groups=2, kernel_size__W=5, padding__H=0, dilation__H=2)
    text = "ConvTranspose2d(4, 2, (3, 5), stride=2, padding=(0, 1), output_padding=1, dilation=(2, 1), groups=2)"
    assert seen.text("#module") == text
    assert facts(seen) == expected_facts(conv.explained(text, "5x5"))
    assert all(facts(seen))
    assert seen.text("#program-command") == f'trainloop explain-conv --problem "{text}" --input 5x5 --code'
    names = conv.run_program(seen.text("#program"))
    assert capsys.readouterr().out.endswith("loops and torch agree: True\n")
    assert names["y"] == conv.explained(text, "5x5").output.tolist()
    assert seen.numbers("output") == [row[:16] for row in names["y"][0][:14]]
    seen.page.click("#ways button >> nth=0")
    assert facts(seen)[0] == []  # taken: there is no pattern left
    assert seen.text("#module") in expected_facts(conv.explained(text, "5x5"))[0][0]
    seen.change(module="Conv1d")
    assert facts(seen)[1:] == expected_facts(conv.explained(seen.text("#module"), "5"))[1:]
    seen.require_quiet()


def test_a_page_that_does_not_follow_the_form_is_noticed(conv, open_page):
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_html(conv.explained()))
    once = "if (problem === FACTS.problem) "
    for call in ("drawOverlapText(problem, take);", "drawCost(model);", "drawProgram(problem);"):
        assert html.count(f"  {call}") == 1
        html = html.replace(f"  {call}", f"  {once}{call}")
    seen = open_page(html)
    assert facts(seen) == expected_facts(conv.explained())
    seen.change(kernel_size__W=5)
    expected = expected_facts(conv.explained(seen.text("#module"), "5x5"))
    assert all(said != wanted for said, wanted in zip(facts(seen), expected, strict=True))


PASTED = """() => {
  const field = document.createElement("textarea");
  document.body.append(field);
  field.focus();
}"""


def test_the_program_can_be_copied_or_is_selected(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.page.click("#copy")
    assert seen.text("#copied") == "copied"
    seen.page.evaluate(PASTED)
    seen.page.keyboard.press("Control+V")
    assert seen.value("document.activeElement.value.trimEnd()") == seen.text("#program").rstrip()
    seen.value("document.execCommand = () => false")
    seen.page.click("#copy")
    assert seen.text("#copied") == "selected: Ctrl-C copies it"
    assert seen.value("String(getSelection()).trimEnd()") == seen.text("#program").rstrip()
    seen.page.focus("#program")
    seen.page.keyboard.press("ArrowDown")
    assert seen.text("#where") == "output[5,5]"  # what scrolls keeps its keys
    seen.require_quiet()


def solutions(seen, table=0):
    rows = seen.page.locator(".solutions").nth(table).locator("tbody tr")
    return [re.sub("^take it", "", text) for text in rows.all_inner_texts()]


def test_the_solver_lists_what_the_command_lists_and_a_click_takes_it(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    assert seen.page.input_value("#solve") == "5x5:10x10"
    assert seen.page.is_checked("#solve-transposed")
    seen.page.fill("#solve", "7x7:14x14")
    first, *_ = solve((7, 7), (14, 14), transposed=True).solutions
    assert "transposed convolution 7×7 → 14×14: 241 solutions" in seen.text("#solutions")
    listed = solutions(seen)
    assert len(listed) == 20
    assert listed[0].split() == [str(number) for number in (first.kernel_size, first.stride, first.padding, 1, 0)]
    assert listed[-1].endswith("checkerboard")
    assert seen.page.locator(".solutions [aria-current]").count() == 0
    button = seen.page.locator(".solutions button").nth(1)
    button.focus()
    seen.page.keyboard.press("Enter")
    assert seen.text("#module") == "ConvTranspose2d(1, 1, 4, stride=2, padding=1)"
    assert seen.text("#shape") == "7×7 → 14×14"
    assert seen.value("document.activeElement.ariaLabel").startswith("take kernel 4, stride 2, padding 1")
    assert solutions(seen) == listed
    assert seen.page.locator(".solutions [aria-current]").inner_text().split()[2:4] == ["4", "2"]
    assert seen.text("#solve-said").endswith("ConvTranspose2d(1, 1, 4, stride=2, padding=1)")
    seen.page.uncheck("#solve-transposed")
    assert "convolution 7×7 → 14×14: " in seen.text("#solutions")
    seen.page.locator(".solutions tbody tr").nth(0).click()
    assert seen.text("#module").startswith("Conv2d(1, 1, ")
    assert seen.text("#shape") == "7×7 → 14×14"
    seen.require_quiet()


def test_the_solver_follows_the_form_until_it_is_asked_something_else(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.change(stride__H=3)
    assert seen.page.input_value("#solve") == "5x5:14x10"
    assert not seen.page.is_visible("#solve-reset")
    # Each axis on its own: a click on one of H leaves a W that fits.
    seen.page.fill("#solve", "8x6:4x9")
    seen.page.uncheck("#solve-transposed")
    assert "convolution 8×6 → 4×9: no solutions" in seen.text("#solutions")
    along = [seen.page.locator(".solutions").nth(axis) for axis in (0, 1)]
    along[0].locator("tbody tr").nth(3).click()
    along[1].locator("tbody tr").nth(2).click()
    assert seen.text("#shape") == "8×6 → 4×9"
    assert [table.locator("[aria-current]").count() for table in along] == [1, 1]
    assert along[0].locator("tbody tr").nth(3).get_attribute("aria-current") == "true"
    seen.page.fill("#solve", "5:700")
    assert "nearest sizes that 5 leads to: " in seen.text("#solutions")
    seen.change(stride__W=1, stride__H=1)
    assert seen.page.input_value("#solve") == "5:700"
    seen.page.click("#solve-reset")
    sizes = seen.text("#shape").replace("×", "x").replace(" → ", ":")
    assert seen.page.input_value("#solve") == sizes
    seen.page.fill("#solve", "7x7")
    message = (
        "these are not two sizes: found 7x7; expected IN:OUT such as 7x7:14x14 or 7:14, each number from 1 to 4096"
    )
    assert seen.text("#solutions") == message
    assert seen.page.get_attribute("#solve", "aria-invalid") == "true"
    seen.change(out_channels=1000)
    seen.page.fill("#solve", "1000x1000:1000x1000")
    seen.page.locator(".solutions tbody tr").nth(0).click()
    assert "1,000,000,000 multiplications are too many to explain" in seen.text("#solve-said")
    assert seen.text("#solve-said") == seen.text("#refused p >> nth=0")
    seen.require_quiet()
