"""Threads, processes and lifetimes: the same bits from any number of threads; nothing leaks."""

from __future__ import annotations

import gc
import os
import signal
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.module.conftest import Case

STATM = Path("/proc/self/statm")
linux = pytest.mark.skipif(not STATM.exists(), reason="Linux tells how much memory is in use")

STEPS = 20
# Partial last blocks, batches smaller than a block, and more groups than threads.
BATCHES = [1000, 1, 15, 16, 17, 33, 200, 64, 250, 7]


def _trained(case: Case, threads: int) -> tuple[list[float], list[bytes]]:
    net = case.model(seed=9, threads=threads)
    losses = []
    for step in range(STEPS):
        n = BATCHES[step % len(BATCHES)]
        losses.append(net.train_step(*case.inputs(n, step), case.target(n, step)))
    inputs = case.inputs(333)
    losses += [net.loss(*inputs, case.target(333))]
    arrays = [net(*inputs), *net.parameters.values(), *net.gradients.values()]
    return losses, [a.tobytes() for a in arrays]


@pytest.mark.parametrize("fixture", ["digits", "wind", "rows", "tower"])
def test_training_is_bit_identical_for_any_number_of_threads(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    case: Case = request.getfixturevalue(fixture)
    wanted = _trained(case, 1)
    assert np.isfinite(wanted[0]).all()
    for threads in (2, 3, 5, 7):
        assert _trained(case, threads) == wanted, f"{threads} threads"


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_are_the_same_with_a_step_and_without(tower: Case, threads: int) -> None:
    for n in (7, 40, 300):
        stepping, still = tower.model(seed=3, threads=threads), tower.model(seed=3, threads=threads)
        before = {name: view.copy() for name, view in still.parameters.items()}
        inputs, target = tower.inputs(n), tower.target(n)
        assert stepping.train_step(*inputs, target) == still.compute_gradients(*inputs, target)
        for name, view in still.gradients.items():
            np.testing.assert_array_equal(view, stepping.gradients[name], name)
            np.testing.assert_array_equal(still.parameters[name], before[name], name)
            assert (stepping.parameters[name] != before[name]).any(), name


def test_lenet_at_a_thousand_samples_is_bit_identical_for_any_number_of_threads(
    lenet: Case,
) -> None:
    found = set()
    for threads in (1, 2, 3, 7):
        net = lenet.model(seed=9, threads=threads)
        for step in range(2):
            net.train_step(*lenet.inputs(1000, step), lenet.target(1000, step))
        found.add(b"".join(view.tobytes() for view in net.parameters.values()))
    assert len(found) == 1


def test_threads_can_be_set_between_calls(digits: Case) -> None:
    left, right = digits.model(threads=1), digits.model(threads=1)
    for step, threads in enumerate([5, 1, 2, 64]):
        right.threads = threads
        assert right.threads == threads
        inputs, target = digits.inputs(400, step), digits.target(400, step)
        assert left.train_step(*inputs, target) == right.train_step(*inputs, target)
    np.testing.assert_array_equal(left(*inputs), right(*inputs))


def test_threads_default_to_the_environment_s_choice(
    line: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert line.module.Model().threads == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert line.module.Model().threads == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("threads", "error"),
    [(0, ValueError), (-1, ValueError), (10**6, ValueError), (1.5, TypeError), ("2", TypeError)],
)
def test_what_is_no_number_of_threads_is_refused(line: Case, threads, error) -> None:
    with pytest.raises(error, match="threads"):
        line.module.Model(threads=threads)
    net = line.module.Model(threads=2)
    with pytest.raises(error, match="threads"):
        net.threads = threads
    assert net.threads == 2


def test_one_model_called_from_several_python_threads(digits: Case) -> None:
    net = digits.model(threads=2)
    batches = [digits.inputs(n) for n in (700, 5, 33, 1000, 64, 1, 300, 16)]
    targets = [digits.target(len(batch[0])) for batch in batches]
    wanted = [
        (net(*batch), net.loss(*batch, target))
        for batch, target in zip(batches, targets, strict=True)
    ]

    def work(i: int):
        return net(*batches[i]), net.loss(*batches[i], targets[i])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, [i % 8 for i in range(64)]))
    for i, (output, loss) in enumerate(found):
        np.testing.assert_array_equal(output, wanted[i % 8][0])
        assert loss == wanted[i % 8][1]


