"""Writes the studies of a reproduction as study files that leave no setting to a default."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from tinyfleet.messages import Training
from tinyfleet.simulations.defaults import complete, without_unread
from tinyfleet.simulations.reproduce.work import Ran
from tinyfleet.simulations.study import Study, study_to_dict

Labels = Mapping[Path, tuple[str, Ran]]
"""Studies by their folders, each with a label of its own."""


def label_studies(asked: Iterable[Mapping[str, Ran]]) -> Labels:
    """Return the studies that tables have asked for; from the second of a name on, numbered."""
    found: dict[Path, tuple[str, Ran]] = {}
    taken: Counter[str] = Counter()
    for runs in asked:
        for name, ran in runs.items():
            if ran.folder not in found:
                taken[name] += 1
                label = f"{name}-{taken[name]}" if taken[name] > 1 else name
                found[ran.folder] = label, ran
    return found


def anchor_of(label: str) -> str:
    """Return where on the page the settings of a study are."""
    return f"study-{label}"


def account_of(label: str, ran: Ran) -> str:
    """Return a study's settings, and what its validation part chose, folded away."""
    chosen = ", ".join(
        f"{shots}: {passes} at {ran.result['rates'][shots]:g}"
        for shots, passes in ran.result["passes"].items()
    )
    spent = f"{ran.result['parameters_communicated']:,} parameters communicated"
    what = f"{label}: {ran.result['parameters']:,} parameters, {spent}"
    return "\n".join(
        (
            f'<details><summary><a id="{anchor_of(label)}"></a>{what}</summary>',
            "",
            "```toml",
            study_to_toml(ran.study),
            "```",
            "",
            f"Chosen on validation, passes at a rate by shots: {chosen}.",
            "</details>",
        )
    )


def study_to_toml(study: Study) -> str:
    """Return a study file that makes `study`: all that it reads but what is zero, none or empty.

    What is zero, none or empty is told, too, where something else is the default.
    """
    own = study_to_dict(complete({"app": study.app, "strategy": study.strategy}, study.app))
    told = without_unread(study_to_dict(study))
    differing, lines = _differing(Study, told, own), []
    for key, value in told.items():
        if key == "training":
            inner = _differing(Training, value, own[key])
            lines.append(
                f"{key} = {{ {', '.join(f'{k} = {_toml(v)}' for k, v in inner.items())} }}"
            )
        elif value or key in differing:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines)


def _differing(kind: type[Any], told: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from a default of the dataclass `kind`, or of the application."""
    plain = {f.name: f.default for f in fields(kind) if f.default is not MISSING}
    return {
        key: value
        for key, value in told.items()
        if key not in plain or value != plain[key] or value != own[key]
    }


def _toml(value: Any) -> str:
    """Write a plain value as TOML, whose numbers, texts and lists are JSON's."""
    return json.dumps(value)
