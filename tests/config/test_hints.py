from __future__ import annotations

from collections.abc import Callable

import pytest

from trainloop.config.outline import every_key
from trainloop.errors import Fault

Refuse = Callable[..., tuple[Fault, ...]]

# One letter dropped, doubled or swapped in any key of five letters or more leads back to that key.
LONG_KEYS = sorted({(key.section, key.name) for key in every_key() if len(key.name) > 4 and key.choice in ("", "sgd")})


@pytest.mark.parametrize(("section", "name"), LONG_KEYS)
@pytest.mark.parametrize("kind", ["dropped", "doubled", "swapped"])
def test_a_typo_in_any_key_leads_to_it(refuse: Refuse, section: str, name: str, kind: str) -> None:
    typo = {
        "dropped": name[:2] + name[3:],
        "doubled": name[:2] + name[1:],
        "swapped": name[0] + name[2] + name[1] + name[3:],
    }[kind]
    if typo == name:
        typo = name + name[-1]
    path = f"{section}.{name}".removeprefix(".").replace("[]", "")
    prefix = section.replace("[]", "")
    text = f"{prefix}=[{{{typo}: 1}}]" if section.endswith("[]") else f"{f'{section}.{typo}'.removeprefix('.')}=1"
    helps = [fault.help for fault in refuse("{}", text) if fault.found == typo]
    assert helps == [f"did you mean `{path}`?"]
