from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.bundles import build, contents, request_for

from provisioning.core.hosts import BundleRequest
from provisioning.core.params import fill_params, param_faults
from provisioning.formats.taskserv import load_catalogue
from provisioning.profiles import SHIPPED

CATALOGUE = load_catalogue([SHIPPED])
NAMES = ["cilium", "containerd", "coredns", "etcd", "haproxy", "kubernetes", "nats", "os", "patroni", "postgres", "redis"]
PROFILES = [(name, profile) for name in NAMES for profile in sorted(CATALOGUE[name].profiles)]
MEMBERS = [{"name": "web-0", "address": "10.0.0.1"}, {"name": "web-1", "address": "10.0.0.2"}]
SECRETS = {"cert": "file:ca.crt", "key": "file:ca.key", "token": "env:TOKEN", "password": "env:PASSWORD"}
VALUES = {
    "file:ca.crt": "CERT-PEM",
    "file:ca.key": "KEY-PEM",
    "env:TOKEN": "abcdef.0123456789abcdef",
    "env:PASSWORD": "p'a\"s$s",
}
SAMPLES: Mapping[str, Mapping[str, object]] = {
    "os": {
        "hosts": {"10.0.0.1": "web-0 api"},
        "sysctl": {"vm.swappiness": 10},
        "kernel_modules": ["overlay"],
        "swap_off": True,
    },
    "containerd": {"runtime": "crun", "mirrors": {"registry.example": "https://mirror.example"}, "sandbox_image": "pause:1"},
    "etcd": {"members": MEMBERS, "ca_cert": "cert", "ca_key": "key", "release": "3.5.24"},
    "kubernetes": {
        "endpoint": "10.0.0.9:6443",
        "init_server": "web-0",
        "etcd_endpoints": ["https://10.0.0.1:2379"],
        "ca_cert": "cert",
        "ca_key": "key",
        "bootstrap_token": "token",
        "certificate_key": "token",
        "labels": {"site": "a", "disk": "ssd"},
    },
    "cilium": {"values": {"ipam": {"mode": "kubernetes"}}},
    "coredns": {"zones": [{"domain": "lab.example", "hosts": {"10.0.0.1": "web-0.lab.example"}, "log": True}, {"domain": "."}]},
    "haproxy": {
        "frontends": [
            {"name": "api", "port": 6443, "check": "/readyz", "servers": [{"name": "web-0", "address": "10.0.0.1:6443"}]},
            {"name": "db", "port": 5000, "check": "/primary", "check_port": 8008, "check_tls": False, "servers": []},
        ],
        "stats_port": 8404,
    },
    "patroni": {
        "members": MEMBERS,
        **dict.fromkeys(("superuser_password", "replication_password", "rest_password"), "password"),
        "allow": [{"user": "app", "from": "10.0.0.0/24"}],
        "settings": {"max_connections": 200},
    },
    "postgres": {
        "users": [{"name": "o'brien", "password": "password"}, {"name": "plain"}],
        "databases": [{"name": "app", "owner": "o'brien"}, {"name": "other"}],
        "allow": [{"user": "app", "from": "10.0.0.0/24"}],
        "settings": {"shared_buffers": "256MB"},
    },
    "redis": {"password": "password", "memory": "64mb", "replica_of": "10.0.0.2 6379"},
    "nats": {"cluster": "c", "members": MEMBERS, "cluster_password": "password", "user": "app", "password": "password"},
}


def request(name: str, profile: str, params: Mapping[str, object]) -> BundleRequest:
    taskserv = CATALOGUE[name]
    filled = fill_params(taskserv.params, params)
    return request_for(Path(taskserv.profiles[profile].path), params=filled, secrets=SECRETS)


def least(name: str) -> Mapping[str, object]:
    """Return the fewest params with which a taskserv works."""
    passwords = dict.fromkeys(("superuser_password", "replication_password", "rest_password"), "password")
    needed: Mapping[str, Mapping[str, object]] = {
        "kubernetes": {"endpoint": "10.0.0.9:6443", "init_server": "web-0"},
        "patroni": {"members": MEMBERS, **passwords},
    }
    return needed.get(name, {})


def unpacked(name: str, profile: str, params: Mapping[str, object], folder: Path) -> Path:
    bundle, _ = build(request(name, profile, params), VALUES)
    for data in filter(None, (bundle.data, bundle.secret_data)):
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has no filters yet
            archive.extractall(folder)
    return folder


def script(name: str, profile: str) -> str:
    return Path(CATALOGUE[name].profiles[profile].path, f"install-{name}.sh").read_text()


def branches(text: str) -> set[str]:
    """Return the operations that the script's last `case` handles."""
    return {
        word for labels in re.findall(r"^([a-z_| ]+)\)", text.rpartition("\ncase ")[2], re.M) for word in labels.split(" | ")
    }


