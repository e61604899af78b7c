"""Fits with checkpoints that are asked to end."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.contracts import as_dask, assert_same_state
from tests.fit.test_checkpoints import Breaking, files, make
from tests.fit.watching import Watching, watched

CHUNKS = (10,) * 6

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="elsewhere processes get no signals"
)


@pytest.fixture(scope="module")
def lazy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    return as_dask(X, CHUNKS), as_dask(y, CHUNKS)


class Ending(Breaking):
    """Ends the process when some blocks, or a pass, are over."""

    def __init__(self, after, task="block"):
        super().__init__(after)
        self.task = task

    def hear(self, task):
        if task == self.task:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("ending", "saved"), [(Ending(3), 3), (Ending(4), 4), (Ending(1, "pass"), 6)]
)
def test_a_fit_saves_what_it_has_learned_and_ends(ending, saved, lazy, tmp_path):
    expected = make(None).fit(*lazy)
    before = signal.getsignal(signal.SIGTERM)
    options = {"checkpoint_every": 100}
    model = watched(make(tmp_path, **options), ending)
    with pytest.raises(SystemExit) as caught:
        model.fit(*lazy)
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in tmp_path.iterdir()] == [f"{saved:012d}.checkpoint"]
    assert not hasattr(model, "estimator_")
    received = make(tmp_path, **options).fit(*lazy)
    assert_same_state(received.estimator_, expected.estimator_)


def test_the_handler_that_was_there_hears_of_it(lazy, tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(SystemExit):
            watched(make(tmp_path), Ending(3)).fit(*lazy)
        assert heard == [signal.SIGTERM]
        assert len(files(tmp_path)) == 2
        make(tmp_path).fit(*lazy)
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_fit_in_another_thread_leaves_the_handler_alone(lazy, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    found = []

    class Looking(Watching):
        def hear(self, task):
            found.append(signal.getsignal(signal.SIGTERM))
            assert threading.current_thread() is not threading.main_thread()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(watched(make(tmp_path), Looking()).fit, *lazy).result()
    assert set(found) == {before}


SCRIPT = textwrap.dedent(
    """
    import os, signal, sys
    import dask
    import numpy as np
    from tests.contracts import as_dask
    from tests.fit.test_checkpoints import make
    from tests.fit.test_termination import CHUNKS, Ending
    from tests.fit.watching import watched

    rng = np.random.default_rng(0)
    X = as_dask(rng.normal(size=(60, 4)), CHUNKS)
    y = (X[:, 0] > 0).astype(int)
    with dask.config.set(scheduler="threads", num_workers=2):
        watched(make(sys.argv[1], checkpoint_every=100), Ending(4)).fit(X, y)
    print("goes on")
    """
)


def test_the_process_ends_as_after_sigterm(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "folder")],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout == ""
    assert len(files(tmp_path / "folder")) == 1


def test_a_fit_that_is_asked_to_end_after_its_last_pass_is_saved(lazy, tmp_path):
    expected = make(None).fit(*lazy)
    with pytest.raises(SystemExit):
        watched(make(tmp_path), Ending(1, "fit")).fit(*lazy)
    assert files(tmp_path)[-1].name == "000000000012.checkpoint"
    received = make(tmp_path).fit(*lazy)
    assert_same_state(received.estimator_, expected.estimator_)


@pytest.mark.parametrize("first", ["set", "restored"])
def test_the_handler_is_restored_after_ctrl_c_while_it_is(
    first, lazy, tmp_path, monkeypatch
):
    before = signal.getsignal(signal.SIGTERM)
    change = signal.signal
    left = [True]

    def interrupt(number, handler):
        if first == "set":
            change(number, handler)
        if (handler is not before) == (first == "set") and left:
            left.pop()
            raise KeyboardInterrupt
        change(number, handler)

    monkeypatch.setattr("signal.signal", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(*lazy)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) is before
    make(tmp_path).fit(*lazy)


FORKED = """
import os, signal, sys, time
from incremental._fit.termination import Termination
with Termination() as termination:
    termination.hold_back()
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begun, b"x")
        time.sleep(5)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_ends_at_once():
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == f"{-signal.SIGTERM}\n"
