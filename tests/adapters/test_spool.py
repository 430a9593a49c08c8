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
    assert spool.failures == 1


def test_a_disk_that_fills_up_keeps_what_it_has(tmp_path: Path) -> None:
    """The limit on the size of files stands for a full disk: a write takes a part, then none."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.adapters.test_spool import at_once, ending, Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "spool = Spool(Path(sys.argv[1]), at_once)\n"
        "first = spool.write(ending(1))\n"
        "size = next(Path(sys.argv[1]).iterdir()).stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, size * 3 // 2))\n"
        "print(first, spool.write(ending(2)), spool.write(ending(3)), spool.failures)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.stdout.splitlines()[-1] == "True False False 2", ended.stderr
    (adopted,) = Spool(tmp_path, at_once).adopt()
    assert adopted.endings == [ending(1)]


def test_what_is_written_at_once_shares_a_sync(tmp_path: Path) -> None:
    syncs: list[int] = []
    go = Event()

    def slowly(call: Any, *args: Any) -> Any:
        if call is os.fdatasync:
            syncs.append(1)
            go.wait()
        return call(*args)

    spool = Spool(tmp_path, slowly)
    writes = [gevent.spawn(spool.write, ending(number)) for number in range(50)]
    gevent.sleep(0)
    assert not any(write.ready() for write in writes)
    go.set()
    gevent.joinall(writes, timeout=10)
    assert [write.value for write in writes] == [True] * 50
    assert len(syncs) == 2
    spool.close()
    (adopted,) = Spool(tmp_path, at_once).adopt()
    assert len(adopted.endings) == 50


def test_a_sync_that_fails_fails_all_that_waited_for_it(tmp_path: Path) -> None:
    def failing(call: Any, *args: Any) -> Any:
        if call is os.fdatasync:
            raise OSError("the disk is gone")
        return call(*args)

    spool = Spool(tmp_path, failing)
    writes = [gevent.spawn(spool.write, ending(number)) for number in range(3)]
    gevent.joinall(writes, timeout=10)
    assert [write.value for write in writes] == [False] * 3
