"""Boards for tests: the host build as a process, and the emulated ones."""

import shutil
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from drawn import same_bits, targets_for
from needed import go_without

from tinyfleet.client.firmware.build import build
from tinyfleet.client.ports import ProcessPort
from tinyfleet.messages import Update
from tinyfleet.network import Network
from tinyfleet.task import Task

Target = Literal["unicorn", "qemu", "host"]
Toolchain = Literal["zig", "gcc", "cc"]
TOOLS = {"zig": (), "gcc": ("arm-none-eabi-gcc",), "cc": ("cc",)}


def need(*tools: str) -> None:
    """Skip the test when a tool is missing; fail it in CI."""
    for tool in tools:
        if shutil.which(tool) is None:
            go_without(f"{tool} is not installed")


@cache
def firmware(target: Target, toolchain: Toolchain) -> Path:
    """Return firmware, built once."""
    need(*TOOLS[toolchain], *(["qemu-system-arm"] if target == "qemu" else []))
    return build(target, toolchain)


def host() -> ProcessPort:
    """Return a port to a new process of the firmware's host build."""
    return ProcessPort([str(firmware("host", "cc"))])


def task_for(network: Network, support: int, query: int = 0, seed: int = 0) -> Task:
    """Return a task of random samples, with targets that the network's loss compares with."""
    generator = np.random.default_rng(seed)
    rows = support + query
    x = generator.normal(0, 1, (rows, *network.input_shape)).astype(np.float32)
    y = targets_for(network.loss, (rows, network.outputs), generator)
    return Task(x[:support], y[:support], x[support:], y[support:])


def check_same(update: Update, expected: Update) -> None:
    """Assert that two updates are equal, their floats bit for bit."""
    assert same_bits(update.values, expected.values)
    assert (update.indices is None) == (expected.indices is None)
    if update.indices is not None and expected.indices is not None:
        assert update.indices.dtype == expected.indices.dtype
        assert update.indices.tolist() == expected.indices.tolist()
    assert np.float32(update.loss).tobytes() == np.float32(expected.loss).tobytes()
    for field in ("device", "round", "examples", "received"):
        assert getattr(update, field) == getattr(expected, field), field
