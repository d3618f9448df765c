from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.bundles import build, contents, request_for

from provisioning.errors import ConfigError


def make(folder: Path, prepare: str, mode: int = 0o755) -> Path:
    profile = folder / "redis" / "default"
    profile.mkdir(parents=True)
    (profile / "install-redis.sh").write_text("true\n")
    (profile / "prepare").write_text(prepare)
    (profile / "prepare").chmod(mode)
    return profile


@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_what_prepare_writes_goes_into_the_bundle_and_not_into_the_profile(tmp_path: Path, mode: int) -> None:
    profile = make(tmp_path, "#!/bin/bash\necho made >made.txt; echo '{{ server.hostname }}' >late.j2\n", mode)
    bundle, _ = build(request_for(profile))
    assert contents(bundle.data) == {"install-redis.sh": "true\n", "made.txt": "made\n", "late": "web-0\n"}
    assert sorted(path.name for path in profile.iterdir()) == ["install-redis.sh", "prepare"]


def test_prepare_is_told_what_it_is_for(tmp_path: Path) -> None:
    script = """#!/bin/bash
    env | grep ^PROVISIONING_ | grep -v _INPUT | sort >env.txt
    cp "$PROVISIONING_INPUT" input.json
    """
    bundle, _ = build(request_for(make(tmp_path, script), params={"port": 1}, secrets={"password": "env:P"}))
    made = contents(bundle.data)
    assert made["env.txt"].split() == [
        "PROVISIONING_FORMULA=web",
        "PROVISIONING_OPERATION=install",
        "PROVISIONING_PROFILE=default",
        "PROVISIONING_SERVER=web-0",
        "PROVISIONING_TASKSERV=redis",
    ]
    assert '"params": {"port": 1}' in made["input.json"]
    assert "password" not in made["input.json"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho one; echo 'no \033[31mCA\033[0m' >&2; exit 3\n", "ended with exit code 3: no CA"),
        ("#!/bin/sh\nexit 4\n", "ended with exit code 4"),
        ("#!/bin/sh\nkill -9 $$\n", "was killed by signal 9"),
        ("#!/no/such/shell\n", "ended with exit code 126: No such file or directory"),
    ],
)
def test_a_prepare_that_fails_is_an_error_with_its_last_lines(tmp_path: Path, script: str, said: str) -> None:
    profile = make(tmp_path, script)
    with pytest.raises(ConfigError) as caught:
        build(request_for(profile))
    assert caught.value.message == f'prepare of taskserv "redis" (default) {said}'
    assert all(fault.file == str(profile / "prepare") for fault in caught.value.faults)


def test_a_prepare_that_hangs_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    profile = make(tmp_path, f"#!/bin/bash\n(while :; do touch {mark}; sleep 0.05; done) &\nsleep 100\n")
    with pytest.raises(ConfigError, match=r"was stopped after 0\.3 s"):
        build(request_for(profile), timeout_s=0.3)
    mark.unlink()
    time.sleep(0.2)
    assert not mark.exists()


def test_a_prepare_that_leaves_a_process_behind_is_not_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    build(request_for(make(tmp_path, "#!/bin/bash\nsleep 30 &\n")))
    assert time.monotonic() - started < 5


def test_a_symlink_that_prepare_makes_is_refused_and_named_as_if_in_the_profile(tmp_path: Path) -> None:
    profile = make(tmp_path, "#!/bin/sh\nln -s /etc/passwd stolen\n")
    with pytest.raises(ConfigError) as caught:
        build(request_for(profile))
    assert [fault.file for fault in caught.value.faults] == [str(profile / "stolen")]
