"""A graph on disk outlives its process, has one writer, and can be read beside it."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from graph_things import counts, iri, quads, thing

from tinyfleet.errors import QueryError
from tinyfleet.ontology.graph import FleetGraph

REGISTER = """
import sys
sys.path.insert(0, sys.argv[2])
from graph_things import thing
from tinyfleet.ontology.graph import FleetGraph
with FleetGraph.open(sys.argv[1]) as graph:
    for number in range(1000):
        graph.register(thing(number, ram=1000 * (1 + number % 5)), check=False)
        print(number, flush=True)
"""


def test_killed_while_it_registers_it_has_each_acknowledged_device_and_no_half_one(
    tmp_path: Path,
) -> None:
    place = tmp_path / "fleet"
    process = subprocess.Popen(
        [sys.executable, "-c", REGISTER, place, Path(__file__).parent],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 60:
            break
    process.kill()
    rest, _ = process.communicate()
    acknowledged = 61 + len(rest.splitlines())
    with FleetGraph.open(place) as graph:
        devices = counts(graph)["devices"]
        assert acknowledged <= devices <= acknowledged + 1
        with FleetGraph.open() as whole:
            for number in range(devices):
                whole.register(thing(number, ram=1000 * (1 + number % 5)), check=False)
            assert quads(graph) == quads(whole)


def test_a_second_process_is_told_in_one_line_that_the_graph_is_in_use(tmp_path: Path) -> None:
    with FleetGraph.open(tmp_path / "fleet"):
        code = (
            "import sys\nfrom tinyfleet.errors import QueryError\n"
            "from tinyfleet.ontology.graph import FleetGraph\n"
            "try: FleetGraph.open(sys.argv[1])\nexcept QueryError as error: print(error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "fleet"], capture_output=True, text=True
        )
    assert "in use" in done.stdout
    assert done.stdout.count("\n") == 1
    assert not done.stderr


def test_a_reader_sees_the_graph_beside_its_writer_and_cannot_write(tmp_path: Path) -> None:
    with FleetGraph.open(tmp_path / "fleet") as writer:
        writer.register(thing(1), check=False)
        with FleetGraph.open(tmp_path / "fleet", read_only=True) as reader:
            writer.register(thing(2), check=False)
            assert counts(reader) == {"devices": 1}
            with pytest.raises(QueryError):
                reader.register(thing(3), check=False)
        assert counts(writer) == {"devices": 2}


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_no_directory_of_a_graph_is_refused(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QueryError, match="expected the folder of a graph"):
        FleetGraph.open(tmp_path / "file", read_only=read_only)


def test_a_graph_that_is_absent_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="expected the folder of a graph"):
        FleetGraph.open(tmp_path / "absent", read_only=True)
    assert not (tmp_path / "absent").exists()


def test_readers_beside_a_writer_see_no_half_device(tmp_path: Path) -> None:
    pair = (
        "SELECT ?a ?b { GRAPH <urn:tinyfleet:graph:sources> { ?d dct:modified ?a } "
        f"GRAPH <{iri(0)}> {{ ?s td:title ?b }} }}"
    )
    torn: list[object] = []
    done = threading.Event()
    with FleetGraph.open(tmp_path / "fleet") as graph:
        graph.register(thing(0), check=False)

        def read() -> None:
            while not done.is_set():
                try:
                    rows = graph.select(pair).rows
                    if len(rows) != 1:
                        torn.append(rows)
                except QueryError as error:
                    torn.append(error)

        readers = [threading.Thread(target=read) for _ in range(8)]
        for reader in readers:
            reader.start()
        for number in range(50):
            graph.register({**thing(0), "title": f"title {number}"}, check=False)
        done.set()
        for reader in readers:
            reader.join()
    assert torn == []


def test_writers_in_many_threads_lose_no_count(tmp_path: Path) -> None:
    with FleetGraph.open(tmp_path / "fleet") as graph:

        def write(first: int) -> None:
            for number in range(first, first + 20):
                graph.register(thing(number), check=False)

        writers = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200, 300)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert counts(graph) == {"devices": 80}
