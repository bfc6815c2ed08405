from __future__ import annotations

import dataclasses

import pytest
import torch

from trainloop.errors import UsageError
from trainloop.explain.step import explain_step
from trainloop.loop.step import train_step
from trainloop.manual.optim import OPTIMIZERS


def test_the_first_step_by_hand(tiny):
    explained = tiny.explained("optimizer.momentum=0", index="0,1")
    assert (explained.zero_grad.grad_before, explained.zero_grad.grad_after) == (None, None)
    assert explained.forward.loss.manual == 1.0
    assert explained.backward.grads == (None, 4.0)
    assert explained.step.before == 0.5
    (moved,) = explained.step.operations
    assert (moved.symbols, moved.numbers) == ("param − lr·grad", "0.5 − 0.1·4")
    assert moved.value == explained.step.after.manual == tiny.close(0.1)


def test_both_paths_agree_in_every_bit(tiny):
    explained = tiny.explained()
    for compared in (explained.forward.loss, explained.backward.grad, explained.step.after):
        assert compared.same_bits
        assert compared.ulps == 0
    assert explained.backward.all_grads.same_bits == explained.backward.all_grads.tensors == 3
    assert explained.step.all_params.same_bits == explained.step.all_params.tensors == 5


COMPARABLE = [name for name, kind in OPTIMIZERS.items() if kind.deviation_reason is None]


@pytest.mark.parametrize("name", COMPARABLE)
@pytest.mark.parametrize("step", [1, 3])
def test_every_optimizer_is_explained_and_has_torchs_bits(tiny, name, step):
    explained = tiny.explained(f"optimizer.name={name}", step=step)
    assert explained.subject.optimizer == name
    assert explained.step.operations[-1].value is not None
    assert explained.step.after.same_bits
    assert explained.step.file == OPTIMIZERS[name].__module__.replace(".", "/") + ".py"


def test_a_later_step_stands_where_training_stands(tiny):
    run, trained = tiny.net_run(), tiny.net_run()
    side = trained.manual(trained.model)
    torch.manual_seed(0)
    for number, batch in zip(range(3), trained.batches(), strict=False):
        train_step(side.stages, batch, 1, trained.lr(number))
    torch.manual_seed(0)
    explained = explain_step(run, param="conv.weight", step=3)
    for one, two in zip(run.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert explained.step.after.manual == trained.model.conv.weight[0, 0, 0, 0].item()
    assert explained.zero_grad.grad_before is not None
    assert explained.zero_grad.grad_after is None


@pytest.mark.parametrize(
    ("total_steps", "step", "expected"), [(2, 3, "1 to 2"), (2, 0, "1 to 2"), (None, -1, "1 or more")]
)
def test_a_step_that_the_run_has_not_is_refused(tiny, total_steps, step, expected):
    with pytest.raises(UsageError) as caught:
        explain_step(tiny.net_run(total_steps=total_steps), step=step)
    fault = caught.value.faults[0]
    assert (fault.what, fault.where) == ("the run has no such step", "--step")
    assert (fault.found, fault.expected) == (str(step), expected)


def test_results_are_frozen(tiny):
    explained = tiny.explained()
    for part in (explained, *vars(explained).values()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.anything = 1
