"""The README and the shipped configs say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainloop.config import load_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def code_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_step_shown_is_the_step_that_runs():
    (shown,) = (block for block in code_blocks("python") if "stages.zero_grad()" in block)
    source = (ROOT / "src/trainloop/loop/step.py").read_text(encoding="utf-8")
    body = source[source.index("    stages.zero_grad()") :]
    position = 0
    for line in shown.splitlines():
        position = body.index(line.strip(), position)


def test_the_config_shown_is_the_one_shipped():
    (shown,) = code_blocks("yaml")
    shipped = (ROOT / "configs/quickstart.yaml").read_text(encoding="utf-8")
    assert shown in shipped


def test_every_file_of_the_map_exists():
    rows = re.findall(r"^\| .+ \| (.*src/trainloop.*) \|$", README, flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 15
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row)
        assert (ROOT / first).exists(), first
        for name in others:
            places = (ROOT / "src/trainloop" / name, (ROOT / first).parent / name)
            assert any(place.exists() for place in places), name


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_loads_and_opens_with_its_command_and_result(path):
    load_config(path)
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any(f"trainloop train --config configs/{path.name}" in line for line in header)
    assert any("Measured" in line for line in header)
    assert any(re.search(r"\d+\.\d+ % test accuracy", line) for line in header)
    assert any(re.search(r"20\d\d-\d\d-\d\d", line) for line in header)


def test_the_configs_that_the_documents_name_exist():
    assert {"quickstart.yaml", "cifar10.yaml"} <= {path.name for path in CONFIGS}


def test_the_run_folder_document_names_every_field_of_the_summary_in_order():
    import dataclasses

    from trainloop.report.summary import SCHEMA_VERSION, Summary

    text = (ROOT / "docs/run-folder.md").read_text(encoding="utf-8")
    section = text[text.index("## `summary.json`") : text.index("## `metrics.jsonl`")]
    documented = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert documented == ["schema_version", *(field.name for field in dataclasses.fields(Summary))]
    assert f"(schema_version {SCHEMA_VERSION})" in section


def test_the_run_folder_document_names_every_key_of_a_metrics_line():
    import dataclasses

    from trainloop.loop.events import EpochDone, StepRecord, TestDone

    text = (ROOT / "docs/run-folder.md").read_text(encoding="utf-8")
    for kind, cls in (("step", StepRecord), ("epoch", EpochDone), ("test", TestDone)):
        (row,) = re.findall(rf"^\| `{kind}` \| (.*) \|$", text, flags=re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == {field.name for field in dataclasses.fields(cls)}


def test_the_glossary_and_the_readme_name_the_stages_that_exist():
    from trainloop.stages import STAGES

    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    for stage in STAGES:
        assert stage in glossary
        assert stage in README
