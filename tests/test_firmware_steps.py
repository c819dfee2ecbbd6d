"""The firmware's own inner loops compute the bits of the kernel here, however they are built."""

import numpy as np
import pytest
from boards import check_same, firmware, need, task_for

from tinyfleet.client.board import Board
from tinyfleet.client.emulated import UnicornBoard
from tinyfleet.client.firmware.build import Toolchain, build
from tinyfleet.client.link import Link
from tinyfleet.client.qemu import QemuBoard
from tinyfleet.errors import NetworkError
from tinyfleet.kernel_learner import KernelLearner
from tinyfleet.layers import Dense, Layer, Relu, Relu6, Sigmoid, Tanh
from tinyfleet.messages import Assignment, Training
from tinyfleet.network import Network, sequence
from tinyfleet.networks import named_network

WIDTHS = [(1, 16), (2, 8), (3, 33), (5, 24), (8, 15), (7, 1), (16, 17), (31, 40)]
"""Inputs and outputs: odd and even, below, at and past the tiles of eight and sixteen."""


def wide(inputs: int, outputs: int) -> Network:
    """Return a network with a dense layer of this size first, in the middle and last."""
    layers: list[Layer] = [Dense(outputs), Relu(), Dense(inputs), Relu(), Dense(outputs)]
    return Network("wide", (inputs,), sequence(*layers), "mean-square")


@pytest.mark.parametrize("frozen", [(), ("dense-2",)], ids=["whole", "frozen"])
@pytest.mark.parametrize("toolchain", ["zig", "gcc"])
def test_dense_layers_of_any_width_equal_the_kernel(
    toolchain: Toolchain, frozen: tuple[str, ...]
) -> None:
    board = UnicornBoard(firmware("unicorn", toolchain))
    for inputs, outputs in WIDTHS:
        network = wide(inputs, outputs)
        task = task_for(network, 12)
        assignment = Assignment(1, network.init(2), Training(0.01), frozen)

        update = Board(Link(board), network).learn(assignment, task)

        check_same(update, KernelLearner(network).learn(assignment, task))


def test_the_loops_in_assembly_equal_those_in_c() -> None:
    network, plain = wide(9, 24), build("unicorn", "zig", flags=("-DFLEET_NO_ASSEMBLY",))
    assignment, task = Assignment(1, network.init(2), Training(0.01)), task_for(network, 12)

    fast = Board(Link(UnicornBoard(firmware("unicorn", "zig"))), network).learn(assignment, task)
    slow = Board(Link(UnicornBoard(plain)), network).learn(assignment, task)

    check_same(fast, slow)


def test_a_relu_of_negative_zero_equals_the_kernel() -> None:
    network = Network("zero", (5,), sequence(Relu(), Dense(3), Relu()), "mean-square")
    task = task_for(network, 2)
    task.support_x[:] = np.array([[-0.0, 0.0, 1e-45, -1e-45, 3e38], [-1.0, 1.0, 0.0, -0.0, 2.0]])
    assignment = Assignment(1, np.zeros(network.parameters, np.float32), Training(2.0**-120))

    update = Board(Link(UnicornBoard(firmware("unicorn", "zig"))), network).learn(assignment, task)

    check_same(update, KernelLearner(network).learn(assignment, task))


def test_firmware_with_dense_layers_alone_learns_and_refuses_others() -> None:
    board = UnicornBoard(build("unicorn", "zig", layers="dense"))
    layers: list[Layer] = [Dense(20), Tanh(), Dense(9), Sigmoid(), Dense(8), Relu6(), Dense(3)]
    network = Network("dense", (4,), sequence(*layers), "softmax-cross-entropy")
    assignment, task = Assignment(1, network.init(2), Training(0.1)), task_for(network, 12)
    images = named_network("characters-mcu")

    update = Board(Link(board), network).learn(assignment, task)

    check_same(update, KernelLearner(network).learn(assignment, task))
    with pytest.raises(NetworkError, match="conv2d"):
        Board(Link(board), images).learn(
            Assignment(1, images.init(0), Training(0.1)), task_for(images, 1)
        )


def test_both_emulators_count_the_same_instructions() -> None:
    """Whole programs of one compiler take as many in QEMU as in unicorn."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    network = named_network("sine")
    assignment, task = Assignment(1, network.init(2), Training(0.01)), task_for(network, 16)
    counted = []
    qemu = QemuBoard(firmware("qemu", "gcc"))
    for port in (UnicornBoard(firmware("unicorn", "gcc"), count=True), qemu):
        link = Link(port, timeout=60)
        Board(link, network).learn(assignment, task)
        counters = link.counters()
        counted.append(counters.cycles / counters.steps)
    qemu.close()

    assert counted[0] == pytest.approx(counted[1], rel=0.02)  # their clocks differ in a few
