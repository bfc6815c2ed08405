from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainloop.config.schema import ModelConfig
from trainloop.data.dataset import ImageSet
from trainloop.errors import Fault, ModelError
from trainloop.models import MODELS, build_model, parameter_count

Build = Callable[..., nn.Module]
SMALL = {"small_cnn": {"width": 4}, "resnet20": {"width": 4}, "resnet18": {"width": 4}, "speednet": {"width1": 8}}


def refused(build: Build, name: str, **changes: object) -> Fault:
    with pytest.raises(ModelError) as caught:
        build(name, **changes)
    return caught.value.faults[0]


@pytest.mark.parametrize("name", MODELS)
def test_every_own_model_is_built_in_training_mode_for_these_classes(build: Build, name: str) -> None:
    model = build(name, **SMALL[name])
    assert model.training
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize("name", MODELS)
def test_the_initialisation_is_a_function_of_torchs_seed(build: Build, name: str) -> None:
    def state(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([parameter.detach().flatten() for parameter in build(name, **SMALL[name]).parameters()])

    first, again, other = state(1), state(1), state(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["small_cnn", "resnet20", "resnet18"])
def test_own_models_take_grey_images(build: Build, name: str) -> None:
    assert build(name, shape=(1, 28, 28), width=4)(torch.zeros(2, 1, 28, 28)).shape == (2, 5)


def test_a_model_may_look_at_the_training_images() -> None:
    torch.manual_seed(0)
    images = ImageSet(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))

    def whitening(train_images: ImageSet | None) -> torch.Tensor:
        torch.manual_seed(0)
        facts = {"num_classes": 5, "image_shape": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.25,) * 3}
        return build_model(ModelConfig(name="speednet"), train_images=train_images, **facts).whitening.weight

    assert not torch.equal(whitening(images), whitening(None))


def test_frozen_and_shared_parameters_are_counted_once() -> None:
    layer = nn.Linear(3, 4)
    layer.bias.requires_grad_(False)
    assert parameter_count(nn.Sequential(layer, layer)) == 16


def test_an_unknown_name_lists_the_nearest_of_both_families(build: Build) -> None:
    fault = refused(build, "resnet19")
    assert (fault.what, fault.where) == ("there is no model of this name", "model.name")
    assert fault.found == "resnet19"
    assert fault.expected.startswith("small_cnn, resnet20, resnet18, speednet, a classifier of torchvision")
    assert fault.help == "did you mean resnet18?"


def test_a_name_like_no_other_points_to_the_list(build: Build) -> None:
    assert refused(build, "qqqqqq").help == "`trainloop models` lists them all"


def test_an_unknown_argument_of_an_own_model_lists_the_accepted(build: Build) -> None:
    fault = refused(build, "speednet", widht2=3)
    assert (fault.what, fault.expected) == ("speednet has no argument 'widht2'", "width1, width2, width3")
    assert fault.help == "did you mean 'width2'?"


@pytest.mark.parametrize("name", ["num_classes", "in_channels"])
def test_facts_of_the_run_are_no_arguments(build: Build, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        build("small_cnn", **{name: 3})
    assert caught.value.faults[0].what == f"small_cnn has no argument '{name}'"


def test_a_count_below_one_is_refused(build: Build) -> None:
    assert refused(build, "small_cnn", width=0).what == "width of small_cnn is a count"


def test_images_too_small_for_a_model_are_refused(build: Build) -> None:
    fault = refused(build, "small_cnn", shape=(3, 3, 3))
    assert fault.what == "small_cnn does not take images of 3×3"
    assert fault.found.startswith("RuntimeError: ")


def test_speednet_wants_colour_images(build: Build) -> None:
    fault = refused(build, "speednet", shape=(1, 32, 32))
    assert (fault.what, fault.found) == ("speednet takes colour images", "1 channel an image")
