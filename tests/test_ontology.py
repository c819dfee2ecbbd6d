"""The ontology: every term is defined, documented and aligned, and only those are used."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from rdflib import OWL, RDF, RDFS, XSD, Graph, Literal, URIRef

from tinyfleet.ontology import vocabulary
from tinyfleet.ontology.vocabulary import ONTOLOGY, PREFIXES, TF, VERSION

ROOT = Path(__file__).parent.parent
TERMS = {str(term) for term in dir(TF)}


@pytest.fixture(scope="module")
def ontology() -> Graph:
    return Graph().parse(data=(files("tinyfleet.ontology") / "tinyfleet.ttl").read_text())


def defined(ontology: Graph) -> set[URIRef]:
    subjects = set(ontology.subjects(RDFS.isDefinedBy, ONTOLOGY))
    return {term for term in subjects if isinstance(term, URIRef)}


def used_in(folder: str) -> set[str]:
    """Return the words that follow `tf:` or `TF.` in the queries and the code of a folder."""
    found = set()
    for path in (ROOT / folder).rglob("*"):
        if path.suffix in (".py", ".rq", ".jinja"):
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(r"(?<![\w:/.])(?:tf:|TF\.)([A-Za-z]\w*)", text))
    return found


def test_terms_in_code_equal_terms_in_the_file(ontology: Graph) -> None:
    assert {str(term).removeprefix(str(TF)) for term in defined(ontology)} == TERMS


@pytest.mark.parametrize("folder", ["ontology", "server", "client", "simulations"])
def test_code_and_queries_use_defined_terms_alone(folder: str) -> None:
    assert used_in(folder) <= TERMS


def test_the_shapes_use_defined_terms_alone() -> None:
    text = (files("tinyfleet.ontology") / "shapes.ttl").read_text()
    assert set(re.findall(r"\btf:(\w+)", text)) <= TERMS


def test_a_term_that_nobody_defined_is_an_error_at_once() -> None:
    with pytest.raises(AttributeError):
        _ = TF.needRam


def test_every_term_has_a_label_and_a_comment(ontology: Graph) -> None:
    for term in (ONTOLOGY, *defined(ontology)):
        for words in (RDFS.label, RDFS.comment):
            (value,) = ontology.objects(term, words)
            assert isinstance(value, Literal), term
            assert value.language == "en", term
            assert value.strip(), term


def test_every_property_says_what_its_values_are(ontology: Graph) -> None:
    for term in ontology.subjects(RDF.type, OWL.DatatypeProperty):
        (kind,) = ontology.objects(term, RDFS.range)
        assert str(kind).startswith(str(XSD)), term
    for term in ontology.subjects(RDF.type, OWL.ObjectProperty):
        (kind,) = ontology.objects(term, RDFS.range)
        assert not str(kind).startswith(str(XSD)), term


def test_own_classes_stand_under_classes_of_others(ontology: Graph) -> None:
    for term in ontology.subjects(RDF.type, OWL.Class):
        above = {str(one) for one in ontology.objects(term, RDFS.subClassOf)}
        assert above, term
        assert not any(one.startswith(str(TF)) for one in above), term


def test_the_ontology_states_its_version(ontology: Graph) -> None:
    assert ontology.value(ONTOLOGY, OWL.versionInfo) == Literal(VERSION)
    assert ontology.value(ONTOLOGY, OWL.versionIRI) == URIRef(f"{ONTOLOGY}/{VERSION}")


def test_prefixes_are_the_names_of_the_namespaces() -> None:
    for prefix in ("td", "hctl", "jsonschema", "wotsec", "s3n", "nnet", "schema", "unit", "om"):
        assert PREFIXES[prefix] == str(getattr(vocabulary, prefix.upper()))
    assert PREFIXES["tf"] == str(TF)


def test_a_kilobyte_is_a_thousand_bytes_and_a_kibibyte_is_not() -> None:
    units = vocabulary.BYTES_IN
    assert units[vocabulary.OM.kilobyte] == units[vocabulary.UNIT.KiloBYTE] == 1000
    assert units[vocabulary.UNIT.KibiBYTE] == 1024