def test_steps_from_two_python_threads_are_whole_steps(digits: Case) -> None:
    # The same batch from both: their order does not matter, so the end is that of a serial run.
    inputs, target = digits.inputs(100), digits.target(100)
    serial, shared = digits.model(threads=1), digits.model(threads=1)
    wanted = [serial.train_step(*inputs, target) for _ in range(40)]
    found: list[float] = []
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        found.extend(shared.train_step(*inputs, target) for _ in range(20))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found) == sorted(wanted)
    for name, view in shared.parameters.items():
        np.testing.assert_array_equal(view, serial.parameters[name])


def test_a_call_lets_other_python_threads_run(lenet: Case) -> None:
    net = lenet.model(threads=1)
    (image,) = lenet.inputs(64)
    image = np.repeat(image, 400, axis=0)
    ticks, done = 0, threading.Event()

    def call() -> None:
        net(image)
        done.set()

    worker = threading.Thread(target=call)
    worker.start()
    while not done.wait(0.001):
        ticks += 1
    worker.join()
    assert ticks > 3


@pytest.mark.parametrize("threads", [1, 2])
def test_a_child_after_fork_can_use_its_parent_s_model(digits: Case, threads: int) -> None:
    net = digits.model(threads=threads)
    inputs, target = digits.inputs(40), digits.target(40)
    net.train_step(*inputs, target)
    before = net(*inputs).tobytes()
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(60)
        try:
            status = 2 if net(*inputs).tobytes() != before else 0
            net.train_step(*inputs, target)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert net(*inputs).tobytes() == before


def test_a_model_goes_when_nobody_holds_it(digits: Case) -> None:
    net = digits.model(threads=2)
    net.train_step(*digits.inputs(40), digits.target(40))
    alive = weakref.ref(net)
    del net
    assert alive() is None


def test_a_model_in_a_cycle_goes_too(digits: Case) -> None:
    net = digits.model()
    net.parameters["conv1.weight"].base  # noqa: B018 - views must not keep it either
    holder = [net]
    holder.append(holder)
    alive = weakref.ref(net)
    del net, holder
    gc.collect()
    assert alive() is None


def _resident() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@linux
def test_a_thousand_models_leave_no_memory_behind(digits: Case) -> None:
    inputs, target = digits.inputs(40), digits.target(40)

    def use() -> None:
        net = digits.module.Model(threads=1)
        net.train_step(*inputs, target)
        net.loss(*inputs, target)
        net(*inputs)

    for _ in range(100):
        use()
    before = _resident()
    for _ in range(1000):
        use()
    # a model's workspaces, arenas and partial gradients are some 50 kB
    assert _resident() - before < 8 * 2**20


def test_models_leave_no_python_objects_behind(digits: Case) -> None:
    inputs, target = digits.inputs(4), digits.target(4)

    def use() -> None:
        net = digits.module.Model(threads=1)
        net.train_step(*inputs, target)
        net(*inputs)

    tracemalloc.start()
    try:
        use()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            use()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - kept < 5000
    finally:
        tracemalloc.stop()


@linux
def test_refused_calls_leave_no_memory_behind(digits: Case) -> None:
    net = digits.model()
    image, wrong = digits.inputs(2000)[0], np.full(2000, 99)

    def use() -> None:
        with pytest.raises(ValueError, match="labels"):
            net.train_step(image[:, :, ::-1], wrong)

    for _ in range(10):
        use()
    before = _resident()
    for _ in range(200):
        use()
    assert _resident() - before < 20 * 2**20
