"""Receptive fields against what a gradient reaches, for chains and branches; and what is said where there is no chain."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainloop.errors import ModelError, UsageError
from trainloop.explain_conv.stack import field as arithmetic
from trainloop.explain_conv.stack.source import stack_of
from trainloop.explain_conv.stack.trace import trace


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.left = nn.Sequential(nn.Conv2d(2, 2, 5, padding=2), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
        self.right = nn.Conv2d(2, 2, 1)
        self.after = nn.Conv2d(4, 2, 3, stride=2)

    def forward(self, x):
        x = self.stem(x)
        return self.after(torch.cat([self.left(x), self.right(x)], 1)) * 2


class Shifted(nn.Module):
    """Branches that look in different directions, slices, padding of its own, a pooling and a permutation."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, (3, 5), padding=(1, 2), stride=(1, 2))

    def forward(self, x):
        x = torch.nn.functional.pad(self.conv(x), (0, 1, 2, 0))
        x = x[:, :, 1:-1, :-1:2] + x[..., 2:, 1::2]
        x = torch.relu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return torch.nn.functional.max_pool2d(x, 2)


def positive(model):
    """Weights of one, so that nothing cancels; a max looks at every place if all are alike."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    return model


def intervals(model, side):
    """For each cell of the last map the rows and columns of the image that change it: every pixel is tried."""
    with torch.no_grad():
        changed = model(torch.eye(side * side).view(-1, 1, side, side)) != model(torch.zeros(1, 1, side, side))
    found = {}
    for row in range(changed.shape[2]):
        for column in range(changed.shape[3]):
            hits = changed[:, 0, row, column].view(side, side).nonzero()
            found[row, column] = [(axis.min().item(), axis.max().item()) for axis in hits.T]
    return found


def exact(field, index, side):
    low = field.low + index * field.jump
    return (max(low, 0), min(low + field.extent - 1, side - 1))


@pytest.mark.parametrize(
    ("model", "side"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 1, 3)), 20),
        (nn.Sequential(nn.Conv2d(1, 1, (3, 2), stride=(1, 2), padding=1), nn.AvgPool2d((2, 3), 1, (1, 0))), 13),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(4)), 18),
        (Branches(), 16),
        (Shifted(), 16),
    ],
    ids=["chain", "two axes", "adaptive", "branches", "shifted"],
)
def test_the_field_of_every_cell_is_what_changes_it(model, side):
    stack = trace(positive(model), (1, side, side), "net")
    assert stack.not_followed == ""
    for place, found in intervals(model, side).items():
        assert found == [exact(field, index, side) for field, index in zip(stack.last, place, strict=True)]


def test_a_wrong_field_would_be_noticed(monkeypatch):
    right = arithmetic.window
    monkeypatch.setattr(
        arithmetic, "window", lambda *a, **numbers: right(*a, **{**numbers, "padding": numbers["padding"] + 1})
    )
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 1, 3))
    with pytest.raises(AssertionError):
        test_the_field_of_every_cell_is_what_changes_it(model, 20)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1)),
        nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.ConvTranspose2d(1, 1, 3, stride=2)),
        nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Upsample(scale_factor=2)),
        nn.Sequential(
            nn.Conv2d(1, 1, 3, stride=2), nn.ConvTranspose2d(1, 1, 5, stride=3, padding=2), nn.Conv2d(1, 1, 1)
        ),
    ],
    ids=["kernel 4", "kernel 3", "nearest", "stride 3"],
)
def test_where_neighbours_differ_the_largest_field_is_told(model):
    stack = trace(positive(model), (1, 17, 17), "net")
    found = intervals(model, 17).values()
    for axis, field in enumerate(stack.last):
        assert max(one[axis][1] - one[axis][0] + 1 for one in found) == field.extent


class Twofold(nn.Module):
    """Branches whose cells see differently many pixels, cut and stacked."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 2, 3, stride=2, padding=2, dilation=2)
        self.up = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
        self.wide = nn.Conv2d(1, 2, 5, padding=2)
        self.after = nn.ConvTranspose2d(4, 1, 2, stride=3)

    def forward(self, x):
        return self.after(torch.cat([self.up(self.down(x)), self.wide(x)], 1))[:, :, 2:, 1::2]


class Framed(nn.Module):
    """Padding of every mode around a map whose cells differ."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(1, 1, 2, stride=3, output_padding=1)
        self.after = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        x = self.up(x)
        for mode in ("reflect", "replicate", "constant", "circular"):
            x = self.after(nn.functional.pad(x, (3, 1, 2, 2), mode))
        return x


class Gated(nn.Module):
    """Every place times a number made of the whole plane, and then a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(1, 1, 3, stride=2)

    def forward(self, x):
        return self.up((x[:, :, 2:-3, 1:-1] * x[:, :, 3:-4, 2:-2].mean((2, 3), keepdim=True)) + 1)


