"""The command line: one file a command; each parses, calls and renders. torch is imported only inside a command."""

from __future__ import annotations

from trainloop.cli.app import app, main

__all__ = ["app", "main"]
