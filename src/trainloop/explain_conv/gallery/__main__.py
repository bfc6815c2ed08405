"""Draw the gallery: ``python -m trainloop.explain_conv.gallery FOLDER``; ``make gallery`` does it."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainloop import files
from trainloop.explain_conv.gallery.cases import CASES
from trainloop.explain_conv.gallery.draw import INDEX, content, drawing, index
from trainloop.report.format import size


def main() -> None:
    """Draw every case and write the page."""
    parser = argparse.ArgumentParser(prog="python -m trainloop.explain_conv.gallery", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder: Path = parser.parse_args().folder
    total = 0
    for case in CASES:
        data = content(drawing(case))
        files.write_bytes(folder / case.file, data)
        total += len(data)
    files.write_text(folder / INDEX, index())
    print(f"{len(CASES)} pictures, {size(total)}: {folder / INDEX}")


if __name__ == "__main__":
    main()
