from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trainloop.cli.config import app
from trainloop.config import RunConfig, load_config
from trainloop.errors import ConfigError, ResourceError, UsageError

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def output(*args: str) -> str:
    result = RUNNER.invoke(app, args, catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_show_prints_what_load_reads_back() -> None:
    Path("a.yaml").write_text("optimizer: {lr: 0.3}\n")
    Path("b.yaml").write_text(output("show", "--config", "a.yaml", "--set", "seed=7"))
    config = load_config(Path("b.yaml")).config
    assert (config.optimizer.lr, config.seed, config.train) == (0.3, 7, RunConfig().train)


def test_show_origin_says_where_each_value_comes_from() -> None:
    Path("a.yaml").write_text("optimizer:\n  lr: 0.3\n")
    lines = output("show", "--config", "a.yaml", "--set", "seed=7", "--origin").splitlines()
    found = [line.split() for line in lines]
    assert ["lr:", "0.3", "#", "a.yaml:2:7"] in found
    assert ["seed:", "7", "#", "--set", "seed=7"] in found
    assert ["mode:", "builtin", "#", "default"] in found
    assert ["optimizer:"] in found


def test_show_origin_is_still_a_config() -> None:
    Path("b.yaml").write_text(output("show", "--origin", "--set", "model.args={width: 3}"))
    assert load_config(Path("b.yaml")).config.model.args == {"width": 3}


def test_show_refuses_a_wrong_config() -> None:
    with pytest.raises(ConfigError, match="unknown key `seeed`"):
        output("show", "--set", "seeed=1")


def test_schema_is_json_with_descriptions() -> None:
    schema = json.loads(output("schema"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$defs"]["TrainConfig"]["properties"]["epochs"]["description"] == "passes over the training images"
    assert schema["additionalProperties"] is False


def test_init_writes_a_config_of_defaults() -> None:
    assert output("init", "mine.yaml") == "wrote mine.yaml\n"
    assert load_config(Path("mine.yaml")).config == RunConfig()


def test_init_without_a_name_writes_config_yaml() -> None:
    assert output("init") == "wrote config.yaml\n"


def test_init_with_a_dash_prints_the_same_and_writes_nothing() -> None:
    printed = output("init", "-")
    assert list(Path().iterdir()) == []
    output("init", "mine.yaml")
    assert Path("mine.yaml").read_text(encoding="utf-8") == printed


def test_init_never_replaces_a_file_unless_forced() -> None:
    Path("mine.yaml").write_text("seed: 3\n")
    with pytest.raises(UsageError, match="the file is there already") as caught:
        output("init", "mine.yaml")
    assert caught.value.faults[0].where == "mine.yaml"
    assert Path("mine.yaml").read_text() == "seed: 3\n"
    output("init", "mine.yaml", "--force")
    assert load_config(Path("mine.yaml")).config.seed == 0


def test_init_refuses_a_folder_even_when_forced() -> None:
    Path("folder").mkdir()
    with pytest.raises(UsageError, match="this is a folder, not a file"):
        output("init", "folder", "--force")


def test_init_under_a_file_is_refused() -> None:
    Path("a").touch()
    with pytest.raises(ResourceError, match=r"cannot write c\.yaml"):
        output("init", "a/c.yaml")
