"""The peers in PyTorch: a loop as most people write it, and many devices through `torch.func`.

Both train ordinary modules on images with channels first, as torch likes them best.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from tinyfleet.messages import Floats
from tinyfleet.network import Loss, Network
from tinyfleet.simulations.bench.bout import Gate, Settings, Way, compete
from tinyfleet.simulations.bench.workloads import Workload
from tinyfleet.simulations.torch_model import TorchModel, network_model, vector_to_module
from tinyfleet.task import TaskBatch


def plain_module(model: TorchModel, vector: Floats) -> nn.Sequential:
    """Return the model's layers as a user would write them, holding `vector`, `(parameters,)`.

    The twin of a network turns images at its entrance and pads them in a layer of its own. Here
    images come in torch's order and a convolution pads itself where the padding is even.
    """
    whole = vector_to_module(model, vector)
    assert isinstance(whole, nn.Sequential)
    return nn.Sequential(*(_plain(layer) for layer in list(whole)[1:]))


def _plain(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, nn.Sequential):
        return layer
    pad, conv = layer[0], layer[1]
    assert isinstance(pad, nn.ZeroPad2d)
    assert isinstance(conv, nn.Conv2d)
    left, right, top, bottom = pad.padding
    if (left, top) != (right, bottom):
        return layer
    conv.padding = (top, left)
    return conv


def images(x: Floats) -> Tensor:
    """Return examples in torch's order: `(..., channels, height, width)`, vectors as they are."""
    turned = np.moveaxis(x, -1, -3) if x.ndim >= 4 else x
    return torch.from_numpy(np.ascontiguousarray(turned))


def loss_of(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of a batch, as PyTorch's own functions compute it."""
    if loss == "mean-square":
        return functional.mse_loss(outputs, targets)
    return functional.cross_entropy(outputs, targets)


def train_module(module: nn.Module, loss: Loss, x: Tensor, y: Tensor, rate: float) -> float:
    """Train `module` with an optimiser, one sample at a time; return the mean loss."""
    optimiser = torch.optim.SGD(module.parameters(), lr=rate)
    total = 0.0
    for sample, target in zip(x[:, None], y[:, None], strict=True):
        optimiser.zero_grad()
        cost = loss_of(loss, module(sample), target)
        cost.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += cost.item()
    return total / len(x)


def parameters_vector(model: TorchModel, module: nn.Module) -> Floats:
    """Return a plain module's parameters as they lie in the vector, `(parameters,)`."""
    held = list(module.parameters())
    flat = [piece.flat(p.detach()) for piece, p in zip(model.pieces, held, strict=True)]
    return np.asarray(torch.cat(flat).numpy(), np.float32)


def learn_loop(workload: Workload, tasks: TaskBatch) -> Floats:
    """Train device after device with `train_module`; return their weights, `(n, parameters)`."""
    start, network = workload.start, workload.network
    model = network_model(network)
    module = plain_module(model, start)
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    x, y = images(tasks.support_x), torch.from_numpy(tasks.support_y)
    learned = np.empty((len(tasks), network.parameters), np.float32)
    for i in range(len(tasks)):
        module.load_state_dict(initial)
        train_module(module, network.loss, x[i], y[i], workload.rate)
        learned[i] = parameters_vector(model, module)
    return learned


def learn_vmap(workload: Workload, tasks: TaskBatch, block: int) -> Floats:
    """Train `block` devices at a time with `vmap` over `grad`; return `(n, parameters)`."""
    network = workload.network
    model = network_model(network)
    module = plain_module(model, workload.start)
    x, y = images(tasks.support_x), torch.from_numpy(tasks.support_y)
    learned = []
    for first in range(0, len(tasks), block):
        at = slice(first, first + block)
        states = _learn_states(module, network, x[at], y[at], workload.rate)
        flat = [
            vmap(piece.flat)(state)
            for piece, state in zip(model.pieces, states.values(), strict=True)
        ]
        learned.append(torch.cat(flat, dim=1).numpy())
    return np.concatenate(learned)


def _learn_states(
    module: nn.Module, network: Network, x: Tensor, y: Tensor, rate: float
) -> dict[str, Tensor]:
    """Return the parameters of `n` devices after one pass, each `(n, ...)`."""

    def loss(state: dict[str, Tensor], sample: Tensor, target: Tensor) -> Tensor:
        outputs = functional_call(module, state, (sample[None],))
        return loss_of(network.loss, outputs, target[None])

    gradients = vmap(grad(loss))
    states = {
        name: p.detach().expand(len(x), *p.shape).clone() for name, p in module.named_parameters()
    }
    for t in range(x.shape[1]):
        for name, gradient in gradients(states, x[:, t], y[:, t]).items():
            states[name].sub_(gradient, alpha=rate)
    return states


VMAP_BLOCKS = {"sine": (256, 512, 1024), "characters": (16, 32, 64)}


def loop(settings: Settings, gate: Gate) -> None:
    """Measure the plain loop: one process, one thread, which is fastest for networks this small."""
    torch.set_num_threads(1)
    compete(settings, gate, lambda w: [Way("one thread", 1, lambda tasks: learn_loop(w, tasks))])


def many(settings: Settings, gate: Gate) -> None:
    """Measure `torch.func.vmap` with the number of devices and of threads that suits it best."""

    def way(workload: Workload, block: int, threads: int) -> Way:
        def train(tasks: TaskBatch) -> None:
            torch.set_num_threads(threads)
            learn_vmap(workload, tasks, block)

        return Way(f"{block} devices at a time, threads: {threads}", block, train)

    def ways(workload: Workload) -> list[Way]:
        blocks = VMAP_BLOCKS[workload.name]
        alone = [way(workload, block, 1) for block in blocks]
        return [*alone, way(workload, blocks[-1], settings.workers)]

    compete(settings, gate, ways)
