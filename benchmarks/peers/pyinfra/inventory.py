"""The servers of a job, as pyinfra reads them."""

import json
from pathlib import Path

_JOB = json.loads(Path("job.json").read_text("utf-8"))

servers = [
    (
        machine["hostname"],
        {
            "ssh_hostname": machine["address"],
            "ssh_port": machine["port"],
            "ssh_user": machine["user"],
            "ssh_key": _JOB["key"],
            "ssh_known_hosts_file": _JOB["known_hosts"],
            "ssh_strict_host_key_checking": "yes",
            "ssh_connect_retries": 8,
            "machine": machine,
            "job": _JOB,
        },
    )
    for machine in _JOB["machines"]
]
