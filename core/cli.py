"""The command `tinyfleet`: gathers what the installed parts offer under one roof.

Every part names its commands under the entry point group "tinyfleet.commands", so this module
imports none of them. A command is a function that Typer understands, or a Typer application. Only
what is called is imported: a gateway starts without what a server or a simulation needs.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points, version

import typer

from tinyfleet.errors import FleetError

INTERRUPTED = 130
"""What the shell gets after Ctrl-C, as of any program that a signal ends."""

EXIT_CODES = (
    "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 network, 4 training, 5 data, 6 study, "
    "7 kernel, 8 wire, 9 broker, 10 config, 11 firmware, 12 description, 13 query, 130 interrupted."
)


def make_app(arguments: Sequence[str] = ()) -> typer.Typer:
    """Gather the command that `arguments` call, or all whose packages are installed.

    Raises:
        FleetError: the packages of the command called are not installed.
    """
    app = typer.Typer(
        name="tinyfleet",
        help="Fleets of microcontrollers that learn.",
        epilog=EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(show_version)
    entries = {entry.name: entry for entry in entry_points(group="tinyfleet.commands")}
    called = next((word for word in arguments if not word.startswith("-")), "")
    if called in entries:
        _add(app, entries[called])
        return app
    for _, entry in sorted(entries.items()):
        with suppress(FleetError):  # what cannot be called is not listed
            _add(app, entry)
    return app


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        raise _lacking(error, entry.name) from None
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)


def _lacking(error: ModuleNotFoundError, command: str) -> FleetError:
    """Return what a person is told whose installation lacks a package of a command.

    Raises:
        ModuleNotFoundError: it is one of our own.
    """
    if (error.name or "").split(".")[0] == "tinyfleet":
        raise error
    return FleetError(
        f"{command}: expected the package {error.name}, got none; "
        "pip install 'tinyfleet[simulation]' for all commands"
    )


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"tinyfleet {version('tinyfleet')}")
        raise typer.Exit


def show_version(
    show: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Fleets of microcontrollers that learn."""
    del show


def main() -> None:
    """Run the command line; what tinyfleet refuses is one line on stderr and an exit code."""
    try:
        try:
            make_app(sys.argv[1:])()
        except ModuleNotFoundError as error:  # what a command imports once it runs
            raise _lacking(error, " ".join(sys.argv[1:2])) from None
    except FleetError as error:
        typer.echo(f"tinyfleet: {error}", err=True)
        sys.exit(error.exit_code)