SIDE = 14
CHECKERBOARD = (
    nn.Conv2d(1, 2, 3, stride=2, padding=1),
    nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1),
)
UNEVEN = {
    "fields of 3 and 5": nn.Sequential(*CHECKERBOARD),
    "gaps": nn.Sequential(*CHECKERBOARD, nn.ConvTranspose2d(2, 1, 2, stride=4)),
    "gaps that are read": nn.Sequential(nn.ConvTranspose2d(1, 1, 1, stride=5, output_padding=3), nn.Conv2d(1, 1, 3)),
    "only stamps that there are": nn.ConvTranspose2d(1, 1, 5, padding=2),
    "dilation": nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.ConvTranspose2d(1, 1, 3, 2, 1, 2, dilation=3)),
    "dilation meets stride": nn.ConvTranspose2d(1, 1, 3, stride=4, padding=3, dilation=2),
    "two axes": nn.Sequential(
        nn.Conv2d(1, 1, (3, 4), (2, 1)), nn.ConvTranspose2d(1, 1, (4, 2), (2, 3), (1, 0), (0, 2)), nn.AvgPool2d((3, 2))
    ),
    "padded behind": nn.Sequential(*CHECKERBOARD, nn.Conv2d(2, 2, 5, 2, 2), nn.Conv2d(2, 1, 3, padding=2, dilation=2)),
    "pools": nn.Sequential(*CHECKERBOARD, nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(5)),
    "only padding": nn.Sequential(nn.ConvTranspose2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 1, padding=2)),
    "equal again": nn.Sequential(nn.ConvTranspose2d(1, 1, 3, 1, 4, dilation=2), nn.Conv2d(1, 1, 2, 1, 1)),
    "nearest": nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 2)),
    "linear": nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Upsample((11, 17), mode="bilinear")),
    "cubic": nn.Sequential(nn.Conv2d(1, 1, 2, stride=2), nn.Upsample(scale_factor=(1.5, 3), mode="bicubic")),
    "branches": Twofold(),
    "frames": Framed(),
    "a gate": Gated(),
}


def by_gradient(model, side):
    """For each axis and each row (column) of the last map the first and the last pixel that its gradient reaches."""
    x = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    y = copy.deepcopy(model).double()(x).sum(1, keepdim=True)
    found = []
    for axis in (2, 3):
        lines = y.sum(5 - axis).flatten(0, 2)
        gradients = [torch.autograd.grad(line, x, retain_graph=True)[0].sum(5 - axis).flatten() for line in lines]
        hits = [gradient.nonzero().flatten().tolist() for gradient in gradients]
        found.append([(hit[0], hit[-1]) if hit else None for hit in hits])
    return found


def on_the_image(cell, side):
    """What a cell sees without padding; None where nothing is left."""
    if cell is None or cell[1] < 0 or cell[0] >= side:
        return None
    return max(cell[0], 0), min(cell[1], side - 1)


@pytest.mark.parametrize("name", UNEVEN)
def test_each_cell_sees_what_its_gradient_reaches(name):
    stack = trace(positive(UNEVEN[name]), (1, SIDE, SIDE), "net")
    assert stack.not_followed == ""
    assert any(field.cells is not None for row in stack.rows for field in row.fields)
    for field, wanted in zip(stack.last, by_gradient(UNEVEN[name], SIDE), strict=True):
        assert [on_the_image(cell, SIDE) for cell in field.each] == wanted
        sizes = [0 if cell is None else cell[1] - cell[0] + 1 for cell in field.each]
        assert (field.fewest, field.extent) == (min(sizes), max(sizes))
        assert (field.centre is None) == (sizes[0] == 0)
        union = on_the_image(field.all_together.each[0], SIDE)
        assert union == arithmetic.hull(wanted)


