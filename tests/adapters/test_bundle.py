from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.bundles import build, contents, members, request_for

from provisioning.errors import ConfigError
from provisioning.profiles import MAX_BYTES

SCRIPT = "install-redis.sh"


def make(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    profile = folder / "redis" / "default"
    for name, text in {SCRIPT: "true\n", **(files or {})}.items():
        path = profile / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return profile


def refusal(profile: Path, **changes: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        build(request_for(profile, **changes))
    return caught.value


def test_templates_are_rendered_and_the_rest_is_copied(tmp_path: Path) -> None:
    profile = make(tmp_path, {"env-redis.j2": "NODE={{ server.hostname }}\n", "conf/a.conf": "{{ as it is }}"})
    bundle, _ = build(request_for(profile))
    assert contents(bundle.data) == {SCRIPT: "true\n", "env-redis": "NODE=web-0\n", "conf/a.conf": "{{ as it is }}"}
    assert bundle.entry == SCRIPT


def test_templates_see_everything_of_the_request(tmp_path: Path) -> None:
    text = "{{ formula }} {{ params.port }} {{ workspace.name }} {{ taskserv }} {{ profile }} {{ operation }}"
    bundle, _ = build(request_for(make(tmp_path, {"all.j2": text}), params={"port": 1}))
    assert contents(bundle.data)["all"] == "web 1 demo redis default install"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("{{ params.words | sh }}", "a 'b c' '$d'", id="a list becomes shell words"),
        pytest.param("{{ params.quote | sh }}", "'it'\"'\"'s'", id="a text is quoted"),
        pytest.param("{{ params.yes }} {{ params.yes | sh }}", "true true", id="booleans as shells write them"),
        pytest.param("[{{ params.none }}]", "[]", id="null is nothing"),
        pytest.param("{{ params.items }}", "mine", id="a param may be called as a method of a mapping"),
        pytest.param("{{ params.map | tojson }}", '{"a": "<\'&"}', id="JSON is not escaped for HTML"),
        pytest.param("{% if params.yes %}\nx\n{% endif %}\n", "x\n", id="statement lines leave no line"),
        pytest.param("{{ params.quote }} < & >", "it's < & >", id="nothing is escaped for HTML"),
    ],
)
def test_values_are_written_as_configuration_files_want_them(tmp_path: Path, template: str, text: str) -> None:
    params = {"words": ["a", "b c", "$d"], "quote": "it's", "yes": True, "none": None, "items": "mine", "map": {"a": "<'&"}}
    bundle, _ = build(request_for(make(tmp_path, {"x.j2": template}), params=params))
    assert contents(bundle.data)["x"] == text


