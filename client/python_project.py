"""Write a Python project that runs a model on a small computer, such as a Raspberry Pi.

What comes in is a mapping of plain values, which `tinyfleet.ontology.generate` documents; what goes
out are the files.
"""

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinyfleet.client.templates import markdown, one_line, render
from tinyfleet.description import network_from_toml
from tinyfleet.errors import DescriptionError

Files = dict[str, bytes]
TEMPLATES = Path(__file__).parent / "templates"


def python(project: Mapping[str, Any]) -> Files:
    """Return the files of a Python project: a program that reads rows of CSV and says JSON.

    Raises:
        DescriptionError: the model has several inputs.
    """
    network = project["model"]["kind"] == "network"
    values = {
        **project,
        "network": network,
        "labels": project["model"]["labels"],
        "channels": [(one["name"], one["minimum"], one["maximum"]) for one in project["channels"]],
        "named": bool(project["channels"]),
        "table": [_row(one) for one in project["channels"]],
        "inputs": _inputs(project["model"]),
    }
    slug = project["slug"]
    names = {
        "README.md": "README.md",
        "main.py": "main_network.py" if network else "main_tflite.py",
        "pyproject.toml": "pyproject.toml",
        f"{slug}.service": "project.service",
    }
    if not project["channels"]:
        del names[f"{slug}.service"]  # what is there to serve is in a file
    if network and project["learning"]:
        names["gateway.toml"] = "gateway.toml"
    files = {name: render(TEMPLATES, f"{source}.jinja", values) for name, source in names.items()}
    files |= _carried(project) if network else {"model.tflite": project["content"]}
    files["tinyfleet.json"] = (json.dumps(project["facts"], indent=1) + "\n").encode()
    return files


def _inputs(model: Mapping[str, Any]) -> int:
    """Return how many numbers one sample has."""
    inputs = model["description"]["inputs"]
    if len(inputs) != 1:
        name = one_line(model["name"])
        raise DescriptionError(f"{name}: inputs: expected one, got {len(inputs)}; export it so")
    return math.prod(max(1, side) for side in inputs[0]["shape"])


def _row(channel: Mapping[str, Any]) -> list[str]:
    """Return a channel's row of the page's table."""
    limits = (channel["minimum"], channel["maximum"])
    shown = ["" if number is None else f"{number:g}" for number in limits]
    return [markdown(channel["name"]), *shown, markdown(channel["unit"])]


def _carried(project: Mapping[str, Any]) -> Files:
    """Return the network and its weights as the package reads them."""
    network = network_from_toml(project["network"], project["model"]["name"])
    vector = network.check_weights(np.frombuffer(project["weights"], "<f4").astype(np.float32))
    file = io.BytesIO()
    np.lib.format.write_array(file, vector, version=(1, 0), allow_pickle=False)
    return {"network.toml": project["network"].encode(), "weights.npy": file.getvalue()}
