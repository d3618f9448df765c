"""The files of a new workspace and of a new taskserv: small, valid, and an example of everything one needs first."""

from __future__ import annotations

import json


def workspace_files(name: str) -> dict[str, str]:
    """Return the files of a workspace called `name`, which follows the name rule; paths are relative to its folder.

    One infrastructure, at the workspace's root: one server, two formulas, and a taskserv of its own.
    """
    example = {f"taskservs/hello/{path}": text for path, text in taskserv_files("hello").items()}
    return {
        "workspace.toml": _WORKSPACE.replace("@NAME@", name),
        "servers.json": _json(_SERVERS),
        "dag.json": _json(_DAG),
        ".gitignore": ".provisioning/\nsecrets/\n",
        **example,
    }


def taskserv_files(name: str) -> dict[str, str]:
    """Return the files of a taskserv called `name`, which follows the name rule; paths are relative to its folder."""
    return {
        path.replace("@NAME@", name): text.replace("@NAME@", name)
        for path, text in {
            "taskserv.toml": _TASKSERV,
            "default/install-@NAME@.sh": _SCRIPT,
            "default/env-@NAME@.j2": _ENVIRONMENT,
            "default/@NAME@.conf.j2": _CONFIGURATION,
        }.items()
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


_WORKSPACE = """\
name = "@NAME@"

# Every taskserv that declares a param of one of these names gets it; a node's own params win.
[params]
timezone = "UTC"

# Where secrets are, not what they are. Templates ask for them with {{ secret("name") }}.
[secrets]
# database_password = "env:DATABASE_PASSWORD"
# tls_key = "file:secrets/tls.key"
"""

_SERVERS = {
    "servers": [
        {"hostname": "web-0", "address": "192.0.2.10", "ssh": {"user": "root"}},
    ]
}

_DAG = {
    "formulas": [
        {
            "id": "base",
            "server": "web-0",
            "nodes": [{"taskserv": {"name": "os"}}],
        },
        {
            "id": "web",
            "server": "web-0",
            "nodes": [{"taskserv": {"name": "hello"}, "params": {"greeting": "hello from web-0"}}],
        },
    ],
    "composition": {
        "formulas": [
            {
                "formula_id": "web",
                "depends_on": [{"formula_id": "base"}],
                "health_gate": {"check_cmd": "grep hello /etc/hello.conf", "retries": 5, "timeout_ms": 30000},
            }
        ]
    },
}

_TASKSERV = """\
name = "@NAME@"
version = "1"
description = "what @NAME@ is for"
operations = ["install", "config", "status", "remove"]
idempotent = true                # an operation whose outcome is unknown may be run again
requires = []                    # capabilities that must be there before, such as "os.base"
provides = []                    # beside its own name, such as "dns.server"

[params]
greeting = { type = "string", default = "hello", description = "what the configuration file says" }
"""

_SCRIPT = """\
#!/usr/bin/env bash
# Gets the operation as $1. Runs in the unpacked bundle, so every file of this folder is beside it.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh # log, die, apt_install, install_file, service_restart_if_changed, wait_for, ...
load_env @NAME@ # the rendered env-@NAME@

CONFIG=/etc/@NAME@.conf

config() { install_file @NAME@.conf "$CONFIG" 0644; }

status() {
    grep -qxF -- "greeting = $GREETING" "$CONFIG" || die "$CONFIG does not say '$GREETING'"
    log "@NAME@ is in place"
}

case "${1:-install}" in
install)
    # apt_install some-package
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
remove) rm -f "$CONFIG" ;;
*) unknown_operation "$1" ;;
esac
"""

_ENVIRONMENT = """\
GREETING={{ params.greeting | sh }}
"""

_CONFIGURATION = """\
# {{ taskserv }} on {{ server.hostname }}
greeting = {{ params.greeting }}
"""
