"""Why devices did not train in a round: what a person asks when a fleet is chosen by a query."""

from collections.abc import Iterator, Mapping

from rdflib import Literal, URIRef

from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.matching import match
from tinyfleet.ontology.vocabulary import INDEX, STATUS, TF
from tinyfleet.server.select import Chosen, Selector

_DEVICES = f"""SELECT ?device ?online ?seen {{
  GRAPH {INDEX.n3()} {{ ?device {TF.profile.n3()} ?profile }}
  OPTIONAL {{ GRAPH {STATUS.n3()} {{ ?device {TF.online.n3()} ?online }} }}
  OPTIONAL {{ GRAPH {STATUS.n3()} {{ ?device {TF.lastSeen.n3()} ?seen }} }}
}}"""


def left_out(selector: Selector, chosen: Chosen) -> Mapping[str, str]:
    """Return why each device of the graph that is not in a round is not, by its IRI, ascending.

    What keeps it out for longer comes first: that the model does not fit it, with every refusal of
    `tinyfleet.ontology.matching`; that it is offline; and only then what the query made of it.

    Args:
        selector: what chose.
        chosen: the round; the graph must not have changed much since.

    Raises:
        QueryError: the graph cannot be asked.
    """
    unfit = dict(_unfit(selector.graph, selector.model)) if selector.model else {}
    found = {}
    for device, online, seen in selector.graph.select(_DEVICES, limit=2**31).rows:
        name = str(device)
        if name in chosen.devices:
            continue
        is_online = isinstance(online, Literal) and online.toPython() is True
        offline = f"offline since {str(seen)[:19]}" if seen is not None else "never online"
        found[name] = (
            unfit.get(name)
            or ("" if is_online else offline)
            or chosen.passed.get(name)
            or "the query does not name it"
        )
    return dict(sorted(found.items(), key=lambda pair: _natural(pair[0])))


def _unfit(graph: FleetGraph, model: str) -> Iterator[tuple[str, str]]:
    """Yield the devices that cannot train the whole of a model, and why."""
    matches = match(graph, model=str(URIRef(model)), task="train")
    reasons: dict[str, list[str]] = {}
    for refusal in matches.refusals:
        if refusal.reason != "ram":  # training needs that and more, and says so
            reasons.setdefault(refusal.device, []).append(refusal.text)
    for pair in matches.pairs:
        if pair.trains not in (None, "whole") and pair.device not in reasons:
            reasons[pair.device] = [f"has the RAM to train a {pair.trains} of the model alone"]
    for device, texts in reasons.items():
        yield device, "; ".join(texts)


def _natural(device: str) -> tuple[str, int]:
    """Order `...:9` before `...:10`."""
    head, _, tail = device.rpartition(":")
    return (head, int(tail)) if tail.isdecimal() else (device, -1)
