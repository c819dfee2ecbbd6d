"""Many TinyOL heads side by side are those that gateways run, and begin as what was deployed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tinyfleet import Training
from tinyfleet.client.head import Head, Scaling, head_network
from tinyfleet.client.tinyol import TinyOL
from tinyfleet.network import Loss, Network
from tinyfleet.networks import named_network
from tinyfleet.simulations.tinyol.deployed import Deployed, deploy
from tinyfleet.simulations.tinyol.heads import Heads, Scalings, follow, right
from tinyfleet.simulations.tinyol.neighbours import nearest_neighbours
from tinyfleet.simulations.tinyol.problems import Samples
from tinyfleet.simulations.tinyol.prototypes import class_means

Floats = NDArray[np.float32]
DEVICES, SAMPLES, FEATURES = 5, 40, 6


def streams(outputs: int) -> tuple[Floats, Floats]:
    """Draw features `(n, s, f)`, far from 0, and targets of each device."""
    draw = np.random.default_rng(1)
    z = draw.normal(3.0, 2.0, (DEVICES, SAMPLES, FEATURES)).astype(np.float32)
    if outputs == 1:
        return z, (z[:, :, :1] > 3.0).astype(np.float32)
    labels = draw.integers(outputs, size=(DEVICES, SAMPLES))
    return z, np.eye(outputs, dtype=np.float32)[labels]


def new_heads(network: Network) -> Heads:
    weights = np.stack([network.init((2, i)) for i in range(DEVICES)])
    nothing = np.zeros((DEVICES, network.inputs))
    return Heads(network, weights, Scalings(0, nothing, nothing), 0.05)


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [("softmax-cross-entropy", 3), ("sigmoid-cross-entropy", 1), ("mean-square", 2)],
)
def test_heads_side_by_side_learn_the_bits_of_a_gateway_s_head(loss: Loss, outputs: int) -> None:
    network = head_network(FEATURES, outputs, loss=loss)
    heads, (z, y) = new_heads(network), streams(outputs)

    course = follow(heads, z, y, (SAMPLES,))

    for i in range(DEVICES):
        nothing = np.zeros(FEATURES)
        one = TinyOL(Head(network, heads.weights[i], Scaling(0, nothing, nothing), (), 0.05))
        said = [one.estimate(a, b).outputs for a, b in zip(z[i], y[i], strict=True)]
        after = course.at[SAMPLES]
        assert np.array(said).tobytes() == course.said[i].tobytes()
        assert one.head.weights.tobytes() == after.weights[i].tobytes()
        assert one.head.scaling.mean.tobytes() == after.scalings.mean[i].tobytes()
        assert one.head.scaling.squares.tobytes() == after.scalings.squares[i].tobytes()


@pytest.fixture(scope="module")
def deployed() -> tuple[Deployed, Samples]:
    draw = np.random.default_rng(4)
    x = draw.normal(0.0, 1.0, (DEVICES, 64, 8)).astype(np.float32)
    known = Samples(x, (x[:, :, :1] + x[:, :, 1:2] > 0).astype(np.float32))
    return deploy(named_network("presence"), known, Training(0.01, passes=5), 7), known


def test_a_warm_head_says_what_the_deployed_network_says(
    deployed: tuple[Deployed, Samples],
) -> None:
    model, known = deployed

    warm = model.warm(model.features(known.x), rate=0.01, trust=20)

    np.testing.assert_allclose(warm.says(model.features(known.x)), model.says(known.x), atol=1e-4)


def test_a_model_is_trained_before_it_is_deployed(deployed: tuple[Deployed, Samples]) -> None:
    model, known = deployed

    assert right(model.says(known.x), known.y).mean() > 0.9


def test_heads_are_kept_at_the_marks_alone() -> None:
    z, y = streams(3)

    course = follow(new_heads(head_network(FEATURES, 3)), z, y, (0, 10, 1000))

    assert list(course.at) == [0, 10]
    assert course.at[0].scalings.count == 0
    assert course.at[10].scalings.count == 10


def test_a_class_mean_is_the_mean_of_what_was_known_and_seen() -> None:
    z, y = streams(3)
    still = Scalings(10**12, z.mean(axis=1).astype(float), 1e12 * z.var(axis=1).astype(float))

    means = class_means(still, z, y, trust=float(y[0, :, 0].sum()))
    label = np.zeros(DEVICES, np.int64)
    moved = means.seen(z[:, 0], label)

    x = still.standardised(z)[0].astype(float)
    mine = x[y[0, :, 0] > 0.5]
    np.testing.assert_allclose(means.centres[0, 0], mine.mean(axis=0), atol=1e-6)
    expected = (mine.sum(axis=0) + x[0]) / (len(mine) + 1)
    np.testing.assert_allclose(moved.centres[0, 0], expected, atol=1e-5)
    assert (moved.centres[:, 1:] == means.centres[:, 1:]).all()


def test_distances_are_mean_squares_to_each_centre() -> None:
    z, y = streams(3)
    scalings = Scalings(1, np.zeros((DEVICES, FEATURES)), np.ones((DEVICES, FEATURES)))
    means = class_means(scalings, z, y, trust=1.0)

    x = scalings.standardised(z).astype(float)
    expected = ((x[:, :, None] - means.centres[:, None]) ** 2).mean(axis=3)
    np.testing.assert_allclose(means.distances(z), expected, atol=1e-9)


def test_a_neighbour_that_is_the_sample_itself_names_it() -> None:
    z, y = streams(3)
    scalings = Scalings(1, np.zeros((DEVICES, FEATURES)), np.ones((DEVICES, FEATURES)))

    found = nearest_neighbours(scalings, (z, y), (z, y), 1)

    assert found.tolist() == [1.0] * DEVICES