@pytest.mark.parametrize(
    ("template", "line", "said", "hint"),
    [
        ("a\n{{ server.hostnme }}", 2, '"hostnme" is not defined here', 'did you mean "hostname"?'),
        ("\n\n{{ sever.hostname }}", 3, '"sever" is not defined', 'did you mean "server"?'),
        ("{{ params.port }}", 1, '"port" is not defined here', ""),
        ("{{ params.a | tojson }}", 1, '"a" is not defined here', ""),
        ("a\n{% if %}", 2, "Expected an expression, got 'end of statement block'", ""),
        ("a\n{{ 1 / 0 }}", 2, "ZeroDivisionError: division by zero", ""),
        ("{% include 'gone.j2' %}", 1, 'no template "gone.j2" in the profile', ""),
        ("{{ ''.__class__ }}", 1, "access to attribute '__class__' of 'str' object is unsafe.", ""),
        ("\n{{ fail('too few members') }}", 2, "too few members", ""),
        ("\n{{ secret('pasword') }}", 2, 'no secret "pasword" in this workspace', 'did you mean "password"?'),
    ],
)
def test_a_template_that_cannot_be_rendered_is_named_with_its_line(
    tmp_path: Path, template: str, line: int, said: str, hint: str
) -> None:
    profile = make(tmp_path, {"env-redis.j2": template})
    error = refusal(profile, secrets={"password": "env:P"})
    [fault] = error.faults
    assert (fault.line, fault.message, fault.hint) == (line, said, hint)
    assert fault.file == str(profile / "env-redis.j2")
    assert error.message == f"redis/default/env-redis.j2:{line}: {said}"


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'x' * 9999999999 }}",
        "{{ 9999999999 * [1] }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ (9 ** 999999) * (9 ** 9999999) }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '%9999999999d' | format(1) }}",
        "{{ '%*d' | format(9999999999, 1) }}",
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 9999999999) }}",
        "{{ 'x'.ljust(9999999999) }}",
        "{{ 'x' | center(9999999999) }}",
        "{{ 'x' | indent(width=9999999999) }}",
        "{{ [1] | batch(9999999999, 'x') | list }}",
        "{{ lipsum(n=9999999999) }}",
        "{{ lipsum(n=99999) }}",
        "{{ lipsum(5, true, 20, 99999) }}",
        "{{ range(9999999999) | list }}",
    ],
)
def test_an_operation_that_would_fill_the_memory_is_refused(tmp_path: Path, template: str) -> None:
    [fault] = refusal(make(tmp_path, {"env-redis.j2": template})).faults
    assert fault.message.startswith("OverflowError: "), fault


def test_operations_of_common_size_are_not_limited(tmp_path: Path) -> None:
    template = (
        "{{ 2 ** 64 }} {{ '=' * 3 }} {{ '%04d' % 7 }} {{ '{}-{:>3}'.format('a', 1) }} {{ 'x' | center(5) }}{{ 12345678 * 9 }}"
    )
    bundle, _secrets = build(request_for(make(tmp_path, {"x.j2": template})))
    assert contents(bundle.data)["x"] == "18446744073709551616 === 0007 a-  1   x  111111102"


def test_a_template_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    profile = make(tmp_path)
    (profile / "x.j2").write_bytes(b"\xff")
    assert refusal(profile).faults[0].message == "not UTF-8 (byte 0)"


def test_files_with_secrets_are_packed_apart_and_leave_the_digest_alone(tmp_path: Path) -> None:
    profile = make(tmp_path, {"env-redis.j2": "P={{ secret('password') | sh }}", "plain.j2": "x", "unused.j2": "y"})
    request = request_for(profile, secrets={"password": "env:P", "other": "env:O"})
    bundle, used = build(request, {"env:P": "hunter two"})
    again, _ = build(request, {"env:P": "hunter three"})
    assert contents(bundle.secret_data) == {"env-redis": "P='hunter two'"}
    assert sorted(contents(bundle.data)) == [SCRIPT, "plain", "unused"]
    assert used == {"password": "hunter two"}
    assert (bundle.digest, bundle.data) == (again.digest, again.data)
    assert "hunter" not in repr(bundle)


def test_a_secret_in_an_included_template_makes_the_whole_file_secret(tmp_path: Path) -> None:
    files = {"part.j2": "{{ secret('password') }}", "whole.j2": "{% include 'part.j2' %}"}
    bundle, _ = build(request_for(make(tmp_path, files), secrets={"password": "env:P"}), {"env:P": "hunter2"})
    assert contents(bundle.secret_data) == {"part": "hunter2", "whole": "hunter2"}


@pytest.mark.parametrize("value", ["hunter2", 'with "quotes" and \x1b', "long" * 100])
def test_an_error_after_a_secret_was_used_does_not_show_it(tmp_path: Path, value: str) -> None:
    profile = make(tmp_path, {"x.j2": "{{ params[secret('password')] }}"})
    with pytest.raises(ConfigError) as caught:
        build(request_for(profile, secrets={"password": "env:P"}), {"env:P": value})
    assert caught.value.message.endswith('"***" is not defined here')
    assert value[:4] not in caught.value.message + repr(caught.value.faults)


