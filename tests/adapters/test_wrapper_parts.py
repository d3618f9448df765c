"""The wrapper as text: it compiles without a warning, whole and in the parts in which it travels."""

from __future__ import annotations

import re
import subprocess
from importlib.resources import files
from pathlib import Path

from provisioning.adapters import remote
from provisioning.adapters.remote.program import program_bytes

WRAPPER = Path(str(files(remote))) / "wrapper"
FUNCTION = re.compile(r"^sub (\w+)", re.MULTILINE)


def test_every_part_travels_and_no_name_is_used_twice() -> None:
    travelling = FUNCTION.findall(program_bytes("nonce").decode("ascii"))
    written = [name for part in WRAPPER.glob("*.pl") for name in FUNCTION.findall(part.read_text("ascii"))]

    assert sorted(travelling) == sorted(written) == sorted(set(written))


def test_a_part_that_is_needed_by_few_is_compiled_when_it_is_called() -> None:
    program = program_bytes("nonce").split(b"\n", 2)[2].decode("ascii")
    look = 'print defined &members ? 1 : 0, own_service() // "", defined &members ? 1 : 0, "\\n"; nobody();'

    ran = subprocess.run(["perl", "-"], input=f"{program}{look}", capture_output=True, text=True, check=False)

    assert ran.stdout == "01\n"
    assert ran.stderr.startswith("no function nobody")
