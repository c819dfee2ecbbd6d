"""`tinyfleet bench graph` says what was measured, and with how many devices."""

import json

from typer.testing import CliRunner

from tinyfleet.simulations.bench.command import bench
from tinyfleet.simulations.bench.graph import KEYS


def test_both_stores_have_every_figure_and_say_how_many_devices_they_had() -> None:
    done = CliRunner().invoke(bench, ["graph", "--devices", "26", "--models", "1", "--json"])
    told = json.loads(done.stdout)
    for store in ("oxigraph", "rdflib"):
        assert (told[store]["devices"], told[store]["models"]) == (26, 1)
        assert all(told[store][key] > 0 for key in KEYS)
