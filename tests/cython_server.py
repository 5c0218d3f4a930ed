"""Cython for the modules that tests compile, imported once: a third of its time goes into that.

`build` starts a Python that imports Cython and runs it. In tests it starts one that asks a server,
which imported it before, for a process of its own: what is written comes of the same call, with
the same arguments, output and exit status. What a test starts as a command does not ask.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVER = """
import gc, os, signal, socket, sys, traceback
from Cython.Compiler import CmdLine, Main, ModuleNode, Optimize, ParseTreeTransforms, Pipeline
from Cython.Compiler import AnalysedTreeTransforms, FlowControl, TypeInference
gc.disable()
gc.freeze()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)

def serve(client):
    words, files, _, _ = socket.recv_fds(client, 2**20, 2)
    directory, *arguments = words.decode().split("\\0")
    for number, file in enumerate(files, start=1):
        os.dup2(file, number)
    os.chdir(directory)
    sys.argv[1:] = arguments
    status = 0
    try:
        Main.main(command_line=1)
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    client.send(bytes([int(status or 0)]))
    os._exit(0)

with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen(64)
    print("ready", flush=True)
    while True:
        client, _ = server.accept()
        if os.fork() == 0:
            serve(client)
        client.close()
"""

CLIENT = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    words = "\\0".join([os.getcwd(), *sys.argv[1:]])
    socket.send_fds(server, [words.encode()], [1, 2])
    sys.exit((server.recv(1) or b"\\1")[0])
"""


@contextmanager
def cython_server(directory: Path) -> Iterator[None]:
    """Ask a server that listens in this directory; where there are no such sockets, as ever."""
    path = str(directory / "cython.socket")
    if not hasattr(os, "fork") or len(path) > 100:
        yield
        return
    words = (sys.executable, "-c", SERVER, path)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("cnnc.codegen.build._CYTHON", CLIENT.format(path=path))
                yield
        finally:
            server.kill()
