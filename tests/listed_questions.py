"""What docs/queries.md lists: every question of the library, as a table."""

import sys

from tinyfleet.ontology.queries import named_queries


def listing() -> str:
    """Return the table's lines."""
    lines = ["| name | question | parameters |", "|---|---|---|"]
    for question in named_queries().values():
        takes = (
            f"`{p.name}`{'' if p.required else ' (optional)'}: {p.meaning}"
            for p in question.parameters
        )
        lines.append(f"| `{question.name}` | {question.question} | {'; '.join(takes)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(listing())
