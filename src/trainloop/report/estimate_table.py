"""How ``trainloop train --dry-run`` shows what a run will cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from trainloop.report.console import print_facts, print_table
from trainloop.report.format import count, duration, size

if TYPE_CHECKING:
    from trainloop.estimate import Estimate, Layer


def print_estimate(result: Estimate, console: Console) -> None:
    """Print layers, then totals."""
    columns = ("layer", "kind", "output", "parameters")
    print_table(console, columns, layer_rows(result.layers), right=("parameters",))
    console.print()
    print_facts(console, estimate_facts(result))


def layer_rows(layers: tuple[Layer, ...]) -> list[tuple[str, str, str, str]]:
    """Return one row a layer."""
    return [
        (
            layer.name,
            layer.kind,
            " × ".join(map(str, layer.output_shape)),
            count(layer.parameters) if layer.parameters else "",
        )
        for layer in layers
    ]


def estimate_facts(result: Estimate) -> dict[str, str]:
    """Return the totals in words, by name."""
    frozen = result.parameters - result.trainable
    return {
        "model": f"{result.model} · {count(result.parameters)} parameters"
        + (f", {count(frozen)} frozen" if frozen else ""),
        "FLOPs": f"{result.forward_flops / 1e6:,.1f} million forward, about {result.train_flops / 1e6:,.1f} million in "
        "training, an image (convolutions and matrix products)",
        "memory": f"{size(result.total_bytes)}: weights {size(result.weights_bytes)}, gradients "
        f"{size(result.gradient_bytes)}, optimizer {size(result.state_bytes)}, activations "
        f"{size(result.activation_bytes)}, images {size(result.data_bytes)}; torch itself and passing needs come on top",
        "device": result.device,
        "time": f"{duration(result.step_seconds)} a step (median of {result.timed_steps}), about "
        f"{duration(result.train_seconds)} for {count(result.total_steps)} steps, evaluations not counted",
        "parameters": ", ".join(f"{name} {list(shape)}" for name, shape in result.parameter_names),
    }
