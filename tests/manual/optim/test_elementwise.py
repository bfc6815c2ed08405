"""Which updates have fast forms, and why others have none."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.errors import FormError
from trainloop.manual.optim import OPTIMIZERS, SGD
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.foreach import ForeachForm

FORMS = {"foreach": ForeachForm, "compiled": CompiledForm}
SLOW = ("adafactor", "muon")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "reason"), [("adafactor", "row_var"), ("muon", "linalg_vector_norm")])
def test_an_update_of_whole_tensors_is_refused(optim, form, name, reason):
    params = [param for param in optim.make_params(torch.float32) if param.dim() >= 2]
    with pytest.raises(
        FormError, match=f"has no fast form: .*{reason}.* does not work element by element; use the loop form"
    ):
        FORMS[form](OPTIMIZERS[name](params))


def test_every_optimizer_is_either_fast_or_refused_for_being_slow(optim):
    refused = []
    for name in OPTIMIZERS:
        try:
            ForeachForm(OPTIMIZERS[name]([param for param in optim.make_params(torch.float32) if param.dim() >= 2]))
        except FormError:
            refused.append(name)
    assert refused == list(SLOW)


class Uncapturable(SGD):
    capturable_reason = "it throws dice"


@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_captured_is_refused_with_its_reason(optim, form):
    with pytest.raises(FormError, match="Uncapturable has no fast form: it throws dice; use the loop form"):
        FORMS[form](Uncapturable(optim.make_params(torch.float32)))
