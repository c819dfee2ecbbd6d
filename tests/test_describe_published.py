"""The 23 models that SeLoC-ML published, described again: the same figures, or why not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from needed import go_without
from rdflib import Graph
from rdflib.query import ResultRow
from seloc import BASE

from tinyfleet.ontology.describe import read_model
from tinyfleet.ontology.model import ModelDescription
from tinyfleet.ontology.shapes import check
from tinyfleet.ontology.tflite.arena import plan
from tinyfleet.ontology.tflite.reader import load, read_bytes
from tinyfleet.ontology.vocabulary import PREFIXES

ASKED = """
SELECT ?name ?macs ?ram ?flash WHERE {
    ?model schema:name ?name ; nnet:hasMultiplyAccumulateOps ?macs ;
        s3n:hasProcedureFeature/ssn-system:inCondition ?some, ?other .
    ?some a s3n_extend:RAM ; schema:minValue ?ram .
    ?other a s3n_extend:Flash ; schema:minValue ?flash .
}
"""

# What the tool of today says of what was published, which a runtime of 2020 measured: see
# docs/describe.md, which gives the same bounds.
LEAST, MOST = 0.67, 0.97
PLANNER = 0.05
REFUSED = "Person_Detection"


@dataclass(frozen=True)
class Published:
    """What was published of a model: MACs of seven digits, bytes."""

    macs: int
    ram: int
    flash: int


@pytest.fixture(scope="module")
def published(seloc: Path) -> Mapping[str, Published]:
    graph = Graph().parse(seloc / "tflite_models.ttl", publicID=BASE)
    found = {}
    for row in graph.query(ASKED, initNs=PREFIXES):
        assert isinstance(row, ResultRow)
        name, macs, ram, flash = (str(term) for term in row)
        found[name] = Published(
            round(float(macs)), round(float(ram) * 1000), round(float(flash) * 1000)
        )
    return found


@pytest.fixture(scope="module")
def described(seloc: Path, published: Mapping[str, Published]) -> Mapping[str, ModelDescription]:
    if find_spec("tflite_micro") is None:
        go_without("no tflite-micro: pip install 'tinyfleet[arena]'")
    return {name: read_model(seloc / "models" / f"{name}.tflite") for name in published}


def test_macs_and_flash_are_those_published(
    published: Mapping[str, Published], described: Mapping[str, ModelDescription]
) -> None:
    assert len(described) == 23
    for name, model in described.items():
        assert model.flash_bytes == published[name].flash, name
        assert float(f"{model.macs:.6e}") == published[name].macs, name
    assert described["ARM_MicroNet_Small_anomaly_detection"].macs == 18_740_192


def test_arenas_are_within_the_documented_ratio_of_those_published(
    published: Mapping[str, Published], described: Mapping[str, ModelDescription]
) -> None:
    ratios = {name: model.arena.total / published[name].ram for name, model in described.items()}

    assert LEAST <= min(ratios.values()) <= max(ratios.values()) <= MOST, ratios


def test_tails_are_within_the_documented_ratio_of_what_the_head_leaves(
    published: Mapping[str, Published], described: Mapping[str, ModelDescription]
) -> None:
    """What was published is one total: that the head was the same then is an assumption."""
    for name, model in described.items():
        left = published[name].ram - model.arena.head
        assert 0.48 < model.arena.tail / left < 0.9, name


def test_the_tool_is_named_and_its_refusal_is_told(
    described: Mapping[str, ModelDescription],
) -> None:
    refused = {name: m.arena.reason for name, m in described.items() if m.arena.planned}

    assert list(refused) == [REFUSED]
    assert "Hybrid models" in refused[REFUSED]
    told = described["Hello_World"].to_json()["arena_bytes"]
    assert told["tool"] == "tflite-micro"
    assert told["version"]
    assert told["head"] + told["tail"] == told["total"]


def test_our_planner_agrees_with_the_tool(
    seloc: Path, described: Mapping[str, ModelDescription]
) -> None:
    for name, model in described.items():
        path = seloc / "models" / f"{name}.tflite"
        planned = plan(read_bytes(load(path), str(path)))
        assert planned.head == pytest.approx(model.arena.head, rel=0.01), name
        assert planned.total == pytest.approx(model.arena.total, rel=PLANNER), name


def test_every_description_passes_the_shapes(described: Mapping[str, ModelDescription]) -> None:
    for model in described.values():
        check(model.to_graph())


def test_twins_of_the_same_bytes_differ_in_name_alone(
    described: Mapping[str, ModelDescription],
) -> None:
    one, two = (
        described[name].to_json()
        for name in ("Micro_Speech_Forward_Backward", "Micro_Speech_Yes_No_3")
    )

    assert {key for key in one if one[key] != two[key]} == {"id", "name"}
    assert json.dumps(one)


def test_patches_take_less_memory_for_more_multiplications(
    described: Mapping[str, ModelDescription],
) -> None:
    patches = described["ARM_MicroNet_Small_anomaly_detection"].patches or go_without("a plan")

    assert (patches.ram_bytes, patches.whole_ram_bytes) == (29_200, 98_304)
    assert patches.macs == 18_740_192 + patches.extra_macs
    assert patches.streamed_ram_bytes <= patches.ram_bytes


def test_the_documents_table_is_what_is_measured(
    published: Mapping[str, Published], described: Mapping[str, ModelDescription]
) -> None:
    text = (Path(__file__).parent.parent / "docs" / "describe.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.count("|") == 10]
    table = {cells[0]: cells[1:] for cells in rows if cells[0] in described}

    assert f"{LEAST:.2f} to {MOST:.2f}" in text
    assert set(table) == set(described)
    for name, (macs, flash, head, _, ram, ratio, *_) in table.items():
        model, known = described[name], published[name]
        stated = [f"{n:,}" for n in (model.macs, model.flash_bytes, known.ram)]
        assert [macs, flash, ram] == stated, name
        assert int(head.replace(",", "")) == pytest.approx(model.arena.head, rel=0.01), name
        assert float(ratio) == pytest.approx(model.arena.total / known.ram, abs=0.02), name
