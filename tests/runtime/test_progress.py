from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap

import pytest

from cnnc.runtime import EpochResult, choose_progress, fit, format_epoch
from cnnc.runtime.progress import Bar, Lines, Silence

RESULT = EpochResult(1, 0.25131, None, 0.07123, 0.9781, 31204.4, 2.0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_line():
    assert format_epoch(RESULT, 3) == (
        "epoch 1/3  loss 0.2513  test 0.0712  accuracy 97.81 %  31,204 samples/s"
    )
    regression = EpochResult(1, 2e-7, None, 12345.0, None, 1e6, 2.0)
    assert format_epoch(regression, 3) == (
        "epoch 1/3  loss 2.0e-07  test 1.23e+04  1,000,000 samples/s"
    )
    widest = EpochResult(100, 1e-9, None, 1e-9, 1.0, 999999.0, 2.0)
    assert len(format_epoch(widest, 100)) <= 80


def test_a_pipe_gets_one_plain_line_per_epoch(net, striped, monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"):
        monkeypatch.setenv(name, "1")
    stream = io.StringIO()
    progress = choose_progress(stream)
    assert type(progress) is Lines
    fit(net, striped, progress=progress)
    lines = stream.getvalue().splitlines()
    assert [line[:11] for line in lines] == ["epoch 1/2  ", "epoch 2/2  "]
    assert stream.getvalue().replace("\n", "").isprintable()


def test_a_dumb_terminal_and_no_stream(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert type(choose_progress(Terminal())) is Lines
    monkeypatch.setattr(sys, "stdout", None)
    assert type(choose_progress()) is Silence


def test_a_terminal_gets_a_bar_within_80_columns(net, striped, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    progress = choose_progress(stream)
    assert type(progress) is Bar
    progress.start(3, 60000)
    progress.step(1, 30000, 0.25, 31204.0)
    progress._bar.refresh()
    shown = stream.getvalue()
    progress.finish_epoch(RESULT)
    progress.close()
    bar = shown.split("\r")[-1].split("\x1b[2K")[-1]
    assert "epoch 1/3" in bar
    assert "loss 0.2500" in bar
    assert "31,204 samples/s" in bar
    assert len(bar.rstrip("\n")) <= 80
    assert format_epoch(RESULT, 3) in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pty is for POSIX")
def test_an_interrupt_gives_the_terminal_back():
    import pty

    script = textwrap.dedent("""
        import sys, types
        import numpy as np
        from cnnc.runtime import Dataset, fit
        def stop(*arrays):
            raise KeyboardInterrupt
        net = types.SimpleNamespace(name="net", input_shapes={"x": (1, 2, 2)},
            input_dtypes={"x": "uint8"}, output_shapes={"y": (2,)}, classes=2,
            targets={"target": {"output": "y", "shape": (), "classes": 2}},
            training={"epochs": 1, "batch": 1}, learning_rate=0.1, train_step=stop)
        x, y = np.zeros((4, 2, 2), np.uint8), np.zeros(4, int)
        try:
            fit(net, Dataset("d", x, y, x, y), progress=True)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=follower, env=environment) as run:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # Linux reports the closed far end so
                break
            if not part:
                break
            shown += part
    os.close(leader)
    assert run.returncode == 0
    assert b"interrupted" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert shown.index(b"interrupted") > shown.rindex(b"\x1b[?25h")


def test_a_notebook_without_widgets_gets_lines(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert type(choose_progress()) is Lines
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert type(choose_progress()) is Bar


def test_a_terminal_without_rich_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert type(choose_progress(Terminal())) is Lines