def test_these_taskservs_are_shipped_without_a_fault() -> None:
    assert list(CATALOGUE) == NAMES
    assert [CATALOGUE[name].name for name in NAMES] == NAMES
    assert CATALOGUE.faults == ()


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is_and_may_be_repeated(name: str) -> None:
    taskserv = CATALOGUE[name]
    assert taskserv.idempotent
    assert taskserv.version
    assert taskserv.description
    assert {"install", "update", "config", "status", "remove"} <= set(taskserv.operations)
    assert taskserv.provides
    assert all("." in capability for capability in (*taskserv.requires, *taskserv.provides))
    assert all(spec.description for spec in taskserv.params.values())


def test_what_one_requires_another_provides() -> None:
    provided = {capability for name in NAMES for capability in CATALOGUE[name].provides}
    assert {capability for name in NAMES for capability in CATALOGUE[name].requires} <= provided


@pytest.mark.parametrize(("name", "profile"), PROFILES)
def test_every_declared_operation_is_handled_and_no_other(name: str, profile: str) -> None:
    assert branches(script(name, profile)) == set(CATALOGUE[name].operations)
    assert "*) unknown_operation" in script(name, profile)


@pytest.mark.parametrize(("name", "profile"), PROFILES)
def test_scripts_stop_at_the_first_error(name: str, profile: str) -> None:
    assert "\nset -euo pipefail\n" in script(name, profile)


@pytest.mark.parametrize(("name", "profile"), PROFILES)
@pytest.mark.parametrize("sample", ["least", "full"])
def test_each_renders_with_few_params_and_with_many(name: str, profile: str, sample: str) -> None:
    params = least(name) if sample == "least" else SAMPLES[name]
    assert param_faults(name, CATALOGUE[name].params, params) == []
    bundle, _ = build(request(name, profile, params), VALUES)
    files = contents(bundle.data) | (contents(bundle.secret_data) if bundle.secret_data else {})
    assert {f"install-{name}.sh", f"env-{name}", "provisioning-lib.sh"} <= set(files)
    assert not any(value in text for value in VALUES.values() for text in contents(bundle.data).values())


@pytest.mark.parametrize(("name", "profile"), PROFILES)
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_what_a_server_gets(name: str, profile: str, tmp_path: Path) -> None:
    folder = unpacked(name, profile, SAMPLES[name], tmp_path)
    scripts = sorted(path.name for path in folder.glob("*.sh"))
    checked = subprocess.run(["shellcheck", *scripts], cwd=folder, capture_output=True, text=True, check=False)
    assert checked.stdout == ""
    assert checked.returncode == 0


@pytest.mark.parametrize(("name", "profile"), PROFILES)
def test_bash_can_read_the_rendered_environment(name: str, profile: str, tmp_path: Path) -> None:
    folder = unpacked(name, profile, SAMPLES[name], tmp_path)
    command = f"set -eu; . ./provisioning-lib.sh; load_env {name}; bash -n install-{name}.sh"
    checked = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "profile", "params", "said"),
    [
        ("etcd", "default", {"members": MEMBERS[1:]}, "server web-0 is not in the param members"),
        ("etcd", "default", {"members": MEMBERS}, "several members with TLS need the params ca_cert and ca_key"),
        ("kubernetes", "worker", {"init_server": "web-0"}, "param endpoint is not set"),
        ("patroni", "default", {**least("patroni"), "members": MEMBERS[1:]}, "server web-0 is not in the param members"),
        ("nats", "default", {"user": "app"}, "param user needs the param password"),
        ("nats", "default", {"cluster": "c"}, "server web-0 is not in the param members"),
    ],
)
def test_params_that_cannot_work_are_refused_before_the_server_is_touched(
    name: str, profile: str, params: Mapping[str, object], said: str
) -> None:
    from provisioning.errors import ConfigError

    with pytest.raises(ConfigError, match=re.escape(said)):
        build(request(name, profile, params), VALUES)


def test_the_schema_for_editors_says_what_the_reader_says() -> None:
    import json

    import jsonschema

    from provisioning.core.params import PARAM_TYPES
    from provisioning.formats.taskserv_toml import _KEYS, _PARAM_KEYS

    schema = json.loads((SHIPPED.parents[1] / "schemas" / "taskserv.schema.json").read_text())
    assert set(schema["properties"]) == set(_KEYS)
    param = schema["$defs"]["param"]
    assert set(param["properties"]) == set(_PARAM_KEYS)
    assert set(param["properties"]["type"]["enum"]) == set(PARAM_TYPES)
    for name in NAMES:
        jsonschema.validate(tomllib.loads((SHIPPED / name / "taskserv.toml").read_text()), schema)
