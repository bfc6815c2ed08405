"""Prove for a config that a run which is killed and taken up again ends with the bits of one that is not."""

from __future__ import annotations

from trainloop.verify_resume.proof import Proof, prove

__all__ = ["Proof", "prove"]
