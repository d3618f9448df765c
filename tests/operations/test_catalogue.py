"""DAG files of a folder: found by any of their names, read in bounded time and memory, and never hidden by one another."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted
from support.daguhome import PLAIN, a_catalogue, dag_folder

from provisioning.core.dagu.declared import DagType
from provisioning.core.dagu.doing import SubDagDoing
from provisioning.errors import ConfigError, NotFoundError, UsageError
from provisioning.formats.goyaml import SIZE_LIMIT_BYTES
from provisioning.operations.dagu.catalogue import Catalogue

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + number)}: &{chr(98 + number)} [{', '.join([f'*{chr(97 + number)}'] * 9)}]\n" for number in range(12)
)
BAD_NAMES = (
    *(
        "../../etc/x",
        "..",
        ".",
        "",
        "a//b",
        "a/../b",
        "/etc/passwd",
        "a\0b",
        "-x",
        ".hidden",
        "x" * 129,
        "a..b",
        "a b",
        "ä",
        "a\n",
    ),
)


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return dag_folder(tmp_path / "dags", etl=PLAIN, report=f"name: monthly\n{PLAIN}")


def names(catalogue: Catalogue) -> list[str]:
    return [entry.name for entry in catalogue.entries()]


# ---------------------------------------------------------------- finding


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        pytest.param("etl", "etl", id="by the file's name"),
        pytest.param("report", "monthly", id="by the file's name, though it calls itself otherwise"),
        pytest.param("monthly", "monthly", id="by the name that it gives itself"),
        pytest.param("etl.yaml", "etl", id="by the file's name with its ending"),
    ],
)
def test_a_dag_is_found_by_each_of_its_names(dags: Path, ref: str, name: str) -> None:
    assert a_catalogue(dags).load(ref).name == name


def test_a_path_means_that_file_wherever_it_is(dags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/etl.yaml").write_text(f"description: other\n{PLAIN}")
    monkeypatch.chdir(tmp_path / "else")
    assert a_catalogue(dags).load("etl.yaml").description == "other"
    assert a_catalogue(dags).load("../dags/etl.yaml").description == ""
    assert a_catalogue(dags).load(str(tmp_path / "else/etl.yaml")).description == "other"


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_name_that_could_leave_the_folder_is_refused(dags: Path, name: str) -> None:
    with pytest.raises(UsageError, match="at most 128 letters"):
        a_catalogue(dags).find(name)


@pytest.mark.parametrize(
    "ref",
    ["no.yaml", "no/where.yml", "no/where", "~nobody-of-that-name/x.yaml", "x" * 5000 + ".yaml", "a\0b.yaml"],
    ids=lambda ref: repr(ref[:9]),
)
def test_a_path_that_is_not_there_is_not_found(dags: Path, ref: str) -> None:
    with pytest.raises(NotFoundError):
        a_catalogue(dags).find(ref)


def test_a_path_may_begin_in_the_folder_of_the_dag_files_and_leads_nowhere_else(dags: Path, tmp_path: Path) -> None:
    dag_folder(dags / "daily", load=PLAIN)
    dag_folder(tmp_path / "else", load=PLAIN)
    (dags / "out").symlink_to(tmp_path / "else")
    for ref in ("daily/load.yaml", "daily/load"):
        assert a_catalogue(dags).load(ref).name == "load"
    for ref in ("out/load.yaml", "out/load", "../else/load.yaml"):
        with pytest.raises(NotFoundError):
            a_catalogue(dags).find(ref)


def test_the_nearest_name_is_told(dags: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        a_catalogue(dags).find("repport")
    assert caught.value.hint == "did you mean report?"


def test_a_name_that_two_files_have_is_no_name(dags: Path) -> None:
    dag_folder(dags, again=f"name: monthly\n{PLAIN}")
    (dags / "etl.yml").write_text(PLAIN)
    for name in ("monthly", "etl"):
        with pytest.raises(UsageError, match="several files"):
            a_catalogue(dags).find(name)
    assert a_catalogue(dags).load("etl.yml").name == "etl"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dag_folder(tmp_path_factory.mktemp("home") / "dags", etl=PLAIN)


@given(st.text(max_size=20) | st.sampled_from(("etl", "../etl", "dags/etl", "etl.yaml", "./etl.yaml")))
def test_any_text_means_a_dag_of_the_folder_or_a_plain_error(home: Path, ref: str) -> None:
    try:
        entry = a_catalogue(home).find(ref)
    except (NotFoundError, UsageError):
        return
    assert entry.path == home / "etl.yaml"


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_content_is_a_dag_or_has_faults_that_name_the_file(home: Path, content: bytes) -> None:
    (home.parent / "any.yaml").write_bytes(content)
    entry = a_catalogue(home).find(str(home.parent / "any.yaml"))
    assert (entry.reading.dag is None) == bool(entry.faults)
    assert {fault.file for fault in entry.faults} <= {entry.file}


# ---------------------------------------------------------------- the folder


def test_only_dag_files_of_the_folder_itself_are_listed(dags: Path, tmp_path: Path) -> None:
    dag_folder(dags / "deeper", inner=PLAIN)
    (dags / "folder.yaml").mkdir()
    for name in (".hidden.yaml", ".#lock.yaml", "notes.txt", "functions.toml", "x.yaml.bak"):
        (dags / name).write_text(PLAIN)
    (tmp_path / "outside.txt").write_text(PLAIN)
    (dags / "linked.yml").symlink_to(tmp_path / "outside.txt")
    assert names(a_catalogue(dags)) == ["etl", "linked", "monthly"]


def test_a_base_in_the_folder_is_no_dag(dags: Path) -> None:
    (dags / "base.yaml").write_text("env:\n  REGION: north\n")
    catalogue = a_catalogue(dags, base=dags / "base.yaml")
    assert names(catalogue) == ["etl", "monthly"]
    assert [variable.name for variable in catalogue.load("etl").env] == ["REGION"]


def test_a_broken_base_is_a_fault_of_every_dag(dags: Path) -> None:
    (dags / "base.yaml").write_text("timout_sec: 3\n")
    entries = list(a_catalogue(dags, base=dags / "base.yaml").entries())
    assert [[(fault.file, fault.line) for fault in entry.faults] for entry in entries] == [[(str(dags / "base.yaml"), 1)]] * 2
    assert [entry.reading.dag for entry in entries] == [None, None]


def test_a_flag_file_suspends_a_dag_by_the_name_of_its_file_or_its_own(dags: Path) -> None:
    flags = dags.parent / "suspend"
    flags.mkdir()
    for name in ("etl", "monthly"):
        (flags / f"{name}.suspend").write_text("")
    dag_folder(dags, other=PLAIN)
    assert [(entry.name, entry.suspended) for entry in a_catalogue(dags).entries()] == [
        ("etl", True),
        ("other", False),
        ("monthly", True),
    ]


def test_a_file_may_start_the_dags_of_the_folder_and_those_beside_it(dags: Path, tmp_path: Path) -> None:
    caller = "steps:\n  - name: a\n    run: etl\n  - name: b\n    run: near\n  - name: c\n    run: date\n"
    elsewhere = dag_folder(tmp_path / "elsewhere", near=PLAIN, caller=caller)
    steps = a_catalogue(dags).load(str(elsewhere / "caller.yaml")).steps
    assert [isinstance(step.doing, SubDagDoing) for step in steps] == [True, True, False]


def test_the_setting_decides_the_type_of_a_file_that_does_not_tell(dags: Path) -> None:
    dag_folder(dags, quiet="steps:\n  - command: echo a\n  - command: echo b\n")
    places = a_catalogue(dags).places
    found = {word: Catalogue(places, default_type=word).load("quiet").type for word in ("chain", "graph")}
    assert found == {"chain": DagType.CHAIN, "graph": DagType.GRAPH}


def test_a_folder_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        a_catalogue(tmp_path / "nowhere").names()
    for odd in ("x" * 5000, "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            a_catalogue(tmp_path / odd).names()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read"):
        a_catalogue(tmp_path / "file").names()


# ---------------------------------------------------------------- broken files


def unreadable(dags: Path) -> None:
    (dags / "bad.yaml").write_text(PLAIN)
    (dags / "bad.yaml").chmod(0)


def pipe(dags: Path) -> None:
    os.mkfifo(dags / "bad.yaml")


def link_to_nothing(dags: Path) -> None:
    (dags / "bad.yaml").symlink_to(dags / "gone")


def enormous(dags: Path) -> None:
    with (dags / "bad.yaml").open("wb") as file:
        file.truncate(50 * 1024 * 1024)


def bomb(dags: Path) -> None:
    (dags / "bad.yaml").write_text(BOMB)


def bytes_of_anything(dags: Path) -> None:
    (dags / "bad.yaml").write_bytes(bytes(range(256)))


def unknown_zone(dags: Path) -> None:
    (dags / "bad.yaml").write_text(f'schedule: "CRON_TZ=Atlantis/Poseidonis 0 1 * * *"\n{PLAIN}')


@pytest.mark.parametrize(
    ("spoil", "code", "line"),
    [
        (unreadable, "unreadable", 0),
        (pipe, "unreadable", 0),
        (link_to_nothing, "unreadable", 0),
        (enormous, "too_large", 0),
        (bomb, "too_large", 6),
        (bytes_of_anything, "encoding", 2),
        (unknown_zone, "unknown_zone", 1),
    ],
)
def test_a_broken_file_hides_no_other(dags: Path, spoil: object, code: str, line: int) -> None:
    if spoil is unreadable and os.geteuid() == 0:
        pytest.skip("root reads everything")
    assert callable(spoil)
    spoil(dags)
    catalogue = a_catalogue(dags)
    bad, *rest = catalogue.entries()
    assert [(fault.code, fault.line, fault.file) for fault in bad.faults] == [(code, line, "bad.yaml")]
    assert (bad.name, bad.reading.dag) == ("bad", None)
    assert [(entry.name, entry.faults) for entry in rest] == [("etl", ()), ("monthly", ())]
    with pytest.raises(ConfigError, match=r"bad\.yaml is not a valid DAG"):
        catalogue.load("bad")


def test_a_file_over_the_limit_is_refused_before_it_is_read(dags: Path) -> None:
    enormous(dags)
    tracemalloc.start()
    try:
        assert a_catalogue(dags).find("bad").faults
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < SIZE_LIMIT_BYTES / 4


# ---------------------------------------------------------------- cost


def cost_of_a_folder(folder: Path, count: int) -> int:
    dag_folder(folder, **{f"dag{number}": PLAIN for number in range(count)})
    a_catalogue(folder).find("dag0")  # what is looked up once in a process
    with counted() as cost:
        assert len(list(a_catalogue(folder).entries())) == count
    return cost.lines


def test_a_folder_of_three_hundred_files_costs_three_times_one_of_a_hundred(tmp_path: Path) -> None:
    hundred, three = (cost_of_a_folder(tmp_path / f"dags{count}", count) for count in (100, 300))
    assert three < 3.3 * hundred


def test_a_name_that_no_file_has_reads_only_files_with_the_word_in_them(tmp_path: Path) -> None:
    folder = dag_folder(tmp_path / "dags", **{f"dag{number}": PLAIN for number in range(300)})
    with counted() as whole:
        list(a_catalogue(folder).entries())
    with counted() as cost, pytest.raises(NotFoundError):
        a_catalogue(folder).find("somewhere")
    assert cost.lines < whole.lines / 2


def chain_of(count: int) -> str:
    first = "steps:\n  - name: s0\n    command: echo 0\n"
    return first + "".join(f"  - name: s{one}\n    command: echo {one}\n    depends: s{one - 1}\n" for one in range(1, count))


def test_ten_thousand_steps_cost_ten_times_a_thousand(tmp_path: Path) -> None:
    costs = []
    for count in (1_000, 10_000):
        folder = dag_folder(tmp_path / f"dags{count}", long=chain_of(count))
        with counted() as cost:
            assert len(a_catalogue(folder).load("long").steps) == count
        costs.append(cost.lines)
    assert costs[1] < 11 * costs[0]
