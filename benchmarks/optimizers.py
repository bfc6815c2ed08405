"""What a step of an optimizer costs: torch's three forms beside the readable loop and its two fast forms.

    python benchmarks/optimizers.py [--rounds 41] [--threads 2] [--json benchmarks/optimizers.json]

Every form updates parameters of resnet18's shapes (11.2 million float32 values in 62 tensors) from the same gradients. First
each takes a few steps, and its parameters are held against those of torch's default form; no time is taken for a wrong result.
Then the forms take turns, one step each a round, because a shared machine drifts; reported are the medians of the times, and
the medians of the ratios within a round with their quartiles. As in a run of the product, freed memory is kept (the config's
keep_memory). Compiling happens before the rounds and is not part of the times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch.nn import Parameter
from torchvision.models import resnet18

from trainloop.device import cpu_name, keep_freed_memory
from trainloop.files import write_text
from trainloop.manual.errors import FormError
from trainloop.manual.optim import OPTIMIZERS
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.foreach import ForeachForm
from trainloop.tolerance import tolerance

Step = Callable[[], object]
Samples = dict[str, list[float]]

CHECKED_STEPS = 3
WARM_UP = 3
MAIN: Mapping[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "adamw": {"lr": 1e-3, "weight_decay": 0.01},
}
"""measured with all rounds; the other optimizers, with their defaults, with a quarter of them"""
TORCH_FORMS: Mapping[str, dict[str, bool]] = {
    "torch": {"foreach": False},
    "torch foreach": {"foreach": True},
    "torch fused": {"fused": True},
}
"""the first is what torch chooses by itself on the CPU"""
OUR_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "loop": lambda optimizer: optimizer,
    "foreach": ForeachForm,
    "compiled": CompiledForm,
}


def make_params() -> list[Parameter]:
    """Return parameters of resnet18's shapes with gradients, always the same."""
    generator = torch.Generator().manual_seed(0)
    params = []
    for shape in (param.shape for param in resnet18(num_classes=10).parameters()):
        param = Parameter(torch.randn(shape, generator=generator))
        param.grad = torch.randn(shape, generator=generator)
        params.append(param)
    return params


def make_forms(name: str, settings: dict[str, Any]) -> tuple[dict[str, Step], dict[str, list[Parameter]]]:
    """Return a step and the parameters of each form that an optimizer has."""
    ours = OPTIMIZERS[name]
    steps: dict[str, Step] = {}
    params: dict[str, list[Parameter]] = {}
    for form, switches in TORCH_FORMS.items():
        params[form] = make_params()
        try:
            steps[form] = getattr(torch.optim, ours.__name__)(params[form], **settings, **switches).step
        except TypeError:  # few optimizers have a fused form
            del params[form]
    for form, make in OUR_FORMS.items():
        params[form] = make_params()
        try:
            steps[form] = make(ours(params[form], **settings)).step
        except FormError as reason:
            print(f"{name}, {form}: {reason}")
            del params[form]
    return steps, params


def check(steps: dict[str, Step], params: dict[str, list[Parameter]]) -> None:
    """Take a few steps with every form and hold the parameters against those of torch's default form."""
    for step in steps.values():
        for _ in range(CHECKED_STEPS):
            step()
    for form, ours in params.items():
        for one, reference in zip(ours, params["torch"], strict=True):
            error = (one - reference).abs().max().item()
            bound = tolerance("float32", "state").bound(reference.abs().max().item())
            if not error <= bound:
                raise SystemExit(f"{form} is wrong: a parameter is off by {error}, allowed is {bound}")


def take_turns(steps: dict[str, Step], rounds: int) -> Samples:
    """Return ms a step of each form, one value a round."""
    samples: Samples = {form: [] for form in steps}
    for index in range(WARM_UP + rounds):
        for form, step in steps.items():
            began = time.perf_counter()
            step()
            elapsed = 1e3 * (time.perf_counter() - began)
            if index >= WARM_UP:
                samples[form].append(elapsed)
    return samples


def measure(rounds: int) -> dict[str, Samples]:
    """Return the samples of every optimizer that torch has a twin of."""
    found = {}
    for name, ours in sorted(OPTIMIZERS.items(), key=lambda item: item[0] not in MAIN):
        if ours.deviation_reason is not None:
            continue
        steps, params = make_forms(name, MAIN.get(name, {}))
        check(steps, params)
        found[name] = take_turns(steps, rounds if name in MAIN else max(2, rounds // 4))
        print(table(name, found[name]), end="\n\n", flush=True)
    return found


def table(name: str, samples: Samples) -> str:
    """Return the result of one optimizer as Markdown."""
    lines = [f"| {name} | ms a step | × torch (quartiles) | × torch fused (quartiles) |", "|---|---|---|---|"]
    for form, values in samples.items():
        ratios = [_ratio(values, samples.get(other)) for other in ("torch", "torch fused")]
        lines.append(f"| {form} | {statistics.median(values):.1f} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def _ratio(values: list[float], others: list[float] | None) -> str:
    if others is None:
        return "–"
    ratios = [one / other for one, other in zip(values, others, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Measure, print the tables, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    samples = measure(arguments.rounds)
    machine = f"{cpu_name()}, {arguments.threads} threads, torch {torch.__version__}, {date.today().isoformat()}"
    print(machine)
    if arguments.json:
        write_text(arguments.json, json.dumps({"machine": machine, "ms_per_step": samples}, indent=1) + "\n")


if __name__ == "__main__":
    main()
