"""The section ``optimizer`` of the schema: one class for each optimizer, with its keys, ranges, defaults and meanings.

Keys, defaults and ranges are those of torch.optim, with these exceptions: the lr must be above 0 and a momentum below 1, for
nothing could be learnt with other values; sgd begins with an lr and a momentum that suit images; and ``maximize`` is not
there, for a run makes its loss smaller.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainloop.config.section import Fraction, NonNegative, Positive, Section

StepSize = Annotated[float, Field(gt=0, description="step size")]
Betas = Annotated[
    tuple[Fraction, Fraction],
    Field(description="decay of the running means of the gradient and of its square"),
]
Eps = Annotated[float, Field(ge=0, description="added to the root of the second moment")]
Penalty = Annotated[float, Field(ge=0, description="L2 penalty added to the gradient")]
Decay = Annotated[float, Field(ge=0, description="fraction lr · weight_decay of each weight removed a step")]
Decoupled = Annotated[
    bool, Field(description="shrink the weights themselves, as adamw does, and not by way of the gradient")
]
AMSGrad = Annotated[bool, Field(description="divide by the largest second moment so far")]


class GroupConfig(Section):
    """A set of parameters with an lr and a weight decay of their own."""

    match: Annotated[str, Field(min_length=1)]
    """pattern of parameter names (`*` matches anything); the first group that matches wins"""
    lr_scale: NonNegative = 1.0
    """factor on the lr"""
    weight_decay: NonNegative | None = None
    """weight decay of these parameters; null takes the optimizer's"""


class OptimizerSection(Section):
    """What all optimizers share."""

    groups: tuple[GroupConfig, ...] = ()
    """parameters that differ in lr or weight decay"""


class SGDConfig(OptimizerSection):
    """Stochastic gradient descent, as torch.optim.SGD."""

    name: Literal["sgd"] = "sgd"
    """sgd"""
    lr: StepSize = 0.1
    momentum: Fraction = 0.9
    """factor of the running sum of gradients"""
    dampening: NonNegative = 0.0
    """1 − dampening scales what a gradient adds to the running sum"""
    nesterov: bool = False
    """look ahead along the momentum; needs momentum > 0 and dampening 0"""
    weight_decay: Penalty = 0.0


class AdamConfig(OptimizerSection):
    """Running means of the gradient and of its square, as torch.optim.Adam."""

    name: Literal["adam"]
    """adam"""
    lr: StepSize = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: Penalty = 0.0
    amsgrad: AMSGrad = False
    decoupled_weight_decay: Decoupled = False


class AdamWConfig(OptimizerSection):
    """Adam with decoupled weight decay, as torch.optim.AdamW."""

    name: Literal["adamw"]
    """adamw"""
    lr: StepSize = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: Decay = 1e-2
    amsgrad: AMSGrad = False


class NAdamConfig(OptimizerSection):
    """Adam with Nesterov's look ahead, as torch.optim.NAdam."""

    name: Literal["nadam"]
    """nadam"""
    lr: StepSize = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: Penalty = 0.0
    momentum_decay: NonNegative = 4e-3
    """how fast the first of the betas grows to its value"""
    decoupled_weight_decay: Decoupled = False


class RAdamConfig(OptimizerSection):
    """Adam that waits until the second moment can be trusted, as torch.optim.RAdam."""

    name: Literal["radam"]
    """radam"""
    lr: StepSize = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: Penalty = 0.0
    decoupled_weight_decay: Decoupled = False


class AdamaxConfig(OptimizerSection):
    """Adam with the largest gradient instead of the root mean square, as torch.optim.Adamax."""

    name: Literal["adamax"]
    """adamax"""
    lr: StepSize = 2e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """decay of the running mean of the gradient and of its running maximum"""
    eps: NonNegative = 1e-8
    """added to the size of the gradient"""
    weight_decay: Penalty = 0.0


class AdagradConfig(OptimizerSection):
    """Division by the root of all squared gradients so far, as torch.optim.Adagrad."""

    name: Literal["adagrad"]
    """adagrad"""
    lr: StepSize = 1e-2
    lr_decay: NonNegative = 0.0
    """the lr is divided by 1 + lr_decay · steps done"""
    weight_decay: Penalty = 0.0
    initial_accumulator_value: NonNegative = 0.0
    """what the sum of squares begins with"""
    eps: NonNegative = 1e-10
    """added to the root of the sum of squares"""


