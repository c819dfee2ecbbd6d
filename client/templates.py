"""Fill in templates of generated projects: names that others chose are spelled, not trusted."""

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinyfleet.errors import FleetError

try:
    import jinja2
except ImportError:
    raise FleetError(
        "generate: expected the package jinja2, got none; pip install 'tinyfleet[graph]'"
    ) from None

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
_SPACE = re.compile(r"\s+")


def render(folder: Path, name: str, values: Mapping[str, Any]) -> bytes:
    """Return the template `name` of `folder`, filled in; a name without a value is an error."""
    return _environment(folder).get_template(name).render(values).encode()


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701, no template is HTML: each place spells for its own language
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "c": c_string,
        "comment": one_line,
        "f32": c_float,
        "md": markdown,
        "py": python_literal,
        "quantity": quantity,
        "toml": toml_string,
    }
    return environment


def one_line(text: str) -> str:
    r"""Return `text` as a comment of C, C++, INI or Python may hold it: one line that ends nothing.

    >>> one_line("a*/b\n#include\\")
    'a* /b #include'
    """
    shown = "".join(char if char.isprintable() else " " for char in text)
    shown = shown.replace("*/", "* /").replace("/*", "/ *").replace("??/", "?? /")
    return _SPACE.sub(" ", shown).strip().rstrip("\\ ")[:200]


def c_string(text: str) -> str:
    r"""Return `text` as a string of C, in ASCII.

    >>> c_string('a"\n\u00e9??/')
    '"a\\"\\012\\303\\251\\?\\?/"'
    """
    spelled = (
        f"\\{chr(byte)}"
        if chr(byte) in '"\\?'
        else chr(byte)
        if 0x20 <= byte < 0x7F
        else f"\\{byte:03o}"
        for byte in text.encode(errors="replace")
    )
    return f'"{"".join(spelled)}"'


def c_float(value: float) -> str:
    """Return the shortest float of C that means the float32 nearest to `value`.

    >>> c_float(0.1), c_float(-2), c_float(1e-40)
    ('1.e-01f', '-2.e+00f', '1.e-40f')
    """
    return f"{np.format_float_scientific(np.float32(value), unique=True)}f"


def quantity(value: float, unit: str) -> str:
    """Return a quantity as people read it: three digits, and the prefix that keeps it short.

    >>> quantity(1.0425, "s"), quantity(0.0123, "s"), quantity(3661.0, "s"), quantity(0.0, "J")
    ('1.04 s', '12.3 ms', '3,661 s', '0 J')
    """
    size = abs(value)
    scales = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
    scale, prefix = next((one for one in scales if size >= one[0]), scales[-1] if size else (1, ""))
    shown = value / scale
    digits = max(0, 2 - math.floor(math.log10(abs(shown)))) if shown else 0
    text = f"{shown:,.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if digits else text} {prefix}{unit}"


def markdown(text: str) -> str:
    r"""Return `text` as it shall be read on a page, on one line.

    >>> markdown("a_b <i>\n# c")
    'a\\_b \\<i\\> \\# c'
    """
    return _MARKS.sub(r"\\\1", one_line(text))


def python_literal(value: Any) -> str:
    """Return a literal of Python, in ASCII, of texts, numbers, None, and lists of them."""
    return ascii(value)


def toml_string(text: str) -> str:
    r"""Return `text` as a string of TOML.

    >>> toml_string('a"\x7f')
    '"a\\"\\u007f"'
    """
    return json.dumps(text.encode(errors="replace").decode(), ensure_ascii=False).replace(
        "\x7f", "\\u007f"
    )
