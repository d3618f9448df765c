"""Slots among processes: never more than there are, and a dead process has none."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.contending import contend, most_at_once

from provisioning import wiring
from provisioning.adapters.slots import Slots
from provisioning.errors import UsageError

RACE = """
from provisioning.adapters.slots import Slots
slots = Slots(folder, "etl", SIZE)
begin()
for _ in range(rounds):
    while not slots.try_take():
        time.sleep(0.0005)
    note("took")
    os.sched_yield()
    note("gave up")
    slots.release()
"""
HOLD = """
import sys, time
from pathlib import Path
from provisioning.adapters.slots import Slots
print(Slots(Path(sys.argv[1]), "etl", 1).try_take(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("size", [1, 2, 3])
def test_of_four_processes_never_more_than_there_are_slots_have_one(tmp_path: Path, size: int) -> None:
    lines = contend(RACE.replace("SIZE", str(size)), tmp_path, processes=4, rounds=250)
    assert len(lines) == 2_000
    assert most_at_once(lines) <= size


def test_all_slots_can_be_taken_and_no_more(tmp_path: Path) -> None:
    contenders = [Slots(tmp_path, "etl", 3) for _ in range(5)]
    assert [each.try_take() for each in contenders] == [True, True, True, False, False]
    contenders[1].release()
    assert [contenders[number].try_take() for number in (3, 4, 1)] == [True, False, False]
    for each in contenders:
        each.release()
        each.release()
    assert [each.try_take() for each in contenders[2:]] == [True, True, True]


def test_who_has_one_keeps_it_and_gets_no_second(tmp_path: Path) -> None:
    one, other = Slots(tmp_path, "etl", 2), Slots(tmp_path, "etl", 2)
    assert [one.try_take(), one.try_take(), other.try_take()] == [True, True, True]


def test_a_dead_process_frees_its_slot(tmp_path: Path) -> None:
    slots = Slots(tmp_path, "etl", 1)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not slots.try_take()
        holder.kill()
        holder.wait()
    assert slots.try_take()
    slots.release()


def test_a_program_that_was_started_meanwhile_keeps_no_slot(tmp_path: Path) -> None:
    one, other = Slots(tmp_path, "etl", 1), Slots(tmp_path, "etl", 1)
    assert one.try_take()
    with subprocess.Popen(["sleep", "30"], close_fds=False) as child:
        one.release()
        assert other.try_take()
        child.kill()


@pytest.mark.parametrize("name", ["../../etc", "/abs", "", "nul\0", "x" * 5_000, "ünï", "\ud800", ".."])
def test_names_are_apart_and_none_leaves_the_folder(tmp_path: Path, name: str) -> None:
    one, other = Slots(tmp_path / "queues", name, 1), Slots(tmp_path / "queues", "etl", 1)
    assert one.try_take()
    assert other.try_take()
    assert one.folder.parent == tmp_path / "queues" == other.folder.parent
    assert one.folder != other.folder


def test_files_are_private_and_in_a_folder_of_ours(tmp_path: Path) -> None:
    slots = wiring.slots(tmp_path, "etl", 2)
    assert slots.try_take()
    hidden = tmp_path / ".provisioning"
    assert slots.folder.parent == hidden / "queues"
    assert {stat.S_IMODE(each.stat().st_mode) for each in (hidden, slots.folder.parent, slots.folder)} == {0o700}
    assert [stat.S_IMODE(each.stat().st_mode) for each in slots.folder.iterdir()] == [0o600]


@pytest.mark.parametrize("size", [0, -1])
def test_a_queue_without_slots_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(UsageError, match="at least one slot"):
        Slots(tmp_path, "etl", size)