def test_the_same_inputs_give_the_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    files = {"env-redis.j2": "{{ server.hostname }}", "b/c": "1", "a": "2"}
    one, two = make(tmp_path / "one", files), make(tmp_path / "two", dict(reversed(files.items())))
    os.utime(two / "a", (0, 0))
    (two / "a").chmod(0o600)
    first, second, other = build(request_for(one))[0], build(request_for(one))[0], build(request_for(two))[0]
    assert first == second == other
    assert first.digest == other.digest


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({"params": {"port": 2}}, {}),
        ({"server": {"hostname": "web-1"}}, {}),
        ({}, {"more": ""}),
        ({}, {SCRIPT: "false\n"}),
    ],
)
def test_the_digest_follows_what_is_in_the_bundle(tmp_path: Path, changes: dict[str, object], files: dict[str, str]) -> None:
    base = {"env-redis.j2": "{{ server.hostname }} {{ params.port }}"}
    before, _ = build(request_for(make(tmp_path / "a", base), params={"port": 1}))
    after, _ = build(request_for(make(tmp_path / "b", {**base, **files}), **{"params": {"port": 1}, **changes}))
    assert before.digest != after.digest


def test_archives_hold_nothing_of_this_machine(tmp_path: Path) -> None:
    profile = make(tmp_path, {"run": "", "plain": ""})
    (profile / "run").chmod(0o700)
    (profile / "plain").chmod(0o666)
    listed = members(build(request_for(profile))[0].data)
    assert [member.name for member in listed] == sorted(member.name for member in listed)
    assert {member.name: member.mode for member in listed} == {SCRIPT: 0o644, "run": 0o755, "plain": 0o644}
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in listed} == {(0, 0, 0, "", "")}


def test_a_script_that_mentions_the_library_gets_it(tmp_path: Path) -> None:
    profile = make(tmp_path, {SCRIPT: ". ./provisioning-lib.sh\n"})
    assert "write_if_changed" in contents(build(request_for(profile))[0].data)["provisioning-lib.sh"]
    (profile / "provisioning-lib.sh").write_text("own")
    assert contents(build(request_for(profile))[0].data)["provisioning-lib.sh"] == "own"


def test_what_profiles_have_in_common_is_in_each_and_their_own_files_win(tmp_path: Path) -> None:
    profile = make(tmp_path, {"own": "mine"})
    common = profile.parent / "_common"
    common.mkdir()
    (common / "own").write_text("shared")
    (common / "both").write_text("shared")
    assert contents(build(request_for(profile))[0].data) == {SCRIPT: "true\n", "own": "mine", "both": "shared"}


def link_out(profile: Path) -> None:
    (profile / "passwd").symlink_to("/etc/passwd")


def pipe(profile: Path) -> None:
    os.mkfifo(profile / "pipe")


def huge(profile: Path) -> None:
    with (profile / "image").open("wb") as sparse:
        sparse.truncate(MAX_BYTES + 1)


def grown(profile: Path) -> None:
    (profile / "big.j2").write_text("{% for _ in range(700) %}{{ 'x' * 100000 }}{% endfor %}")


def same_name(profile: Path) -> None:
    (profile / "a").write_text("")
    (profile / "a.j2").write_text("")


def no_script(profile: Path) -> None:
    (profile / SCRIPT).unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (link_out, 'symlink "passwd" leads out of its folder'),
        (pipe, '"pipe" is neither a file nor a folder'),
        (huge, 'profile "default" has 2 files of 64.0 MiB in all'),
        (grown, 'taskserv "redis": profile "default" has 2 files of 66.8 MiB in all'),
        (same_name, '"a.j2" would overwrite "a"'),
        (no_script, 'profile "default" of taskserv "redis" has no install-redis.sh'),
    ],
)
def test_what_does_not_belong_into_a_bundle_is_refused(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    profile = make(tmp_path)
    spoil(profile)
    error = refusal(profile)
    assert error.message == said
    assert error.faults
