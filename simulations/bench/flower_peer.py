"""The peer in Flower: the app that a Flower user writes, on Flower's own Ray engine.

A hundred nodes of one device each train an ordinary module with an ordinary optimiser; FedAvg
averages them. Only rounds are timed: the engine's start and a first round are left out.
"""

import time
from functools import cache

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn

from tinyfleet.simulations.bench.bout import Bout, Gate, Settings
from tinyfleet.simulations.bench.torch_peers import images, plain_module, train_module
from tinyfleet.simulations.bench.workloads import WORKLOADS, Workload
from tinyfleet.simulations.torch_model import network_model


@cache
def _workload(name: str) -> Workload:
    """Return a workload, made once in each of Ray's processes, as a user would cache a data set."""
    return WORKLOADS[name]()


def _module(workload: Workload) -> nn.Module:
    return plain_module(network_model(workload.network), workload.start)


def client_app(name: str) -> ClientApp:
    """Return the client app of a user of PyTorch: load the arrays, train, send the arrays back."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        workload = _workload(name)
        device = int(context.node_config["partition-id"])
        task = workload.tasks.batch(np.array([device]), 1).task(0)
        arrays = message.content.array_records["arrays"]
        module = _module(workload)
        module.load_state_dict(arrays.to_torch_state_dict())
        x, y = images(task.support_x), torch.from_numpy(task.support_y)
        loss = train_module(module, workload.network.loss, x, y, workload.rate)
        metrics = MetricRecord({"train_loss": loss, "num-examples": len(x)})
        content = RecordDict({"arrays": ArrayRecord(module.state_dict()), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


def server_app(settings: Settings, gate: Gate) -> ServerApp:
    """Return the server app: FedAvg, every node in every round, a round whenever the gate asks."""
    app = ServerApp()
    began = [0.0]

    def after_round(number: int, arrays: ArrayRecord) -> MetricRecord | None:
        del arrays
        if number > 0:
            how = f"{settings.nodes} nodes, {settings.workers} at a time"
            gate.answer(Bout(settings.nodes, time.perf_counter() - began[0], how))
        if number < settings.bouts:
            gate.wait()
        began[0] = time.perf_counter()
        return None

    @app.main()
    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001
        module = _module(_workload(settings.workload))
        strategy = FedAvg(
            fraction_train=1.0,
            fraction_evaluate=0.0,
            min_train_nodes=settings.nodes,
            min_available_nodes=settings.nodes,
        )
        strategy.start(
            grid,
            ArrayRecord(module.state_dict()),
            num_rounds=settings.bouts,
            evaluate_fn=after_round,
        )

    return app


def contend(settings: Settings, gate: Gate) -> None:
    """Run the simulation; the gate decides when a round begins."""
    run_simulation(
        server_app(settings, gate),
        client_app(settings.workload),
        num_supernodes=settings.nodes,
        backend_config={
            "init_args": {
                "num_cpus": settings.workers,
                "include_dashboard": False,
                "log_to_driver": False,
            },
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
