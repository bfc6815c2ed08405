import subprocess
import sys

import pytest

from trainloop.models import MODELS
from trainloop.models.names import OWN_MODELS


def test_the_names_are_read_without_loading_torch() -> None:
    code = "import sys, trainloop.models.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_name_builds_a_model_and_no_other_does() -> None:
    assert list(MODELS) == list(OWN_MODELS) == ["small_cnn", "resnet20", "resnet18", "speednet"]


@pytest.mark.parametrize("name", OWN_MODELS)
def test_every_model_is_described_in_one_short_line(name: str) -> None:
    assert 10 < len(OWN_MODELS[name].description) < 100
    assert "\n" not in OWN_MODELS[name].description
