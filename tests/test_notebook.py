"""The notebook on sines runs, tells what its text says, and is kept with the outputs of its code.

`python tests/test_notebook.py` makes these outputs again.
"""

import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

ORDER = ("TinyReptile", "cold start", "FedSGD")
NOTEBOOK = Path(__file__).parent.parent / "docs" / "sine.ipynb"
MOST = 400_000
"""Bytes of the notebook with its plots."""


def kept() -> Any:
    return nbformat.reads(NOTEBOOK.read_text("utf-8"), as_version=4)  # type: ignore[no-untyped-call]


def executed() -> Any:
    """Return the notebook after a run, without a word on when, where and on what it ran."""
    notebook = kept()
    nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", record_timing=False
    ).execute()
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def plots(notebook: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def errors(notebook: Any) -> dict[str, list[float]]:
    """Return the printed table: errors and intervals by start, in turn."""
    printed = "".join(o["text"] for o in outputs(notebook) if o.get("name") == "stdout")
    return {
        name.strip(): [float(number) for number in re.findall(r"\d+\.\d+", row)]
        for name, row in re.findall(r"^(\D+?)( +\d.*)$", printed, re.MULTILINE)
    }


def test_the_notebook_is_kept_with_its_plots_and_nothing_of_the_machine_that_made_them() -> None:
    notebook, text = kept(), NOTEBOOK.read_text("utf-8")

    assert plots(notebook) == 4
    assert len(text.encode()) < MOST
    told = [(o["output_type"], o.get("name", "stdout")) for o in outputs(notebook)]
    assert {*told} == {("display_data", "stdout"), ("stream", "stdout")}  # no error, no warning
    assert notebook.metadata["language_info"] == {"name": "python"}
    assert [cell["metadata"] for cell in notebook.cells if cell["metadata"]] == []
    words = "".join(str({**o, "data": sorted(o.get("data", ()))}) for o in outputs(notebook))
    assert re.findall(r"/(?:home|root|tmp|usr)\b|\b20\d\d-\d\d", words) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_shows_what_its_text_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")

    notebook = executed()

    found = errors(notebook)
    assert plots(notebook) == 4
    assert list(found) == ["cold start", "FedSGD", "TinyReptile"]
    for name, row in errors(kept()).items():  # processors differ in the last bits of a sine
        assert row == pytest.approx(found[name], rel=0.1, abs=0.05)
    for ours, cold, averaged in zip(*(found[name][2::2] for name in ORDER), strict=True):
        assert ours < 0.5 * min(cold, averaged)


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)  # type: ignore[no-untyped-call]
