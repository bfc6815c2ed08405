"""All seeded faults, in the order of their families."""

from __future__ import annotations

from trainloop.compare.zoo import (
    faults_of_adam,
    faults_of_convolutions,
    faults_of_kernels,
    faults_of_layers,
    faults_of_losses,
    faults_of_norms,
    faults_of_optimizers,
    faults_of_stages,
    faults_of_sums,
    faults_of_updates,
    faults_unknown,
)
from trainloop.compare.zoo.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *faults_of_stages.FAULTS,
    *faults_of_losses.FAULTS,
    *faults_of_sums.FAULTS,
    *faults_of_convolutions.FAULTS,
    *faults_of_kernels.FAULTS,
    *faults_of_norms.FAULTS,
    *faults_of_layers.FAULTS,
    *faults_of_optimizers.FAULTS,
    *faults_of_adam.FAULTS,
    *faults_of_updates.FAULTS,
    *faults_unknown.FAULTS,
)

SHORT: tuple[Fault, ...] = FAULTS[::5]
"""of the short form: some of every family"""
