from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_commands_of_the_page_run(crossfm: Any, clicks: Path, tables: tuple[Path, Path]) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 12
    for line in lines:
        done = crossfm(*shlex.split(line)[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}"