class AdadeltaConfig(OptimizerSection):
    """Changes of the size of earlier changes, as torch.optim.Adadelta."""

    name: Literal["adadelta"]
    """adadelta"""
    lr: Positive = 1.0
    """factor on the change"""
    rho: Annotated[float, Field(ge=0, le=1)] = 0.9
    """decay of the running means of squared gradients and of squared changes"""
    eps: NonNegative = 1e-6
    """added inside the roots of both means"""
    weight_decay: Penalty = 0.0


class RMSpropConfig(OptimizerSection):
    """Division by the root mean square of recent gradients, as torch.optim.RMSprop."""

    name: Literal["rmsprop"]
    """rmsprop"""
    lr: StepSize = 1e-2
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.99
    """decay of the running mean of squared gradients"""
    eps: NonNegative = 1e-8
    """added to the root of the mean"""
    weight_decay: Penalty = 0.0
    momentum: Fraction = 0.0
    """factor of the running sum of updates"""
    centered: bool = False
    """divide by the standard deviation instead of the root mean square"""


class RpropConfig(OptimizerSection):
    """Steps by the sign of the gradient alone, as torch.optim.Rprop; made for batches of all images."""

    name: Literal["rprop"]
    """rprop"""
    lr: Positive = 1e-2
    """first step size of every weight; what the schedule does to it after the first step has no effect"""
    etas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1)]] = (0.5, 1.2)
    """factors on the step size where the sign of the gradient changes, and where it stays"""
    step_sizes: tuple[NonNegative, NonNegative] = (1e-6, 50.0)
    """smallest and largest step size"""


class ASGDConfig(OptimizerSection):
    """SGD with a falling step size that also keeps the mean of the weights, as torch.optim.ASGD."""

    name: Literal["asgd"]
    """asgd"""
    lr: StepSize = 1e-2
    lambd: NonNegative = 1e-4
    """how fast weights and step size fall"""
    alpha: NonNegative = 0.75
    """exponent with which the step size falls"""
    t0: float = 1e6
    """step after which the mean of the weights is a mean of several"""
    weight_decay: Penalty = 0.0


class AdafactorConfig(OptimizerSection):
    """A second moment kept as rows and columns, as torch.optim.Adafactor."""

    name: Literal["adafactor"]
    """adafactor"""
    lr: Positive = 1e-2
    """largest step size, relative to the size of the weights"""
    beta2_decay: Annotated[float, Field(le=0)] = -0.8
    """the running mean takes steps^beta2_decay of a new square"""
    eps: tuple[NonNegative | None, NonNegative] = (None, 1e-3)
    """smallest denominator (null: the spacing of floats at 1), and smallest size of the weights"""
    d: Annotated[float, Field(ge=1)] = 1.0
    """largest root mean square of an update"""
    weight_decay: Decay = 0.0


class MuonConfig(OptimizerSection):
    """Nearly orthogonal updates of matrices and convolutions, as torch.optim.Muon; AdamW for biases and norms."""

    name: Literal["muon"]
    """muon"""
    lr: Positive = 1e-3
    """step size of weights with two dimensions or more (builtin: exactly two)"""
    weight_decay: Decay = 0.1
    momentum: Fraction = 0.95
    """decay of the running mean of gradients"""
    nesterov: bool = True
    """look ahead along the momentum"""
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315)
    """the quintic that brings singular values near 1"""
    eps: NonNegative = 1e-7
    """smallest norm that a gradient is divided by"""
    ns_steps: Annotated[int, Field(ge=0, lt=100)] = 5
    """rounds of the quintic"""
    adjust_lr_fn: Literal["original", "match_rms_adamw", "spectral_unclamped"] | None = None
    """how the lr depends on the shape of a weight; null is original"""
    rest_lr: Positive = 1e-3
    """step size of AdamW for parameters of fewer dimensions (biases, norms); the schedule scales it as it does lr"""
    rest_betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """betas of AdamW for those parameters"""
    rest_eps: NonNegative = 1e-8
    """eps of AdamW for those parameters"""
    rest_weight_decay: NonNegative = 0.0
    """weight decay of AdamW for those parameters"""


OptimizerConfig = Annotated[
    SGDConfig
    | AdamConfig
    | AdamWConfig
    | NAdamConfig
    | RAdamConfig
    | AdamaxConfig
    | AdagradConfig
    | AdadeltaConfig
    | RMSpropConfig
    | RpropConfig
    | ASGDConfig
    | AdafactorConfig
    | MuonConfig,
    Field(discriminator="name"),
]
