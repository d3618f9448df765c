from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from servers import ThrowawayServers
from stage import COMMAND

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.sshd
def test_the_ten_lines_of_the_readme_work_as_they_stand(tmp_path: Path, throwaway: ThrowawayServers) -> None:
    block = re.search(r"```sh\n(mkdir .*?)```", README.read_text("utf-8"), re.DOTALL)
    assert block is not None
    server, hello = throwaway.server("edge"), tmp_path / "hello"
    login = f'"user": "{server.user}", "port": {server.port}, "key_path": "{server.key_path}"'
    lines = block[1].replace("192.0.2.10", server.address).replace('"user": "root"', login).replace("/tmp/hello", str(hello))
    lines = lines.replace("server trust web-0", "server trust web-0 --yes")

    environment = {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euc", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert hello.read_text("utf-8") == "hello from web-0\n"
