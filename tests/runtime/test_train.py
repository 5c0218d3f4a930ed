from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from cnnc.runtime import DataError, Dataset, TrainingError, evaluate, fit


class Recorder:
    """A Progress that remembers what it was told."""

    def __init__(self):
        self.calls = []

    def start(self, epochs, samples):
        self.calls.append(("start", epochs, samples))

    def step(self, epoch, done, loss, samples_per_second):
        assert math.isfinite(loss)
        assert samples_per_second > 0
        self.calls.append(("step", epoch, done))

    def finish_epoch(self, result):
        self.calls.append(("epoch", result.epoch))

    def close(self):
        self.calls.append(("close",))


def test_defaults_come_from_the_train_block(net, striped):
    history = fit(net, striped)
    assert [result.epoch for result in history] == [1, 2]
    assert net.batches == 2 * ([16] * 6 + [4])
    first, last = history
    assert 0 < last.loss < first.loss
    assert last.test_accuracy > 0.9
    assert last.samples_per_second > 0
    assert first.seconds > 0
    assert first.accuracy is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        last.loss = 0
    figures = evaluate(net, striped.test_images, striped.test_labels)
    assert (figures.loss, figures.accuracy) == (last.test_loss, last.test_accuracy)


def test_the_loss_is_the_mean_over_samples(net, striped):
    net.learning_rate = 0.0
    (result,) = fit(net, striped, epochs=1, batch=64)
    assert result.loss == pytest.approx(math.log(3), abs=1e-6)
    assert result.test_loss == pytest.approx(math.log(3), abs=1e-6)


def test_the_same_seed_gives_the_same_weights(make_net, striped):
    nets = [make_net() for _ in range(4)]
    for net, seed in zip(nets, (1, 1, 2, None), strict=True):
        fit(net, striped, seed=seed)
    np.testing.assert_array_equal(nets[0].weight, nets[1].weight)
    assert not np.array_equal(nets[0].weight, nets[2].weight)
    fit(again := make_net(), striped, seed=0)
    np.testing.assert_array_equal(nets[3].weight, again.weight)


@pytest.mark.parametrize("stored", ["uint8", "float64", ">f4", "int64"])
def test_a_float_input_takes_other_types(make_net, striped, stored):
    images = [striped.train_images.astype(stored), striped.test_images.astype(stored)]
    data = Dataset("cast", images[0], striped.train_labels, images[1], striped.test_labels)
    net, plain = make_net(dtype="float32"), make_net()
    assert fit(net, data)[-1].loss == fit(plain, striped)[-1].loss


def test_whole_numbers_fit_a_uint8_input_and_fractions_do_not(make_net, striped):
    wide = dataclasses.replace(striped, train_images=striped.train_images.astype(np.int64))
    assert fit(make_net(), wide)[-1].loss == fit(make_net(), striped)[-1].loss
    real = dataclasses.replace(striped, train_images=striped.train_images / 255)
    with pytest.raises(DataError, match="stripes: train: elements of type float64, expected uint8"):
        fit(make_net(), real)


def test_progress_hears_everything_in_order(net, striped):
    recorder, seen = Recorder(), []
    history = fit(net, striped, batch=60, progress=recorder, on_epoch=seen.append)
    assert recorder.calls == [
        ("start", 2, 100),
        ("step", 1, 60),
        ("step", 1, 100),
        ("epoch", 1),
        ("step", 2, 60),
        ("step", 2, 100),
        ("epoch", 2),
        ("close",),
    ]
    assert seen == history


def test_progress_true_prints_lines_into_a_pipe(net, striped, capsys):
    fit(net, striped, progress=True)
    assert capsys.readouterr().out.count("samples/s\n") == 2
    fit(net, striped, progress=False)
    assert capsys.readouterr().out == ""


def test_training_accuracy_on_request(net, striped):
    result = fit(net, striped, training_accuracy=True)[-1]
    assert result.accuracy == np.mean(
        net.predict(striped.train_images[:, None]) == striped.train_labels
    )


def test_no_test_samples(net, striped):
    data = dataclasses.replace(
        striped, test_images=striped.test_images[:0], test_labels=striped.test_labels[:0]
    )
    result = fit(net, data)[-1]
    assert result.test_loss is None
    assert result.test_accuracy is None


