"""``python -m trainloop``, and the ``trainloop`` command."""

from __future__ import annotations

from trainloop.cli import main

if __name__ == "__main__":
    main()
