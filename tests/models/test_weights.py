from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from trainloop.errors import CheckpointError
from trainloop.models.weights import load_weights

Build = Callable[..., nn.Module]


def network(outputs: int = 3, layers: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(4), *(nn.Linear(4, outputs) for _ in range(layers)))


def saved(folder: Path, state: dict[str, Tensor]) -> Path:
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def refused(model: nn.Module, path: Path) -> CheckpointError:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert caught.value.exit_code == 4
    return caught.value


@pytest.mark.parametrize("of_folder", [False, True])
def test_parameters_and_buffers_are_loaded_from_a_file_or_a_run_folder(tmp_path: Path, of_folder: bool) -> None:
    source, target = network(), network()
    source[0].running_mean.fill_(0.25)
    file = saved(tmp_path, source.state_dict())
    load_weights(target, tmp_path if of_folder else file)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor)


def test_build_model_starts_from_weights(build: Build, tmp_path: Path) -> None:
    source = build("small_cnn", width=2)
    file = saved(tmp_path, source.state_dict())
    assert torch.equal(build("small_cnn", width=2, weights=file).head.weight, source.head.weight)


@pytest.mark.parametrize("name", ["gone.safetensors", "."])
def test_missing_weights_are_named(tmp_path: Path, name: str) -> None:
    fault = refused(network(), tmp_path / name).faults[0]
    expected = tmp_path / ("weights.safetensors" if name == "." else name)
    assert (fault.what, fault.where) == ("there are no weights here", str(expected))
    assert fault.expected == "a .safetensors file, or a run folder that holds weights.safetensors"


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_damaged_weights_are_refused(tmp_path: Path, damage: str) -> None:
    file = saved(tmp_path, network().state_dict())
    content = file.read_bytes()
    file.write_bytes({"cut": content[:-5], "empty": b"", "text": b"these are no weights at all"}[damage])
    fault = refused(network(), file).faults[0]
    assert (fault.what, fault.where) == ("these weights cannot be read", str(file))
    assert fault.found


def test_a_tensor_of_another_shape_is_shown_with_both_shapes(tmp_path: Path) -> None:
    file = saved(tmp_path, network(outputs=6).state_dict())
    first, second = refused(network(), file).faults
    assert (first.what, first.where) == ("1.weight is of another kind", str(file))
    assert (first.found, first.expected) == ("float32 (6, 4)", "float32 (3, 4)")
    assert second.what == "1.bias is of another kind"


def test_a_tensor_of_another_dtype_is_shown_with_both(tmp_path: Path) -> None:
    state = {**network().state_dict(), "1.bias": torch.zeros(3, dtype=torch.float16)}
    (fault,) = refused(network(), saved(tmp_path, state)).faults
    assert (fault.found, fault.expected) == ("float16 (3,)", "float32 (3,)")


def test_missing_and_additional_tensors_are_named(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    state["head.weight"] = state.pop("1.weight")
    missing, additional = refused(network(), saved(tmp_path, state)).faults
    assert (missing.what, missing.expected) == ("1.weight is missing", "float32 (3, 4)")
    assert (additional.what, additional.found) == ("the model has no head.weight", "float32 (3, 4)")


def test_many_differences_are_counted(tmp_path: Path) -> None:
    file = saved(tmp_path, network().state_dict())
    faults = refused(network(layers=5), file).faults
    assert [fault.what for fault in faults] == [
        *(f"{layer}.{name} is missing" for layer in (2, 3) for name in ("weight", "bias")),
        "4.weight is missing",
        "and 3 more",
    ]