def by_one_formula(field, size, *, kernel, stride, padding, dilation):
    """As if all cells saw equally many pixels, and there were stamps beyond the borders."""
    reach = dilation * (kernel - 1) + 1
    first = -((reach - 1 - padding) // stride)
    extent = field.extent + (-(-reach // stride) - 1) * field.jump
    cells = [int(field.low + first * field.jump + i * field.jump / stride) for i in range(size)]
    return arithmetic.Field.of([(low, low + int(extent) - 1) for low in cells], field.jump / stride, listed=False)


@pytest.mark.parametrize("name", ["fields of 3 and 5", "gaps", "only stamps that there are", "dilation", "branches"])
def test_one_formula_for_all_cells_would_be_noticed(name, monkeypatch):
    monkeypatch.setattr(arithmetic, "transposed", by_one_formula)
    with pytest.raises(AssertionError):
        test_each_cell_sees_what_its_gradient_reaches(name)


@pytest.mark.parametrize(
    ("layers", "low", "extent"),
    [
        ((*CHECKERBOARD, nn.ConvTranspose2d(2, 1, 2, stride=4)), -1, 33),
        ((nn.Conv2d(1, 1, 7, padding=3), nn.Conv2d(1, 1, 3, 2, 2, 2), nn.ConvTranspose2d(1, 1, 4, 2, 1)), -5, 41),
    ],
    ids=["gaps", "dilation"],
)
def test_a_mean_sees_what_any_cell_sees_and_no_more(layers, low, extent):
    stack = trace(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), (1, 32, 32), "net")
    assert {(field.low, field.extent) for field in (*stack.last, *stack.end.fields)} == {(low, extent)}


def test_jump_and_start_are_told_where_they_are_the_same_for_all():
    five, gaps = (trace(UNEVEN[name], (1, SIDE, SIDE), "net").last[0] for name in ("fields of 3 and 5", "gaps"))
    assert (five.centre, five.distance, five.jump) == (0, None, 1)  # the last cell would see one more on its right
    assert arithmetic.cropped(five, SIDE - 1, start=0).distance == 1
    assert (gaps.distance, gaps.fewest) == (None, 0)
    every_other = arithmetic.cropped(five, 5, start=2, step=2)
    assert (every_other.distance, every_other.fewest, every_other.extent) == (2, 3, 3)


def test_slices_padding_and_permutations_have_rows():
    rows = trace(Shifted(), (1, 16, 16), "net").rows
    assert [row.what for row in rows] == [
        "conv2d k3x5 s1x2 p1x2",
        *("pad", "slice", "slice", "add", "max_pool2d k2 s2"),
    ]


@pytest.mark.parametrize(
    ("name", "image", "field", "jump"),
    [
        ("small_cnn", None, 18, 4),
        ("resnet20", None, 81, 4),
        ("resnet18", None, 109, 8),
    ],
)
def test_well_known_networks_have_their_known_fields(name, image, field, jump):
    stack = stack_of(name, image)
    assert {(int(axis.extent), int(axis.jump)) for axis in stack.last} == {(field, jump)}
    assert stack.not_followed == ""
    assert stack.end is not None


def test_where_branches_meet_both_fields_stand():
    rows = trace(Branches(), (1, 20, 20), "net").rows
    (meeting,) = [row for row in rows if row.branches]
    assert (meeting.what, meeting.branches, int(meeting.fields[0].extent)) == ("cat", (3, 9), 9)


def test_what_is_no_chain_is_said_to_be_none():
    class Patches(nn.Module):
        """As a vision transformer begins: patches become a row of tokens."""

        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(1, 6, 4, stride=4)
            self.mix = nn.Linear(6, 6)

        def forward(self, x):
            return self.mix(self.patch(x).reshape(1, 6, -1).permute(0, 2, 1))

    stack = trace(Patches(), (1, 16, 16), "net")
    assert stack.not_followed == "reshape in the model itself (Patches)"
    assert [row.what for row in stack.rows] == ["conv2d k4 s4"]


def test_a_mixed_plane_stays_mixed():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return self.conv(torch.roll(self.conv(x), 3, dims=3) + x)

    stack = trace(Mixed(), (1, 8, 8), "net")
    assert stack.not_followed.startswith("roll in ")
    assert len(stack.rows) == 1


def test_squeeze_and_excitation_sees_the_whole_image():
    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.gate = nn.Linear(4, 4)

        def forward(self, x):
            x = self.conv(x)
            return x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]

    stack = trace(Squeeze(), (1, 8, 8), "net")
    assert all(field.extent >= 8 for field in stack.last)
    assert stack.not_followed == ""


def test_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace(model, (1, 8, 8), "net")
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_config_names_its_model_and_its_images(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("model: {name: small_cnn}\ndata: {image_size: 64}\n", encoding="utf-8")
    assert stack_of(str(config), None).input_shape == (3, 64, 64)
    config.write_text("model: {name: small_cnn}\ndata: {dataset: folder, path: photos}\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        stack_of(str(config), None)
    assert caught.value.faults[0].expected == "--input 3x64x64, or whatever the images are"
    assert stack_of(str(config), (3, 40, 40)).input_shape == (3, 40, 40)


def test_a_model_that_does_not_take_the_images_is_told_of_larger_ones():
    with pytest.raises(ModelError) as caught:
        stack_of("torchvision.alexnet", None)
    assert caught.value.faults[0].where == "--stack torchvision.alexnet"
    assert "--input 224x224" in caught.value.faults[0].help


def test_maps_that_do_not_lie_on_each_other_are_not_joined():
    one, other = (
        arithmetic.Field(4),
        arithmetic.window(arithmetic.Field(8), 4, kernel=1, stride=2, padding=0, dilation=1),
    )
    assert arithmetic.joined(one, other) is None
