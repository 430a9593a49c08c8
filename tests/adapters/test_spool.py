from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from gateway.adapters import spool as spool_module
from gateway.adapters.spool import Spool
from gateway.core.endings import Ending
from gateway.core.holds import Hold, RateState

ROOT = Path(__file__).parents[2]


def ending(number: int) -> Ending:
    hold = Hold(f"frq_{number}", 1, "m", ((1, 0),), 1, 5, 7, -1, RateState(), "1:0:5:9:strict")
    return Ending(hold, b'{"status":200}', cost_nano=number)


def at_once(call: Any, *args: Any) -> Any:
    return call(*args)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*"))


def abandoned(folder: Path, *numbers: int) -> Path:
    """The file of a process that was killed right after it had written these."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.adapters.test_spool import at_once, ending, Spool\n"
        "spool = Spool(Path(sys.argv[1]), at_once)\n"
        "assert all(spool.write(ending(int(n))) for n in sys.argv[2:])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    before = set(files(folder))
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder), *map(str, numbers)], cwd=ROOT, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    (path,) = set(files(folder)) - before
    return path


def test_nothing_is_made_before_something_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, at_once)
    spool.clear()
    assert spool.adopt() == []
    spool.close()
    assert not folder.exists()


def test_what_a_killed_process_wrote_is_adopted_in_order(tmp_path: Path) -> None:
    path = abandoned(tmp_path, 3, 1, 2)
    (adopted,) = Spool(tmp_path, at_once).adopt()
    assert adopted.endings == [ending(3), ending(1), ending(2)]
    assert path.stat().st_mode & 0o077 == 0
    adopted.done()
    assert files(tmp_path) == []


def test_the_file_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    alive, other = Spool(tmp_path, at_once), Spool(tmp_path, at_once)
    assert alive.write(ending(1))
    assert other.adopt() == []
    assert other.write(ending(2))
    assert (alive.adopt(), other.adopt()) == ([], [])
    alive.close()
    (adopted,) = other.adopt()
    assert adopted.endings == [ending(1)]


def test_one_of_several_adopts(tmp_path: Path) -> None:
    abandoned(tmp_path, 1)
    first, second = Spool(tmp_path, at_once), Spool(tmp_path, at_once)
    (adopted,) = first.adopt()
    assert second.adopt() == []
    adopted.done()
    assert second.adopt() == []


def test_an_adopter_that_dies_leaves_it_to_the_next(tmp_path: Path) -> None:
    abandoned(tmp_path, 1, 2)
    (adopted,) = Spool(tmp_path, at_once).adopt()
    os.close(adopted.descriptor)
    (again,) = Spool(tmp_path, at_once).adopt()
    assert again.endings == [ending(1), ending(2)]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_line_is_left_out_and_the_others_are_read(tmp_path: Path, cut: int) -> None:
    path = abandoned(tmp_path, 1, 2, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut] if cut > 1 else whole.replace(b"frq_2", b"frq_9"))
    (adopted,) = Spool(tmp_path, at_once).adopt()
    expected = [1, 3] if cut == 1 else [1, 2]
    assert adopted.endings == [ending(number) for number in expected]


def test_a_cleared_file_is_written_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, at_once)
    assert spool.write(ending(1))
    spool.clear()
    (path,) = files(tmp_path)
    assert path.stat().st_size == 0
    assert spool.write(ending(2))
    spool.close()
    (adopted,) = Spool(tmp_path, at_once).adopt()
    assert adopted.endings == [ending(2)]


def test_an_empty_file_goes_with_its_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, at_once)
    assert spool.write(ending(1))
    spool.clear()
    spool.close()
    assert files(tmp_path) == []


def test_a_disk_that_takes_nothing_fails_no_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file", at_once)
    assert not spool.write(ending(1))


def test_a_disk_that_fills_up_keeps_what_it_has_and_takes_more_once_it_can(tmp_path: Path) -> None:
    """The limit on the size of files stands for a full disk: a write takes a part, then none."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.adapters.test_spool import at_once, ending, Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "spool = Spool(Path(sys.argv[1]), at_once)\n"
        "said = [spool.write(ending(1))]\n"
        "size = next(Path(sys.argv[1]).iterdir()).stat().st_size\n"
        "_, most = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, most))\n"
        "said += [spool.write(ending(2)), spool.write(ending(3))]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "print(*said, spool.write(ending(4)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.stdout.splitlines()[-1] == "True False False True", ended.stderr
    (adopted,) = Spool(tmp_path, at_once).adopt()
    assert adopted.endings == [ending(1), ending(4)]
    assert len(adopted.damaged) == 1


class Disk:
    """Runs calls as a thread would, held up until ``go`` is set; ``fails`` those that are named."""

    def __init__(self, fails: frozenset[int] = frozenset()) -> None:
        self.writes, self.go, self.fails = 0, Event(), fails

    def __call__(self, call: Any, *args: Any) -> Any:
        self.go.wait()
        self.writes += 1
        if self.writes in self.fails:
            raise OSError("the disk is gone")
        return call(*args)


def test_what_is_written_while_the_disk_is_busy_shares_a_sync(tmp_path: Path) -> None:
    disk = Disk()
    spool = Spool(tmp_path, disk)
    writes = [gevent.spawn(spool.write, ending(0))]
    gevent.sleep(0)
    writes += [gevent.spawn(spool.write, ending(number)) for number in range(1, 50)]
    gevent.sleep(0)
    assert not any(write.ready() for write in writes)
    disk.go.set()
    gevent.joinall(writes, timeout=10)
    assert [write.value for write in writes] == [True] * 50
    assert disk.writes == 2
    spool.close()
    (adopted,) = Spool(tmp_path, at_once).adopt()
    assert adopted.endings == [ending(number) for number in range(50)]


def test_a_sync_that_fails_fails_those_that_it_was_for_and_no_others(tmp_path: Path) -> None:
    """The next sync may succeed although what the failed one was for never came to the disk."""
    disk = Disk(frozenset({2}))
    spool = Spool(tmp_path, disk)
    writes = []
    for batch in range(3):
        disk.go.clear()
        writes += [gevent.spawn(spool.write, ending(batch * 2 + n)) for n in range(2)]
        gevent.sleep(0)
        disk.go.set()
        gevent.joinall(writes, timeout=10)
    assert [write.value for write in writes] == [True] * 2 + [False] * 2 + [True] * 2


def test_clearing_while_others_write_neither_loses_nor_hangs_anything(tmp_path: Path) -> None:
    disk = Disk()
    spool = Spool(tmp_path, disk)
    writes = [gevent.spawn(spool.write, ending(1))]
    gevent.sleep(0)
    writes.append(gevent.spawn(spool.write, ending(2)))
    stop = Event()

    def clear() -> None:
        while not stop.is_set():
            spool.clear()
            gevent.sleep(0)

    clearing = gevent.spawn(clear)
    gevent.sleep(0)
    disk.go.set()
    gevent.joinall(writes, timeout=10)
    assert [write.value for write in writes] == [True, True]
    assert disk.writes == 2
    stop.set()
    clearing.join(10)


def test_a_disk_that_hangs_holds_up_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "WAIT_SECONDS", 0.01)
    disk = Disk()
    spool = Spool(tmp_path, disk)
    assert not spool.write(ending(1))
    spool.close()
    disk.go.set()


def test_a_file_that_somebody_deletes_is_made_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path, at_once)
    assert spool.write(ending(1))
    files(tmp_path)[0].unlink()
    assert spool.write(ending(2))
    spool.close()
    (adopted,) = Spool(tmp_path, at_once).adopt()
    assert adopted.endings == [ending(2)]


def test_many_adopters_at_once_take_each_file_once(tmp_path: Path) -> None:
    """Processes that race for the files of dead ones: each ending comes to one of them."""
    for number in range(3):
        abandoned(tmp_path, number, number + 3)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.adapters.test_spool import at_once, Spool\n"
        "spool = Spool(Path(sys.argv[1]), at_once)\n"
        "sys.stdin.read()\n"
        "found = []\n"
        "for _ in range(20):\n"
        "    for adopted in spool.adopt():\n"
        "        found += [one.cost_nano for one in adopted.endings]\n"
        "        adopted.done()\n"
        "print(*found)\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
    said = []
    for racer in racers:
        assert racer.stdout is not None
        said.append(racer.stdout.read())
        assert racer.wait(60) == 0
    assert sorted(int(number) for text in said for number in text.split()) == list(range(6))
    assert files(tmp_path) == []
