"""Fleets of microcontrollers that learn: networks, the kernel, learners and the seams."""

from tinyfleet.cost import Cost, cost
from tinyfleet.description import load_network, network_from_toml, network_to_toml
from tinyfleet.errors import (
    BrokerError,
    ConfigError,
    DatasetError,
    FirmwareError,
    FleetError,
    KernelError,
    NetworkError,
    StudyError,
    TrainingError,
    WireError,
)
from tinyfleet.fleet import Fleet
from tinyfleet.kernel_learner import KernelLearner
from tinyfleet.layers import (
    AveragePool,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Relu,
    Relu6,
    Sigmoid,
    Tanh,
)
from tinyfleet.learner import Learner
from tinyfleet.messages import Assignment, Training, Update
from tinyfleet.network import Network, sequence
from tinyfleet.networks import NETWORKS, named_network
from tinyfleet.reference_learner import ReferenceLearner
from tinyfleet.task import Task, TaskBatch
from tinyfleet.weights import load_weights, save_weights

__all__ = [
    "NETWORKS",
    "Assignment",
    "AveragePool",
    "BrokerError",
    "ConfigError",
    "Conv2d",
    "Cost",
    "DatasetError",
    "Dense",
    "DepthwiseConv2d",
    "FirmwareError",
    "Flatten",
    "Fleet",
    "FleetError",
    "GlobalAveragePool",
    "KernelError",
    "KernelLearner",
    "Learner",
    "MaxPool",
    "Network",
    "NetworkError",
    "ReferenceLearner",
    "Relu",
    "Relu6",
    "Sigmoid",
    "StudyError",
    "Tanh",
    "Task",
    "TaskBatch",
    "Training",
    "TrainingError",
    "Update",
    "WireError",
    "cost",
    "load_network",
    "load_weights",
    "named_network",
    "network_from_toml",
    "network_to_toml",
    "save_weights",
    "sequence",
]
