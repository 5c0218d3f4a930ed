"""The threads that all models of a process share: how many there are, forks, exits, neighbours."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cnnc.codegen.toolchain import find_compiler
from cnnc.compiled import Compiled
from cnnc.compiler import compile_spec
from tests.module.conftest import Case, Compile
from tests.module.specs import LENET, LINE, WIND

TASKS = Path("/proc/self/task")
linux = pytest.mark.skipif(not TASKS.exists(), reason="Linux tells the threads of a process")

# What every script below starts with: data that keeps several threads busy, and what to compare.
PRELUDE = """
import multiprocessing, os, signal, sys, threading, time
import numpy as np
import lenet

rng = np.random.default_rng(1)
images = rng.integers(0, 256, (256, 1, 28, 28)).astype(np.uint8)
labels = rng.integers(0, 10, 256)

def tasks():
    return len(os.listdir("/proc/self/task"))

def trained(threads, steps=3, module=lenet):
    net = module.Model(seed=4, threads=threads)
    losses = [net.train_step(images, labels) for _ in range(steps)]
    return losses, net(images).tobytes()
"""


def _script(*modules: Compiled, text: str, prelude: str = PRELUDE, **environment: str) -> str:
    """What a Python of its own prints that imports these modules; it must end well."""
    path = os.pathsep.join(str(module.extension.parent) for module in modules)
    inherited = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    found = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(text)],
        # NumPy's own threads are not to be counted.
        env={**inherited, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path, **environment},
        # Its directory comes first of what it imports from.
        cwd=modules[0].extension.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, f"exit status {found.returncode}\n{found.stderr}"
    assert found.stderr == ""
    return found.stdout.strip()


@pytest.fixture(scope="module")
def lenet_files(lenet: Case) -> Compiled:
    return lenet.compiled


@linux
def test_a_process_never_has_more_threads_than_asked_for(
    lenet_files: Compiled, compiled: Compile
) -> None:
    # Two modules and many models: the threads are the process's, not theirs.
    text = """
    import wind
    alone, found = tasks(), []
    for threads in (1, 2, 3, 2, 7):
        trained(threads)
        found.append(tasks() - alone)
    signal, extra = np.zeros((90000, 1, 11), np.float32), np.zeros((90000, 6), np.float32)
    wind.Model(threads=7)(signal, extra)
    print(found, tasks() - alone)
    """
    assert _script(lenet_files, compiled(WIND), text=text) == "[0, 1, 2, 2, 6] 6"


@linux
def test_small_work_stays_on_one_thread(compiled: Compile) -> None:
    text = """
    import os, numpy as np, line
    net = line.Model(threads=8)
    shape = next(iter(net.input_shapes.values()))
    before = len(os.listdir("/proc/self/task"))
    net(np.zeros((40, *shape), np.float32))
    print(len(os.listdir("/proc/self/task")) - before)
    net(np.zeros((6_000_000, *shape), np.float32))
    print(len(os.listdir("/proc/self/task")) - before)
    """
    text = text.replace("line", compiled(LINE).name)
    assert _script(compiled(LINE), text=text, prelude="").split() == ["0", "7"]


@linux
def test_no_openmp_comes_with_a_module(lenet_files: Compiled) -> None:
    text = """
    trained(2)
    with open("/proc/self/maps") as file:
        print(any(name in file.read() for name in ("libgomp", "libomp", "libiomp")))
    """
    assert _script(lenet_files, text=text) == "False"


@linux
def test_a_child_after_fork_has_several_threads_again(lenet_files: Compiled) -> None:
    text = """
    wanted = trained(3)
    net = lenet.Model(seed=4, threads=3)
    net.train_step(images, labels)
    print(tasks(), flush=True)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            assert tasks() == 1
            same = trained(3) == wanted
            net(images)
            os._exit(0 if same and tasks() == 3 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert trained(3) == wanted
    print(tasks())
    """
    assert _script(lenet_files, text=text).split() == ["3", "3"]


@linux
def test_a_fork_finds_no_threads_of_the_pool(lenet_files: Compiled) -> None:
    # From 3.12 on, Python warns of a fork in a process of several threads.
    text = """
    trained(3)
    os.register_at_fork(after_in_parent=lambda: print(tasks(), flush=True))
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    """
    assert _script(lenet_files, text=text) == "1"


def test_a_fork_amid_a_call_of_another_thread(lenet_files: Compiled) -> None:
    text = """
    wanted = trained(2)
    net, done = lenet.Model(threads=2), threading.Event()

    def work():
        while not done.is_set():
            net.train_step(images, labels)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(20):
        time.sleep(0.005)
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            net(images)
            os._exit(0 if trained(2) == wanted else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    done.set()
    worker.join()
    """
    _script(lenet_files, text=text)


@linux
def test_callers_of_different_models_at_once(lenet_files: Compiled) -> None:
    text = """
    alone, wanted, found, most = tasks(), trained(2, 20), [], [0]
    start = threading.Barrier(4)

    def work():
        start.wait()
        found.append(trained(2, 20))
        most[0] = max(most[0], tasks())

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print([each == wanted for each in found], most[0] <= alone + 4 + 1)
    """
    assert _script(lenet_files, text=text) == "[True, True, True, True] True"


def test_the_interpreter_ends_while_threads_sleep_or_work(lenet_files: Compiled) -> None:
    text = """
    trained(3)
    time.sleep(0.05)

    def work():
        while True:
            trained(3)

    {start}
    time.sleep(0.05)
    """
    _script(lenet_files, text=text.format(start=""))
    daemon = "threading.Thread(target=work, daemon=True).start()"
    _script(lenet_files, text=text.format(start=daemon))


def test_models_work_in_what_runs_at_exit(lenet_files: Compiled) -> None:
    text = """
    import atexit
    wanted = trained(3)
    atexit.register(lambda: print(trained(3) == wanted))
    """
    assert _script(lenet_files, text=text) == "True"


def test_ctrl_c_ends_a_training(lenet_files: Compiled) -> None:
    # Where the tests run in the background, SIGINT is ignored and children inherit that.
    text = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    net = lenet.Model(threads=3)
    net.train_step(images, labels)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        while True:
            net.train_step(images, labels)
    except KeyboardInterrupt:
        print("interrupted")
    trained(3)
    """
    assert _script(lenet_files, text=text) == "interrupted"


def test_ctrl_c_reaches_a_call_that_waits_for_another_thread_s(lenet_files: Compiled) -> None:
    text = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    net = lenet.Model(threads=1)
    many = np.zeros((80000, 1, 28, 28), np.uint8)
    other = threading.Thread(target=net, args=(many,))
    other.start()
    time.sleep(0.1)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        net(images)
    except KeyboardInterrupt:
        print("interrupted" if other.is_alive() else "too late")
    other.join()
    print(net(images).shape == (len(images), 10))
    """
    assert _script(lenet_files, text=text) == "interrupted\nTrue"


def test_beside_pytorch_s_openmp_in_one_process(lenet_files: Compiled) -> None:
    pytest.importorskip("torch")
    text = """
    import torch
    torch.set_num_threads(2)
    a = torch.ones(600, 600)
    wanted = trained(2)
    for _ in range(5):
        assert float((a @ a).sum()) == 600.0 ** 3
        assert trained(2) == wanted
    os.environ["OMP_NUM_THREADS"] = "1"
    print(torch.get_num_threads(), lenet.Model().threads)
    """
    assert _script(lenet_files, text=text) == "2 1"


WORKERS = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import lenet

images = np.zeros((64, 1, 28, 28), np.uint8)
inherited = lenet.Model()

def counts(_):
    net = lenet.Model(threads=2)
    net(images)
    inherited(images)
    return lenet.Model().threads, inherited.threads, net.threads

def main(method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        print(sorted(set(pool.map(counts, range(4)))))

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("given", [None, "3"])
def test_processes_of_multiprocessing_have_a_thread_each(
    lenet_files: Compiled, tmp_path: Path, method: str, given: str | None
) -> None:
    script = tmp_path / "workers.py"
    script.write_text(WORKERS, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(lenet_files.extension.parent)
    if given:
        environment["OMP_NUM_THREADS"] = given
    command = [sys.executable, str(script), method]
    found = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    default = given or "1"
    assert found.stdout.strip() == f"[({default}, {default}, 2)]"


def test_workers_of_joblib_share_the_processors(lenet_files: Compiled, tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    text = """
    from joblib import Parallel, delayed

    def count():
        import lenet
        return lenet.Model().threads

    print(Parallel(n_jobs=2)(delayed(count)() for _ in range(2)))
    """
    each = max(1, len(os.sched_getaffinity(0)) // 2)
    assert _script(lenet_files, text=text) == f"[{each}, {each}]"


@linux
def test_a_system_without_futexes(
    lenet_files: Compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = shlex.join(find_compiler().command)
    monkeypatch.setenv("CC", f"{command} -DCNNC_NO_FUTEX")
    other = compile_spec(LENET, output=tmp_path / "out")
    text = """
    found = [trained(threads) for threads in (1, 2, 3, 7)]
    for _ in range(20):
        assert trained(3, 1)
        time.sleep(0.002)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if trained(3) == found[0] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print(len({str(each) for each in found}), tasks())
    """
    assert _script(other, text=text) == "1 1"


@linux
def test_signals_are_for_the_program_s_own_threads(lenet_files: Compiled) -> None:
    text = """
    trained(3)
    own = threading.get_native_id()
    for task in os.listdir("/proc/self/task"):
        if int(task) != own:
            with open(f"/proc/self/task/{task}/status") as file:
                status = dict(line.split(":", 1) for line in file)
            blocked = int(status["SigBlk"], 16)
            print(status["Name"].strip(), bool(blocked >> signal.SIGINT - 1 & 1))
    """
    assert _script(lenet_files, text=text).splitlines() == ["cnnc True"] * 2
