"""net(...): values, types and shapes for every size of batch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.module.conftest import Case
from tests.module.reference import close

SIZES = [0, 1, 15, 16, 17, 33, 64]


@pytest.fixture(params=["lenet", "digits", "means", "wind", "heads"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


def _outputs(case: Case, net, inputs):
    found = net(*inputs)
    return found if len(case.module.Model.output_shapes) > 1 else (found,)


@pytest.mark.parametrize("n", SIZES)
def test_outputs_equal_the_reference(case: Case, n: int) -> None:
    net = case.model(seed=1, threads=2)
    inputs = case.inputs(n)
    found = _outputs(case, net, inputs)
    wanted = case.reference(net).outputs(*inputs)
    assert len(found) == len(wanted) == len(net.output_shapes)
    for value, reference, shape in zip(found, wanted, net.output_shapes.values(), strict=True):
        assert type(value) is np.ndarray
        assert value.dtype == np.float32
        assert value.shape == (n, *shape)
        assert value.flags.c_contiguous
        assert value.flags.owndata
        assert value.flags.writeable
        close(value, reference)


@pytest.mark.parametrize("n", [1, 16, 33])
def test_a_uint8_input_takes_the_same_values_as_float32(digits: Case, n: int) -> None:
    net = digits.model()
    (image,) = digits.inputs(n)
    np.testing.assert_array_equal(net(image), net(image.astype(np.float32)))


def test_a_uint8_input_takes_float32_that_no_byte_could_hold(digits: Case) -> None:
    net = digits.model()
    image = np.random.default_rng(0).normal(0, 1000, (17, 2, 9, 7)).astype(np.float32)
    close(net(image), digits.reference(net).outputs(image)[0])


def test_a_sample_s_result_depends_on_its_batch_by_rounding_alone(digits: Case) -> None:
    net = digits.model()
    (image,) = digits.inputs(40)
    whole = net(image)
    for at in (0, 15, 16, 31, 39):
        alone = net(image[at : at + 1])
        np.testing.assert_allclose(alone[0], whole[at], rtol=1e-5, atol=1e-6)
        # What goes through the same kernels is the same.
        np.testing.assert_array_equal(net(image[at : at + 1]), alone)
    np.testing.assert_array_equal(net(image[:32]), whole[:32])


def test_each_call_gives_an_array_of_its_own(digits: Case) -> None:
    net = digits.model()
    (image,) = digits.inputs(3)
    first = net(image)
    kept = first.copy()
    second = net(image[::-1])
    first[...] = 0
    np.testing.assert_array_equal(second, kept[::-1])


def test_a_large_batch_leaves_nothing_behind_for_a_small_one(digits: Case) -> None:
    fresh, used = digits.model(), digits.model()
    used(*digits.inputs(300))
    used.compute_gradients(*digits.inputs(300), digits.target(300))
    (image,) = digits.inputs(3)
    np.testing.assert_array_equal(used(image), fresh(image))


def test_inputs_may_be_named(heads: Case) -> None:
    net = heads.model()
    image, extra = heads.inputs(4)
    for by_place, by_name in zip(net(image, extra), net(extra=extra, image=image), strict=True):
        np.testing.assert_array_equal(by_place, by_name)


def test_inputs_are_in_the_order_of_the_spec(case: Case) -> None:
    wanted = [node.name for node in case.compiled.graph.inputs()]
    assert list(case.module.Model.input_shapes) == wanted
    assert list(case.module.Model.input_dtypes) == wanted


def test_outputs_are_in_the_order_of_the_spec(heads: Case) -> None:
    shapes = heads.module.Model.output_shapes
    assert list(shapes.items()) == [("mean", (2,)), ("plane", (2, 4, 3)), ("spread", (1,))]


def test_predict_gives_the_class_of_the_largest_output(lenet: Case) -> None:
    net = lenet.model()
    (image,) = lenet.inputs(33)
    found = net.predict(image)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, net(image).argmax(axis=1))
    assert net.predict(image[:0]).shape == (0,)


def test_predict_without_classes_gives_the_outputs(wind: Case, heads: Case) -> None:
    net = wind.model()
    inputs = wind.inputs(5)
    np.testing.assert_array_equal(net.predict(*inputs), net(*inputs))
    net = heads.model()
    inputs = heads.inputs(5)
    for found, wanted in zip(net.predict(*inputs), net(*inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_writing_into_parameters_changes_the_next_call(line: Case) -> None:
    net = line.module.Model()
    x = np.array([[2.0]], np.float32)
    assert net(x) == 1.0
    weight, bias = net.parameters["dense1.weight"], net.parameters["dense1.bias"]
    weight[0, 0] = 3
    bias += 0.5
    assert net(x) == 6.5


def test_a_view_of_parameters_outlives_its_model(line: Case) -> None:
    weight = line.module.Model().parameters["dense1.weight"]
    others = [line.module.Model() for _ in range(50)]
    assert weight == 0.5
    weight[...] = 7
    assert all(net.parameters["dense1.weight"] == 0.5 for net in others)
