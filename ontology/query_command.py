"""The command that asks the fleet's graph a question: one of the library, or one of your own."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tinyfleet.errors import QueryError
from tinyfleet.ontology.evaluate import Answer, Question
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.guard import guard, is_update
from tinyfleet.ontology.queries import NamedQuery, bind, named_queries
from tinyfleet.ontology.query_inputs import Files, read_bindings, read_files, read_query
from tinyfleet.ontology.tables import show
from tinyfleet.ontology.vocabulary import PREFIXES


class Form(StrEnum):
    """How an answer is printed: as a table for people, or in a format for machines."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    TURTLE = "turtle"


_RESULTS: Mapping[Form, str] = {Form.CSV: "text/csv"}
_WAYS: Mapping[str, tuple[Form, ...]] = {
    "select": (Form.TABLE, Form.JSON, Form.CSV),
    "ask": (Form.TABLE, Form.JSON),
    "construct": (Form.TABLE, Form.TURTLE),
}
"""The forms that each kind of answer has, the one for people first."""
_PLACE = "DIR|FILE"
_SHORTENED = sorted(PREFIXES.items(), key=lambda pair: -len(pair[1]))

Name = Annotated[
    str | None,
    typer.Argument(
        help="A question's name (--list shows them), a .rq file, or - for stdin.", metavar="QUERY"
    ),
]
Place = Annotated[
    str | None,
    typer.Option("--graph", help="The fleet's graph: folder, or endpoint.", metavar="DIR|URL"),
]
Things = Annotated[
    Path | None, typer.Option(help="Ask files instead: descriptions of devices.", metavar=_PLACE)
]
Models = Annotated[
    Path | None, typer.Option(help="Ask files instead: models, or descriptions.", metavar=_PLACE)
]
Boards = Annotated[
    bool, typer.Option("--boards", help="Ask the boards that tinyfleet knows, as devices.")
]
Bind = Annotated[
    list[str] | None,
    typer.Option(
        "--bind",
        help="Bind a parameter: an IRI, a number, a moment or a text; again for alternatives.",
        metavar="NAME=VALUE",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print SPARQL 1.1 results as JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")]
Turtle = Annotated[bool, typer.Option("--turtle", help="Print a CONSTRUCT's triples as Turtle.")]
Limit = Annotated[int, typer.Option(help="Most rows or triples to print.", min=0)]
Timeout = Annotated[float, typer.Option(help="Seconds that an answer may take.", min=0.1)]
Write = Annotated[bool, typer.Option("--write", help="Let the query change the graph.")]
List = Annotated[bool, typer.Option("--list", help="List the questions and their parameters.")]


def query(
    name: Name = None,
    graph: Place = None,
    things: Things = None,
    models: Models = None,
    boards: Boards = False,
    bindings: Bind = None,
    as_json: Json = False,
    as_csv: Csv = False,
    as_turtle: Turtle = False,
    limit: Limit = 1000,
    timeout: Timeout = 30.0,
    write: Write = False,
    show_list: List = False,
) -> None:
    """Ask the fleet's graph a question.

    Example: tinyfleet query models-for-device --graph fleet --bind device=urn:tinyfleet:lab:1
    """
    form = _form(as_json=as_json, as_csv=as_csv, as_turtle=as_turtle)
    if show_list:
        _print_list(named_queries(), form)
        return
    if name is None:
        raise QueryError("query: expected a question's name or a file, got none; see --list")
    text = read_query(name)
    guard(text, allow_update=write)
    changes = is_update(text)
    with _opened(graph, Files(things, models, boards), write=changes) as place:
        bound = bind(text, read_bindings(bindings or (), place))
        if changes:
            place.record(bound)
            return
        results = _RESULTS.get(form, "application/sparql-results+json")
        question = Question(bound, results=results, limit=limit, seconds=timeout)
        with Console(stderr=True).status("asking"):
            answer = place.answer(question)
    _print(answer, form)
    if answer.more:
        typer.echo(f"more than {limit:,}: the rest is left out; --limit shows more", err=True)


def _form(*, as_json: bool, as_csv: bool, as_turtle: bool) -> Form:
    chosen = {Form.JSON: as_json, Form.CSV: as_csv, Form.TURTLE: as_turtle}
    wanted = [form for form, wished in chosen.items() if wished]
    if len(wanted) > 1:
        raise QueryError(f"query: expected one form, got --{' and --'.join(wanted)}")
    return wanted[0] if wanted else Form.TABLE


def _opened(place: str | None, files: Files, *, write: bool) -> FleetGraph:
    given = files != Files()
    if (place is None) != given:
        got = "both" if given else "neither"
        raise QueryError(
            f"query: expected --graph, or else some of --things, --models and --boards, got {got}"
        )
    if place is not None:
        return FleetGraph.open(place, read_only=not write)
    if write:
        raise QueryError("query: expected --graph to write to, got files, which are only read")
    return read_files(files)


def _print(answer: Answer, form: Form) -> None:
    ways = _WAYS[answer.kind]
    if form not in ways:
        offers = " or ".join(f"--{way}" for way in ways[1:])
        raise QueryError(f"query: expected {offers} for a {answer.kind.upper()}, got --{form}")
    if form is not Form.TABLE or answer.kind == "construct":
        sys.stdout.buffer.write(answer.body + (b"" if answer.body.endswith(b"\n") else b"\n"))
        sys.stdout.flush()
        return
    found = json.loads(answer.body)
    if answer.kind == "ask":
        typer.echo("yes" if found["boolean"] else "no")
        return
    rows = found["results"]["bindings"]
    if not rows:
        typer.echo("nothing found")
        return
    show(_table(found["head"]["vars"], rows))


def _table(variables: list[str], rows: list[dict[str, dict[str, str]]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for variable in variables:
        numeric = all(_is_number(row[variable]) for row in rows if variable in row)
        table.add_column(variable, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(Text(_short(row[v]) if v in row else "") for v in variables))
    return table


def _is_number(term: Mapping[str, str]) -> bool:
    datatype = term.get("datatype", "").removeprefix(PREFIXES["xsd"])
    return datatype in ("integer", "decimal", "double", "float")


def _short(term: Mapping[str, str]) -> str:
    """Return a term as people read it: an IRI with its prefix, a number with few digits."""
    value = term["value"]
    if term["type"] == "uri":
        for prefix, iri in _SHORTENED:
            if value.startswith(iri) and value != iri:
                return f"{prefix}:{value.removeprefix(iri)}"
        return value
    if _is_number(term):
        number = float(value)
        return f"{int(value):,}" if value.lstrip("+-").isdigit() else f"{number:.6g}"
    return "".join(c if c.isprintable() else " " for c in value)


def _print_list(known: Mapping[str, NamedQuery], form: Form) -> None:
    if form is Form.JSON:
        typer.echo(json.dumps([_described(question) for question in known.values()], indent=1))
        return
    for question in known.values():
        takes = (p.name if p.required else f"[{p.name}]" for p in question.parameters)
        typer.echo(f"{typer.style(question.name, bold=True)} {' '.join(takes)}".rstrip())
        typer.echo(f"    {question.question}")


def _described(question: NamedQuery) -> dict[str, Any]:
    described = asdict(question)
    del described["text"]
    return described
