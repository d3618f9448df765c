"""A workspace whose one server nobody answers on: its runs fail within a second."""

from __future__ import annotations

import json
from pathlib import Path

from provisioning import userfile

SERVERS = {"servers": [{"hostname": "cp-0", "address": "127.0.0.1", "ssh": {"user": "nobody", "port": 1}}]}
DAG = {"formulas": [{"id": "cp", "server": "cp-0", "nodes": [{"taskserv": {"name": "thing", "profile": "default"}}]}]}


def workspace(folder: Path, dag: object = DAG) -> None:
    """Make a workspace whose one server nobody answers on, and have this user know it as `demo`."""
    files = {
        "workspace.toml": 'name = "demo"\ndefault_infra = "main"\n[settings]\nssh.connect_attempts = 1\nssh.reconnect_s = 0\n',
        "infra/main/servers.json": json.dumps(SERVERS),
        "infra/main/dag.json": json.dumps(dag),
        "taskservs/thing/default/install-thing.sh": "#!/usr/bin/env bash\necho installed\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    userfile.write(userfile.UserFile(path=userfile.config_path(), workspaces={"demo": str(folder)}))