def test_settings_out_of_range(net, striped):
    assert fit(net, striped, epochs=0) == []
    for settings in ({"epochs": -1}, {"batch": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} is .*, expected at least"):
            fit(net, striped, **settings)
    fit(net, striped, batch=10**9, epochs=1)
    assert net.batches == [100]


def test_data_that_do_not_fit_stop_before_the_first_step(make_net, striped):
    for net, words in [
        (make_net(shape=(1, 5, 5)), r"stripes: train: images of shape \(100, 4, 4\)"),
        (make_net(classes=2), r"stripes: train: labels within 0\.\.2.*classes 0\.\.1"),
    ]:
        with pytest.raises(DataError, match=words):
            fit(net, striped)
        assert net.batches == []
    late = dataclasses.replace(striped, test_labels=striped.test_labels + 1)
    with pytest.raises(DataError, match="stripes: test: labels within"):
        fit(make_net(), late)
    none = dataclasses.replace(
        striped, train_images=striped.train_images[:0], train_labels=striped.train_labels[:0]
    )
    with pytest.raises(DataError, match="stripes: no training samples"):
        fit(make_net(), none)


def test_a_model_without_a_train_block(net, striped):
    net.training = None
    with pytest.raises(TrainingError, match="softmax was compiled without a train block"):
        fit(net, striped)
    with pytest.raises(TrainingError, match="has no loss"):
        evaluate(net, striped.test_images, striped.test_labels)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverging_loss_says_where_and_what_to_try(net, striped, value):
    steps, recorder = iter([1.0] * 9 + [value]), Recorder()
    net.train_step = lambda images, labels: next(steps)
    with pytest.raises(TrainingError) as caught:
        fit(net, striped, progress=recorder)
    assert str(caught.value) == (
        f"the loss became {value} at step 3 of epoch 2; try a learning rate below 0.5"
    )
    assert recorder.calls[-1] == ("close",)


def test_a_first_step_that_is_not_finite_points_at_the_data(net, striped):
    net.train_step = lambda images, labels: math.nan
    with pytest.raises(TrainingError, match="step 1 of epoch 1; this is the first step: look for"):
        fit(net, striped)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_loss_that_is_not_finite_is_laid_on_data_that_are_not(make_net, striped, step):
    images = striped.train_images.astype(np.float32)
    images[83, 1, 2] = math.nan
    data = dataclasses.replace(
        striped, train_images=images, test_images=striped.test_images.astype(np.float32)
    )
    net, steps = make_net(dtype="float32"), iter([1.0] * (step - 1) + [math.nan])
    net.train_step = lambda images, labels: next(steps)
    with pytest.raises(TrainingError) as caught:
        fit(net, data)
    assert str(caught.value) == (
        f"the loss became nan at step {step} of epoch 1; "
        "image of training sample 83 has values that are not finite"
    )


def test_a_target_that_is_not_finite_is_named(make_net, striped):
    net = make_net()
    net.targets = {"target": dict(net.targets["target"], shape=(3,), classes=None)}
    net.train_step = lambda images, targets: math.nan
    targets = np.zeros((100, 3), np.float32)
    targets[41, 2] = math.inf
    data = dataclasses.replace(
        striped, train_labels=targets, test_images=striped.test_images[:0], test_labels=targets[:0]
    )
    with pytest.raises(TrainingError, match="; target of training sample 41 has values that"):
        fit(net, data)


def test_an_interrupt_passes_and_the_model_stays_usable(net, striped):
    recorder = Recorder()
    step = recorder.step

    def interrupt(epoch, done, *figures):
        step(epoch, done, *figures)
        if (epoch, done) == (2, 32):
            raise KeyboardInterrupt

    recorder.step = interrupt
    with pytest.raises(KeyboardInterrupt):
        fit(net, striped, progress=recorder)
    assert recorder.calls[-1] == ("close",)
    assert len(net.batches) == 9
    assert evaluate(net, striped.test_images, striped.test_labels).accuracy > 0.5
    assert len(fit(net, striped)) == 2


def test_the_schedule_leads_the_learning_rate_down_and_gives_it_back(net, striped, monkeypatch):
    rates = []
    step = net.train_step
    monkeypatch.setattr(net, "train_step", lambda *a: rates.append(net.learning_rate) or step(*a))
    base = net.learning_rate
    fit(net, striped, epochs=2, schedule="linear")
    assert rates[0] == base
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < base / 10
    assert net.learning_rate == base


def test_an_unknown_schedule_is_refused(net, striped):
    with pytest.raises(ValueError, match="cosine"):
        fit(net, striped, schedule="cosin")


def test_what_is_no_data_set_or_model_is_refused(net, striped):
    with pytest.raises(TypeError, match="load_dataset"):
        fit(net, "mnist")
    with pytest.raises(TypeError, match="compiled model"):
        fit(3, striped)
    with pytest.raises(TypeError):
        fit(net, striped, epochs=1.5)


class TwoInputs:
    """Two inputs and two targets that must stay together: each sample's arrays hold its number."""

    name, classes, learning_rate = "pairs", None, 0.1

    def __init__(self):
        self.seen = []
        self.input_shapes = {"image": (1, 2, 2), "age": (1,)}
        self.input_dtypes = {"image": "uint8", "age": "float32"}
        self.output_shapes = {"mask": (50, 2, 2), "size": (1,)}
        self.training = {"batch": 8, "epochs": 1, "seed": 3}
        self.targets = {
            "mask_target": {"output": "mask", "shape": (2, 2), "classes": 50},
            "size_target": {"output": "size", "shape": (1,), "classes": None},
        }

    def __call__(self, image, age):
        return np.eye(50)[image].transpose(0, 4, 2, 3, 1)[..., 0], age

    def loss(self, image, age, mask_target, size_target):
        for array, dtype in ((image, "u1"), (age, "f4"), (mask_target, "u1"), (size_target, "f4")):
            assert array.dtype == dtype
            assert (array.reshape(len(image), -1) == age).all()
        return 0.5

    def train_step(self, *arrays):
        self.seen += arrays[1][:, 0].astype(int).tolist()
        return self.loss(*arrays)


def _numbered(count):
    numbers = np.arange(count)
    grid = np.broadcast_to(numbers[:, None, None], (count, 2, 2)).astype(np.uint8)
    return (
        {"age": numbers[:, None], "image": grid},
        {"size_target": numbers / 1, "mask_target": grid},
    )


def test_several_inputs_and_targets_are_shuffled_alike():
    net, data = TwoInputs(), Dataset("pairs", *_numbered(50), *_numbered(9))
    (result,) = fit(net, data, training_accuracy=True)
    assert sorted(net.seen) == list(range(50))
    assert net.seen != sorted(net.seen)
    assert (result.loss, result.test_loss) == (0.5, 0.5)
    assert result.accuracy == result.test_accuracy == 1
    images, labels = _numbered(50)
    alone = Dataset("pairs", images["age"], labels, images["age"][:5], _numbered(5)[1])
    with pytest.raises(DataError, match="pairs: train: pairs takes the inputs image, age"):
        fit(net, alone)
