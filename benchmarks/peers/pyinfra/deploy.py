"""The work, as pyinfra's documentation writes such things: a file operation per file, then the script."""

from pyinfra import host
from pyinfra.operations import files, server

job, machine = host.data.job, host.data.machine

for name in job["taskservs"]:
    here, there = f"{job['bundles']}/{name}", f"{machine['root']}/bundles/{name}"
    files.put(name=f"{name}: script", src=f"{here}/install-{name}.sh", dest=f"{there}/install-{name}.sh")
    for file in (f"env-{name}", f"{name}.conf"):
        files.template(name=f"{name}: {file}", src=f"{here}/{file}.j2", dest=f"{there}/{file}", server=machine)
    server.shell(name=f"{name}: install", commands=[f"bash ./install-{name}.sh install"], _chdir=there)

server.shell(name="gate", commands=[job["gate"]])
