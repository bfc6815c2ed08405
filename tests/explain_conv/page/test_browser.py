"""The page in a real browser: what it shows, what it does when it is pointed at or typed into, and what it never does."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from trainloop.explain_conv.page.html import page_html
from trainloop.explain_conv.words.rule import rule_lines

DEFAULT = "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)"


def compared(seen):
    seen.wait_for("#checked", re.compile("^all "))
    return seen.text("#checked")


def test_it_shows_the_numbers_of_the_command(conv, open_page):
    explanation = conv.explained()
    seen = open_page(page_html(explanation))
    assert seen.text("#module") == DEFAULT
    assert seen.text("#shape") == "5×5 → 10×10"
    assert compared(seen).startswith("all 100 outputs of this page are the command's")
    assert compared(seen).endswith(": same")
    for grid, expected in (
        ("input", explanation.input[0]),
        ("weight", explanation.weight[0, 0]),
        ("output", explanation.output[0]),
        ("scatter", explanation.views[0].arrays["uncropped"][0]),
        ("turned", explanation.views[1].arrays["turned"][0, 0]),
        ("overlap-grid", explanation.overlap.counts),
    ):
        assert seen.numbers(grid) == expected.tolist(), grid
    assert "output[5,5] = 1·1 + 9·3 + 5·7 + 4·9 + 0 (bias) = 99" in seen.text("#formula")
    assert seen.text("#equal").startswith("output[5,5]: scatter 99, zero insert 99, matrix 99: all the same")
    assert "(5 − 1)·2 − 2·1 + 1·(3 − 1) + 1 + 1 = 10" in seen.text("#size")
    seen.require_quiet()


def test_the_comparison_with_the_command_notices_another_number(conv, open_page):
    html = page_html(conv.explained())
    wrong = re.sub(r'("weighted_sum": )(\d+)', lambda found: f"{found[1]}{int(found[2]) + 1}", html)
    assert wrong != html
    seen = open_page(wrong)
    seen.wait_for("#checked", "NOT")


def test_pointing_at_an_output_shows_its_taps_and_at_an_input_its_outputs(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.cell("output", 0, 0).hover()
    assert seen.marked("output", "chosen") == [(0, 0)]
    assert seen.marked("input", "related") == [(0, 0)]
    assert seen.marked("weight", "related") == [(1, 1)]
    seen.cell("input", 2, 3).hover()
    effects = conv.explained(pixel=(0, 2, 3)).pixel.effects
    assert seen.marked("input", "chosen") == [(2, 3)]
    assert sorted(seen.marked("output", "related")) == sorted(effect.place for effect in effects)
    assert "input[2,3] = 5 goes into 9 outputs: output[3,5] + 5·1" in seen.text("#formula")
    seen.page.locator("h1").hover()
    assert seen.marked("output", "chosen") == [(5, 5)]
    seen.require_quiet()


def test_a_click_pins_until_escape(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.cell("output", 3, 3).click()
    assert seen.page.is_visible("#pin")
    seen.cell("output", 7, 7).hover()
    assert seen.marked("output", "chosen") == [(3, 3)]
    seen.page.keyboard.press("Escape")
    assert not seen.page.is_visible("#pin")
    seen.cell("output", 7, 6).hover()
    assert seen.marked("output", "chosen") == [(7, 6)]


def test_keys_step_play_and_pin(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    for keys, place in (("ArrowRight", (5, 6)), ("ArrowDown", (6, 6)), ("ArrowLeft", (6, 5)), ("ArrowUp", (5, 5))):
        seen.page.keyboard.press(keys)
        assert seen.marked("output", "chosen") == [place]
    seen.page.keyboard.press("Enter")
    assert seen.page.is_visible("#pin")
    seen.page.keyboard.press("Space")
    assert seen.text("#play") == "pause"
    seen.wait_for("#where", "output[5,6]")
    seen.page.keyboard.press("Space")
    assert seen.text("#play") == "play"
    seen.page.focus("#input")
    seen.page.keyboard.press("ArrowUp")
    assert seen.marked("input", "chosen") == [(1, 2)]
    assert seen.value("document.getElementById('input').getAttribute('aria-activedescendant')") == "input-1-2"
    seen.require_quiet()


def test_keys_move_on_from_where_a_resting_pointer_is(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.cell("output", 2, 3).hover()
    for keys, place in (("ArrowRight", (2, 4)), ("ArrowRight", (2, 5)), ("ArrowDown", (3, 5))):
        seen.page.keyboard.press(keys)
        seen.page.wait_for_timeout(60)
        assert seen.marked("output", "chosen") == [place]
    seen.page.locator("h1").hover()
    assert seen.marked("output", "chosen") == [(3, 5)]
    seen.cell("output", 0, 1).hover()
    assert seen.marked("output", "chosen") == [(0, 1)]
    seen.require_quiet()


def test_what_is_no_channel_gives_way_to_the_one_that_is_shown(conv, open_page):
    seen = open_page(page_html(conv.explained("Conv2d(4, 4, 3, groups=2)", "5x5")))
    assert seen.text("#shape") == "4×5×5 → 4×3×3"
    seen.page.fill("#in-channel", "9")
    seen.page.press("#in-channel", "Tab")
    assert seen.page.input_value("#in-channel") == "0"
    seen.page.fill("#out-channel", "3")
    seen.page.press("#out-channel", "Tab")
    assert seen.page.input_value("#in-channel") == "2"
    assert "weight[3,0]" in seen.page.locator("figcaption").all_text_contents()[1]


def test_the_rule_by_hand_follows_the_cell(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.cell("output", 2, 3).hover()
    explanation = conv.explained(cell=(0, 2, 3))
    assert seen.page.locator("#rule p").all_text_contents() == rule_lines(explanation)
    seen.cell("input", 0, 0).hover()
    assert seen.page.locator("#rule p").count() == 0


def test_outputs_that_no_stamp_reaches_are_not_said_to_be_computed(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    assert "computed, not filled with zeros" in seen.text("#size")
    seen.change(stride__H=3, stride__W=3, padding__H=0, padding__W=0, output_padding__H=2, output_padding__W=2)
    assert "no stamp reaches there with these numbers, only the bias is left" in seen.text("#size")
    assert "computed, not filled" not in seen.text("#size")


def test_the_slider_keeps_its_arrow_keys_and_leaves_the_others_to_the_page(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.page.focus("#slider")
    seen.page.keyboard.press("ArrowRight")
    assert seen.text("#where") == "output[5,6]"
    seen.page.keyboard.press("Enter")
    assert seen.page.is_visible("#pin")
    seen.page.keyboard.press("Space")
    assert seen.text("#play") == "pause"
    seen.page.focus("#f-groups")
    seen.page.keyboard.press("Space")
    assert seen.text("#play") == "pause"  # what is typed into the form is the form's


def test_every_control_can_be_reached_by_tab(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    reached = set()
    for _ in range(60):
        seen.page.keyboard.press("Tab")
        reached.add(seen.value("document.activeElement.id"))
    assert {"f-module", "f-stride-H", "f-bias", "previous", "play", "next", "slider", "input", "output"} <= reached
    assert {"solve", "solve-transposed", "copy", "program"} <= reached


def test_the_slider_and_its_buttons_go_through_the_outputs(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.page.fill("#slider", "99")
    assert seen.text("#where") == "output[9,9]"
    assert f"= {conv.explained().output[0, 9, 9]}" in seen.text("#formula")
    seen.page.click("#next")
    assert seen.text("#where") == "output[0,0]"
    seen.page.click("#previous")
    assert seen.text("#where") == "output[9,9]"
    assert seen.text("#live") == seen.text("#formula")
    assert seen.page.get_attribute("#live", "aria-live") == "polite"
    seen.require_quiet()


def test_changed_parameters_are_computed_in_the_page(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.change(module="Conv2d", in_channels=4, out_channels=2, groups=2)
    seen.change(kernel_size__W=2, stride__H=1, padding__W=2, dilation__W=2)
    seen.change(input_sizes__H=6, input_sizes__W=8, padding_mode="reflect")
    text = "Conv2d(4, 2, (3, 2), stride=(1, 2), padding=(1, 2), dilation=(1, 2), groups=2, padding_mode='reflect')"
    assert seen.text("#module") == text
    explanation = conv.explained(text, "6x8")
    assert seen.numbers("output") == explanation.output[0].tolist()
    assert seen.numbers("padded") == explanation.views[0].arrays["padded"][0].tolist()
    seen.page.fill("#out-channel", "1")
    assert seen.numbers("output") == explanation.output[1].tolist()
    assert seen.numbers("input") == explanation.input[2].tolist()
    seen.page.fill("#in-channel", "0")
    assert seen.text("#where").startswith("input[0,")
    seen.page.uncheck("#f-bias")
    assert seen.text("#module").endswith("bias=False, padding_mode='reflect')")
    seen.require_quiet()


def test_one_axis_same_padding_and_output_padding(conv, open_page):
    seen = open_page(page_html(conv.explained("Conv1d(1, 1, 4)", "7")))
    seen.change(padding_word="same")
    assert seen.text("#shape") == "7 → 7"
    assert seen.numbers("output") == conv.explained("Conv1d(1, 1, 4, padding='same')", "7").output[0].tolist()
    assert not seen.page.is_visible("#f-stride-H")
    seen.change(module="ConvTranspose1d", stride__W=3, output_padding__W=2)
    explanation = conv.explained("ConvTranspose1d(1, 1, 4, stride=3, output_padding=2)", "7")
    assert seen.numbers("scatter")[0] == explanation.views[0].arrays["uncropped"][0, 0, :16].tolist()
    seen.require_quiet()


def test_what_does_not_fit_together_is_refused_with_the_rule_and_the_nearest(conv, open_page):
    seen = open_page(page_html(conv.explained()))
    seen.change(output_padding__H=5)
    message = seen.text("#refused")
    assert "output_padding (=5) must be smaller than stride (=2) or dilation (=1) along H" in message
    assert f"Nearest: {DEFAULT} of 5×5" in message
    assert seen.text("#shape") == "5×5 → 10×10"  # the pictures stay
    seen.page.click("#nearest")
    assert not seen.page.is_visible("#refused")
    assert seen.value("document.activeElement.id") == "f-module"  # the button that was clicked is gone
    assert seen.page.input_value("#f-output_padding-H") == "1"
    seen.change(stride__W="")
    assert "stride along W: expected a whole number" in seen.text("#refused")
    assert seen.page.get_attribute("#f-stride-W", "aria-invalid") == "true"
    seen.change(stride__W=4_000_000)
    assert "stride along W: expected at most 999,999" in seen.text("#refused")
    seen.change(stride__W=2, out_channels=300_000)
    assert "an output of 30,000,000 numbers is too large to explain: expected at most 20,000,000" in seen.text(
        "#refused"
    )
    seen.change(module="Conv2d", out_channels=1, padding_word="same")
    assert "padding='same' needs stride=1" in seen.text("#refused")
    seen.page.click("#nearest")
    assert seen.text("#module") == "Conv2d(1, 1, 3, padding='same')"
    seen.require_quiet()


def test_a_large_problem_is_small_as_a_file_and_quick_to_step_through(conv, open_page):
    text, size = "ConvTranspose2d(1, 2, 11, stride=8, padding=1)", "64x64"
    explanation = conv.explained(text, size)
    html = page_html(explanation)
    assert len(html.encode()) < 1_500_000
    seen = open_page(html)
    seen.page.fill("#slider", "263170")
    assert seen.text("#where") == "output[1,0,1]"
    assert seen.numbers("output") == explanation.output[1, :14, :16].tolist()
    assert seen.page.locator(".cell").count() < 2500
    seen.require_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_its_window_in_light_and_dark(conv, open_page, scheme, width):
    seen = open_page(page_html(conv.explained()), color_scheme=scheme, viewport={"width": width, "height": 800})
    assert seen.value("document.documentElement.scrollWidth") == width
    tables = seen.value("[...document.querySelectorAll('.scrolled')].map((e) => [e.scrollWidth, e.clientWidth])")
    assert tables
    assert all(content <= place for content, place in tables)
    levels = [
        int(level) for level in seen.value("[...document.querySelectorAll('h1, h2, h3')].map((e) => e.tagName[1])")
    ]
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
    contrasts = seen.value(CONTRASTS)
    assert len(contrasts) > 5
    assert min(contrasts.values()) >= 4.5, contrasts
    background = seen.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) > 384) == (scheme == "light")
    seen.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    assert seen.value("getComputedStyle(document.body).backgroundColor") != background
    seen.require_quiet()


def test_a_narrow_window_shows_the_marked_part_of_a_wide_plane(conv, open_page):
    seen = open_page(page_html(conv.explained()), viewport={"width": 400, "height": 800})
    assert seen.value("matrix.scrollWidth > matrix.clientWidth")
    inside = "(mark) => { const [a, b] = [matrix, matrix.querySelector(mark)].map((e) => e.getBoundingClientRect());"
    inside += "return a.left <= b.left && b.right <= a.right; }"
    for _ in range(3):
        assert seen.page.evaluate(inside, ".related")
        seen.page.keyboard.press("ArrowLeft")
    heads = seen.value("[...matrix.querySelectorAll('.label')].map((e) => [e.scrollWidth, e.clientWidth])")
    assert all(content <= place for content, place in heads)  # no label runs into the next


CONTRASTS = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
  };
  const found = {};
  const selectors = ["body", ".hint", "label", ".label", ".cell", ".chosen", ".related", ".border", ".zero"];
  for (const selector of [...selectors, "#formula", "button", "#program", ".facts td", "[aria-current] td", ".solutions td"]) {
    const element = document.querySelector(selector);
    const a = light(numbers(getComputedStyle(element).color)), b = light(behind(element));
    found[selector] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return found;
}"""


