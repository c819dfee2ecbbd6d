"""The notebook on sines runs, tells what its text says, and is committed without outputs."""

import json
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

ORDER = ("TinyReptile", "cold start", "FedSGD")
NOTEBOOK = Path(__file__).parent.parent / "docs" / "sine.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]

    assert [c["outputs"] for c in cells if c["cell_type"] == "code" and c["outputs"]] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_shows_what_its_text_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.reads(NOTEBOOK.read_text("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    errors = {
        name.strip(): [float(mean) for mean in re.findall(r"([\d.]+) ± ", row)]
        for name, row in re.findall(r"^(\D+?)( +\d.*)$", printed, re.MULTILINE)
    }

    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert list(errors) == ["cold start", "FedSGD", "TinyReptile"]
    for found, cold, averaged in zip(*(errors[name][1:] for name in ORDER), strict=True):
        assert found < 0.5 * min(cold, averaged)
