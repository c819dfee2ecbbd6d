"""Terms are bound to variables and never read as SPARQL, whatever they hold."""

import pyoxigraph
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdflib import XSD, BNode, Literal, URIRef

from tinyfleet.errors import QueryError
from tinyfleet.ontology.queries import Term, bind, named_queries, parameters
from tinyfleet.ontology.query_inputs import read_term

ONE, TWO = URIRef("urn:tinyfleet:lab:1"), URIRef("urn:tinyfleet:lab:2")
STORE = pyoxigraph.Store()
for subject in (ONE, TWO):
    STORE.add(
        pyoxigraph.Quad(
            pyoxigraph.NamedNode(subject),
            pyoxigraph.NamedNode("urn:is"),
            pyoxigraph.Literal("'} SERVICE # {"),
        )
    )


def rows(text: str) -> list[list[object]]:
    found = STORE.query(text)
    assert isinstance(found, pyoxigraph.QuerySolutions)
    return [[term.value for term in row] for row in found]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ?a WHERE { ?a <urn:is> ?b }",
        "SELECT ?a { ?a <urn:is> ?b } ORDER BY ?a",
        "# ?a { in a comment\nSELECT (EXISTS { ?a <urn:is> ?b } AS ?c) ?a { ?a <urn:is> ?b }",
        "SELECT (COUNT(?b) AS ?c) ?a FROM <urn:x> { FILTER('{' = \"{\") } GROUP BY ?a",
        "SELECT ?a { { SELECT ?a { ?a <urn:is> ?b } } }",
    ],
)
def test_a_bound_variable_has_that_term_alone(text: str) -> None:
    found = STORE.query(bind(text, {"a": ONE}))
    assert isinstance(found, pyoxigraph.QuerySolutions)
    assert [str(row["a"]) for row in found] == [ONE.n3()]


def test_several_terms_are_alternatives_and_none_leaves_no_answer() -> None:
    text = "SELECT ?a { ?a <urn:is> ?b } ORDER BY ?a"
    assert rows(bind(text, {"a": [ONE, TWO]})) == [[str(ONE)], [str(TWO)]]
    assert rows(bind(text, {"a": []})) == []


def test_a_construct_is_bound_where_it_matches_and_not_in_its_template() -> None:
    text = bind("CONSTRUCT { ?a <urn:was> 1 } WHERE { ?a <urn:is> ?b }", {"a": TWO})
    found = STORE.query(text)
    assert isinstance(found, pyoxigraph.QueryTriples)
    assert [triple.subject.value for triple in found] == [str(TWO)]


def test_every_operation_of_an_update_that_matches_is_bound() -> None:
    store = pyoxigraph.Store()
    store.extend(STORE)
    store.update(
        bind(
            "INSERT DATA { <urn:x> <urn:y> 1 } ; "
            "DELETE { ?a <urn:is> ?b } INSERT { ?a <urn:was> ?b } WHERE { ?a <urn:is> ?b } ; "
            "INSERT { ?a <urn:once> 1 } WHERE { ?a <urn:was> ?b }",
            {"a": ONE},
        )
    )
    left = {(str(quad.subject), quad.predicate.value) for quad in store}
    assert left == {
        (TWO.n3(), "urn:is"),
        (ONE.n3(), "urn:was"),
        (ONE.n3(), "urn:once"),
        ("<urn:x>", "urn:y"),
    }


@pytest.mark.parametrize(
    "text",
    ["CONSTRUCT WHERE { ?a ?b ?c }", "DELETE WHERE { ?a ?b ?c }", "DESCRIBE ?a"],
)
def test_a_query_without_a_place_for_terms_says_so(text: str) -> None:
    with pytest.raises(QueryError, match=r"expected `WHERE \{` to bind in"):
        bind(text, {"a": ONE})


def test_a_variable_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(QueryError, match=r"\?z: expected a variable of the query \(\?a, \?b\)"):
        bind("ASK { ?a ?b '?z' } # ?z", {"z": ONE})


def test_a_parameter_that_a_question_requires_is_named_with_its_meaning() -> None:
    with pytest.raises(QueryError, match=r"\?device: expected a binding \(IRI of the device"):
        bind(named_queries()["models-for-device"].text, {})


def test_an_optional_parameter_may_be_left_out() -> None:
    text = "# Who?\n# ?a: who\n# ?b (optional): what\nASK { ?a ?b ?c }"
    assert [p.required for p in parameters(text)] == [True, False]
    assert "VALUES ?a" in bind(text, {"a": ONE})


@pytest.mark.parametrize(
    "term",
    [
        BNode("blank"),
        URIRef("relative"),
        URIRef("urn:a> } DROP ALL #"),
        URIRef("urn:a b"),
        URIRef(""),
        Literal("1", datatype=URIRef("urn:x> } #")),
    ],
)
def test_what_is_no_iri_and_no_literal_is_refused(term: Term) -> None:
    with pytest.raises(QueryError, match="expected an absolute IRI or a literal"):
        bind("ASK { ?a ?b ?c }", {"a": term})


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.lists(
    st.sampled_from(['"', '"""', "\\", "\n", "\r", "'", "}", "#", "\\u0022", "x", "?a", "\0"])
).map("".join)


@given(_TEXTS, st.sampled_from([None, "en", "de-CH"]))
def test_every_literal_comes_back_as_it_was(text: str, language: str | None) -> None:
    found = STORE.query(bind("SELECT ?a { }  # ?a", {"a": Literal(text, lang=language)}))
    assert isinstance(found, pyoxigraph.QuerySolutions)
    (row,) = found
    assert row["a"] == pyoxigraph.Literal(text, language=language and language.lower())


@given(st.text(max_size=40))
def test_no_iri_ends_before_its_end(text: str) -> None:
    iri = URIRef("urn:x:" + text)
    try:
        bound = bind("SELECT ?a { }", {"a": iri})
    except QueryError:
        return
    try:
        found = rows(bound)
    except (SyntaxError, UnicodeEncodeError):
        return
    assert found == [[str(iri)]]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("urn:tinyfleet:lab:1", ONE),
        ("<urn:tinyfleet:lab:1>", ONE),
        ("rdf:type", URIRef("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")),
        ("64000", Literal(64_000)),
        ("-0.5", Literal("-0.5", datatype=XSD.decimal)),
        ("1e-3", Literal("1e-3", datatype=XSD.double)),
        ("true", Literal(True)),
        ("2030-01-31T12:00:00Z", Literal("2030-01-31T12:00:00Z", datatype=XSD.dateTime)),
        ('"64000"', Literal("64000")),
        ("kitchen", Literal("kitchen")),
        ("hall: north", Literal("hall: north")),
    ],
)
def test_a_term_is_read_as_people_type_it(text: str, term: Term) -> None:
    assert read_term(text).n3() == term.n3()
