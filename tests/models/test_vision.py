from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn

from trainloop.errors import ModelError
from trainloop.models import parameter_count
from trainloop.models.vision import is_vision_name, vision_names

Build = Callable[..., nn.Module]


def test_the_names_are_torchvisions_classifiers() -> None:
    assert {"resnet50", "vgg11", "vit_b_16"} <= set(vision_names())
    assert not {"fcn_resnet50", "r3d_18", "raft_large", "quantized_resnet18"} & set(vision_names())


def test_models_for_other_tasks_are_known_too() -> None:
    assert is_vision_name("fcn_resnet50")
    assert not is_vision_name("small_cnn")


def test_a_model_is_torchvisions_with_the_number_of_classes_set(build: Build) -> None:
    model = build("mnasnet0_5")
    assert parameter_count(model) == parameter_count(torchvision.models.mnasnet0_5(num_classes=5))


def test_a_prefix_asks_for_torchvisions_where_the_project_has_one_of_the_same_name(build: Build) -> None:
    assert isinstance(build("torchvision.resnet18"), torchvision.models.ResNet)
    assert not isinstance(build("resnet18", width=2), torchvision.models.ResNet)


def test_googlenet_gives_plain_logits_in_training_too(build: Build) -> None:
    model = build("googlenet")
    assert model.training
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_a_vision_transformer_is_built_for_the_size_of_the_images(build: Build) -> None:
    # The 197 positions of 224×224 images become 1 + (32 / 16)².
    assert dict(build("vit_b_16").named_parameters())["encoder.pos_embedding"].shape == (1, 5, 768)


def test_arguments_reach_the_model(build: Build) -> None:
    dropout = [layer.p for layer in build("mnasnet0_5", dropout=0.4).modules() if isinstance(layer, nn.Dropout)]
    assert dropout == [0.4]


def test_arguments_that_only_the_builder_reads_are_accepted(build: Build) -> None:
    slim = build("mobilenet_v3_small", width_mult=0.5)
    assert parameter_count(slim) < parameter_count(build("mobilenet_v3_small"))


def refused(build: Build, name: str, **changes: object) -> ModelError:
    with pytest.raises(ModelError) as caught:
        build(name, **changes)
    return caught.value


def test_an_unknown_argument_lists_the_accepted(build: Build) -> None:
    fault = refused(build, "mnasnet0_5", droput=0.4).faults[0]
    assert (fault.what, fault.where) == ("mnasnet0_5 has no argument 'droput'", "model.args.droput")
    assert (fault.expected, fault.help) == ("dropout", "did you mean 'dropout'?")


def test_only_arguments_that_a_config_can_hold_are_accepted(build: Build) -> None:
    fault = refused(build, "efficientnet_b0", norm_layer="batch").faults[0]
    assert fault.what == "efficientnet_b0 has no argument 'norm_layer'"
    assert fault.expected == "last_channel, stochastic_depth_prob"


def test_the_helper_heads_cannot_be_switched_on(build: Build) -> None:
    fault = refused(build, "googlenet", aux_logits=True).faults[0]
    assert fault.what == "googlenet has no argument 'aux_logits'"


def test_an_argument_that_the_builder_sets_itself_is_refused(build: Build) -> None:
    fault = refused(build, "densenet121", growth_rate=8).faults[0]
    assert fault.what == "densenet121 cannot be built with these arguments"
    assert fault.found == "growth_rate: 8"
    assert "multiple values" in fault.help
    assert "'growth_rate'" in fault.help


def test_a_model_for_another_task_is_refused_with_the_reason(build: Build) -> None:
    fault = refused(build, "fcn_resnet50").faults[0]
    assert fault.what == "fcn_resnet50 is torchvision's, but no image classifier"
    assert fault.found == "a model of torchvision.models.segmentation"


def test_a_model_that_cannot_take_small_images_points_to_image_size(build: Build) -> None:
    fault = refused(build, "alexnet").faults[0]
    assert (fault.what, fault.where) == ("alexnet does not take images of 32×32", "model.name")
    assert "Output size is too small" in fault.found
    assert "data.image_size: 224" in fault.help


def test_a_model_that_cannot_be_built_for_small_images_points_to_image_size(build: Build) -> None:
    fault = refused(build, "maxvit_t").faults[0]
    assert fault.what == "maxvit_t cannot be built for images of 32×32"
    assert "partition size 7" in fault.found
    assert "data.image_size: 224" in fault.help


def test_grey_images_are_refused(build: Build) -> None:
    fault = refused(build, "mnasnet0_5", shape=(1, 32, 32)).faults[0]
    assert (fault.what, fault.found) == ("mnasnet0_5 takes colour images", "1 channel an image")
    assert fault.expected == "3 channels"