def test_text_that_looks_like_markup_stays_text(conv, open_page):
    hostile = "</title></script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    html = page_html(dataclasses.replace(conv.explained(), text=hostile, torch_version=hostile))
    assert hostile not in html
    seen = open_page(html)
    assert hostile in compared(seen)
    seen.page.fill("#solve", hostile)
    assert f"these are not two sizes: found {hostile}; expected" in seen.text("#solutions")
    assert seen.value("window.broken") is None
    seen.require_quiet()


IMAGE = '<img src="http://127.0.0.1:9/picture.png">'


def test_the_policy_refuses_what_is_not_the_page_s_own(conv, open_page):
    html = page_html(conv.explained())
    for foreign in (IMAGE, "<script>window.broken = 1</script>", "<style>h1 { color: red }</style>"):
        seen = open_page(html.replace("<main>", f"{foreign}<main>"))
        assert seen.value("window.broken") is None
        assert any("Content Security Policy" in said for said in seen.said), foreign
        with pytest.raises(AssertionError):
            seen.require_quiet()


def test_a_request_is_noticed(conv, open_page):
    html = page_html(conv.explained()).replace("<main>", f"{IMAGE}<main>")
    seen = open_page(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html))
    assert "http://127.0.0.1:9/picture.png" in seen.requests
    with pytest.raises(AssertionError):
        seen.require_quiet()


def test_an_error_of_a_script_is_noticed(conv, open_page):
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_html(conv.explained()))
    seen = open_page(html.replace('<ul class="legend">', "").replace('id="slider"', 'id="slide"'))
    assert any("null" in said for said in seen.said)
    with pytest.raises(AssertionError):
        seen.require_quiet()
