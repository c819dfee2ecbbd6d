"""Folders of finished runs, written by hand for the tests of what is made of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Write = Callable[..., Path]


def estimate(mean: float, ci95: float) -> dict[str, float | int]:
    return {"mean": mean, "ci95": ci95, "tasks": 1000}


ACCURACY = {"0": (20.1, 0.6), "1": (67.43, 0.7), "4": (86.0, 0.31), "8": (90.9, 0.25)}
ONE_PASS = {"0": (20.1, 0.6), "1": (65.17, 0.8), "4": (81.93, 0.5), "8": (86.31, 0.4)}
ERRORS = {"0": (4.417, 0.32), "8": (0.1418, 0.021)}
ERRORS_ONE_PASS = {"0": (4.417, 0.32), "8": (0.713, 0.061)}


def result_of(app: str) -> dict[str, Any]:
    """A result.json; the sent parameters are those of 50 rounds."""
    result: dict[str, Any] = {
        "app": app,
        "strategy": "tinyreptile",
        "rounds": 50,
        "devices": 1234,
        "seed": 7,
        "parameters": 28709,
        "parameters_communicated": 2_870_900,
        "bytes_communicated": 11_483_601,
        "weights_sha256": "ab" * 32,
    }
    best, once = (ERRORS, ERRORS_ONE_PASS) if app == "sine" else (ACCURACY, ONE_PASS)
    name = "mse_by_shots" if app == "sine" else "accuracy"
    result[name] = {shots: estimate(*score) for shots, score in best.items()}
    result[f"{name}_one_pass"] = {shots: estimate(*score) for shots, score in once.items()}
    result["passes"] = {shots: 3 if shots != "0" else 1 for shots in best}
    return result


def settings_of(app: str) -> dict[str, Any]:
    study = {
        "app": app,
        "strategy": "tinyreptile",
        "devices": 1234,
        "rounds": 50,
        "ways": 5,
        "training": {"rate": 0.0125, "passes": 1, "batch": 1, "optimizer": "sgd"},
        "shots": [0, 1, 4, 8],
        "local": [],
        "drift": False,
        "data": None,
    }
    return {
        "tinyfleet": "0.1.0",
        "python": "3.11.9",
        "numpy": "2.4.6",
        "flwr": "1.41.0",
        "kernel_variant": "lanes8",
        "platform": "Linux",
        "command": f"tinyfleet simulate {app} --seed 7",
        "study": study,
        "network": {
            "name": app,
            "parameters": 28709,
            "macs_forward": 1_204_224,
            "macs_training": 3_401_920,
            "training_ram_bytes": 131_072,
            "training_ram_published_bytes": 202_116,
            "flash_bytes": 116_048,
            "checksum": "9a1f3c22",
        },
        "data": {
            part: f"Omniglot archive images.zip; {part} part"
            for part in ("train", "validation", "test")
        },
    }


def rounds_of(app: str, count: int = 50) -> list[dict[str, Any]]:
    lines = []
    for number in range(1, count + 1):
        line: dict[str, Any] = {
            "round": number,
            "devices": 1,
            "refused": 0,
            "examples": 50,
            "loss": 1.6 / number if number != 3 else None,
            "parameters_communicated": 57_418 * number,
            "bytes_communicated": 229_672 * number,
        }
        if number % 10 == 0:
            score = {"mse": 4.0 / number} if app == "sine" else {"accuracy": {"8": 20.0 + number}}
            line["evaluation"] = score
        lines.append(line)
    return lines


def writer(folder: Path) -> Write:
    """Return what writes a run into `folder`; keywords replace what would stand in its files."""

    def write_run(app: str = "characters", **replaced: Any) -> Path:
        result = replaced.get("result", result_of(app))
        settings = replaced.get("settings", settings_of(app))
        rounds = replaced.get("rounds", rounds_of(app))
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "run.json").write_text(json.dumps(settings))
        (folder / "rounds.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rounds))
        return folder

    return write_run
