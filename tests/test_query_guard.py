"""A query that fetches, changes what it may not, or has no bounds is refused from its text."""

import pyoxigraph
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyfleet.errors import QueryError
from tinyfleet.ontology.guard import DEEPEST, LONGEST, MOST_WORDS, guard, is_update
from tinyfleet.ontology.patterns import MOST_CLOSURES, MOST_JOINED, MOST_UNRELATED
from tinyfleet.ontology.queries import named_queries

# Texts that reach out. Oxigraph reads the later ones so, though a word of the standard hides it.
REACH = (
    "ASK { SERVICE <http://example.org/> { ?a ?b ?c } }",
    "ASK { service silent ?a { ?a ?b ?c } }",
    "ASK { FILTER EXISTS { SERVICE <http://example.org/> { ?a ?b ?c } } }",
    "SELECT * FROM <http://example.org/> { ?a ?b ?c }",
    "SELECT * FROM NAMED <file:///etc/passwd> { ?a ?b ?c }",
    "PREFIX ex: <http://example.org/> SELECT * FROM ex:g { ?a ?b ?c }",
    "PREFIX urn: <http://example.org/> SELECT * FROM urn:g { ?a ?b ?c }",
    "BASE <http://example.org/> SELECT * FROM <g> { ?a ?b ?c }",
    "PREFIX ex: <http://example.org/> SELECT*FROMex:g{ ?a ?b ?c }",
    "SELECT*FROMNAMED<http://example.org/>{ ?a ?b ?c }",
    "PREFIX SERVICE: <http://example.org/> ASK { SERVICE:a { ?a ?b ?c } }",
    "PREFIX SERVICEex: <u:> PREFIX ex: <u:> ASK { SERVICEex:a { ?a ?b ?c } }",
    "ASK { ?a ?b trueSERVICE <http://example.org/> { ?a ?b ?c } }",
    "ASK { SERVICESILENT<http://example.org/>{ ?a ?b ?c } }",
    'PREFIX x: <u:> ASK { FILTER(?a<x:y#>"""\n). SERVICE <u:x> { ?a ?b ?c } #"""\n}',
    "PREFIX x: <u:> ASK { FILTER(?a<x:y).SERVICE#>\n?s{ ?a ?b ?c } }",
)
UPDATES_THAT_REACH = (
    "LOAD <http://example.org/>",
    "LOAD SILENT <file:///etc/passwd> INTO GRAPH <urn:g>",
    "INSERT DATA { <urn:a> <urn:b> 1 } ; load <http://example.org/>",
    "PREFIX LOADex: <u:> PREFIX ex: <u:> LOADex:a",
    "DELETE { ?a ?b ?c } USING <http://example.org/> WHERE { ?a ?b ?c }",
    "INSERT { ?a ?b ?c } WHERE { SERVICE <http://example.org/> { ?a ?b ?c } }",
)
HARMLESS = (
    "SELECT ('SERVICE <http://example.org/> {' AS ?a) {}",
    "ASK { ?a <urn:SERVICE> ?b } # SERVICE <http://example.org/> { }",
    "PREFIX ex: <urn:ex:> ASK { ?a ex:SERVICE ?load }",
    "PREFIX load: <urn:ex:> ASK { ?a tf:profile 'LOAD <urn:x>' }".replace("load:", "up:"),
    "SELECT * FROM <urn:tinyfleet:graph:index> { ?a ?b ?c }",
    "SELECT (?a * 2 AS ?b) (COUNT(*) AS ?c) ((?a + 1) * (?a - 1) AS ?d) { ?a a 1 } GROUP BY ?a",
    "ASK { ?a rdfs:subClassOf*/tf:profile+ ?b }",
    "ASK { ?a (tf:profile|^tf:gateway)* ?b }",
    "ASK { VALUES (?a ?b) { (<urn:a#b> <urn:c#d>) } FILTER (?a < ?b && ?b > ?a) }",
    "ASK { { ?a ?b 1 } UNION { ?c ?d 2 } UNION { ?e ?f 3 } UNION { ?g ?h 4 } }",
    "ASK { ?a ?b 1 . ?c ?d 2 . ?e ?f 3 . ?g ?h 4 FILTER (?a = ?c && ?e = ?g) }",
)
UPDATES = (
    "INSERT DATA { <urn:a> <urn:b> 1 }",
    "PREFIX ex: <urn:ex:> DELETE { ?a ?b ?c } INSERT { ?a ?b 2 } WHERE { ?a ?b ?c }",
    "# a comment\nDROP ALL",
    "WITH <urn:g> DELETE { ?a ?b ?c } WHERE { ?a ?b ?c }",
    "CLEAR GRAPH <urn:g>",
    "COPY <urn:g> TO <urn:h>",
)


@pytest.mark.parametrize("text", REACH)
def test_what_reaches_out_of_the_graph_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match=r"line \d+, column \d+: expected"):
        guard(text)


@pytest.mark.parametrize("text", UPDATES_THAT_REACH)
def test_an_update_that_reaches_out_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="expected"):
        guard(text, allow_update=True)


@pytest.mark.parametrize("text", HARMLESS)
def test_a_word_inside_a_string_a_name_or_a_comment_is_no_keyword(text: str) -> None:
    guard(text)


@pytest.mark.parametrize("text", UPDATES)
def test_an_update_passes_only_where_it_is_allowed(text: str) -> None:
    assert is_update(text)
    guard(text, allow_update=True)
    with pytest.raises(QueryError, match="got an update"):
        guard(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (f"ASK {{ ?a ?b '{'x' * LONGEST}' }}", f"{LONGEST:,} characters"),
        ("ASK " + "{" * (DEEPEST + 1) + "}" * (DEEPEST + 1), f"{DEEPEST} brackets"),
        ("ASK {" + "{ } UNION " * MOST_WORDS + "{ } }", f"{MOST_WORDS:,} words"),
        ("ASK { FILTER(" + "!" * MOST_WORDS + "?a) }", f"{MOST_WORDS:,} words"),
        ("ASK {" + "?a ?b ?c . " * MOST_JOINED + "?a ?b ?c }", f"{MOST_JOINED} patterns"),
        ("ASK { ?a ?b " + "1 , " * MOST_JOINED + "1 }", f"{MOST_JOINED} patterns"),
        ("ASK {" + "GRAPH ?a { ?a ?b ?c }" * 81 + "}", f"{MOST_JOINED} patterns"),
        ("ASK { ?a ?b (" + "1 " * 99 + ") }", f"{MOST_JOINED} patterns"),
        ("ASK { ?a ?b 1 . ?c ?d 1 . ?e ?f 1 . ?g ?h 1 }", f"{MOST_UNRELATED} patterns"),
        ("ASK { ?a ?b 1 { ?c ?d 1 } OPTIONAL { ?e ?f 1 } GRAPH ?g { ?g ?h 1 } }", "no variable"),
        ("ASK {" + "".join(f"VALUES ?v{i} {{ 1 2 }}" for i in range(4)) + "}", "no variable"),
        ("ASK { ?a (tf:profile*)* ?b }", "of single properties"),
        ("ASK { ?a ((tf:profile/tf:gateway+)|tf:board)+ ?b }", "of single properties"),
        ("ASK { ?a (((tf:profile+)?)/a)* ?b }", "of single properties"),
        ("ASK { ?a (tf:profile|!tf:profile)* ?b }", "any other name"),
        ("ASK { ?a !tf:profile* ?b }", "any other name"),
        ("ASK { ?a !(tf:profile|tf:board)+ ?b }", "any other name"),
        ("ASK { ?a a*" + "/a*" * MOST_CLOSURES + " ?b }", f"{MOST_CLOSURES} steps"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_query_without_bounds_is_refused(text: str, limit: str) -> None:
    with pytest.raises(QueryError, match=limit):
        guard(text)


def test_data_may_be_longer_than_a_query() -> None:
    rows = " ".join(f"<urn:tinyfleet:lab:{number}>" for number in range(3 * MOST_WORDS // 2))
    guard(f"ASK {{ VALUES ?a {{ {rows} }} ?a ?b ?c }}")
    guard(f"INSERT DATA {{ <urn:a> <urn:b> {', '.join(rows.split())} }}", allow_update=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT * {\n ?a ?b  }", "line 2, column 10"),
        ("SELECT * { ?a ?b ?c", "expected }, got the end"),
        ("SELECT * { FILTER (?a", "expected ) }, got the end"),
        ("", "expected more SPARQL, got the end"),
        ("SELECT * { ?a nobody:knows ?b }", "PREFIX nobody: <...>"),
        ("SELECT * { ?a ?b 'never closed }", "column 18"),
        ("SELECT * { ?a \\u003fb ?c }", "line 1, column 15"),
        ("ASK { ?a ?b '\ud800' }", "Unicode"),
    ],
)
def test_what_is_no_sparql_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(QueryError) as refused:
        guard(text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_syntax_of_an_update_is_told_by_its_own_lines() -> None:
    with pytest.raises(QueryError, match="line 2, column 3"):
        guard("INSERT DATA {\n ?", allow_update=True)


def test_guarding_an_update_does_not_run_it() -> None:
    endless = "".join(f"VALUES ?v{i} {{ {'1 ' * 100} }}" for i in range(3))
    guard(f"INSERT {{ ?v0 <urn:b> ?v1 }} WHERE {{ {endless} }}", allow_update=True)


WORDS = """SELECT ASK CONSTRUCT WHERE FILTER EXISTS NOT OPTIONAL UNION VALUES GRAPH BIND AS a 1 2.5
( ) [ ] { } . ; , * + ? ! / | ^ < > = && || << >> ^^ @en # 'x' "y" ?a $b _:c <urn:a> tf:board
INSERT DELETE DATA LOAD SERVICE"""
SOUP = st.lists(st.sampled_from([*WORDS.split(), "\n"]), max_size=60).map(" ".join)


def refused(text: str, *, allow_update: bool) -> str | None:
    try:
        guard(text, allow_update=allow_update)
    except QueryError as error:
        return str(error)
    return None


@given(SOUP | st.text(max_size=80))
def test_what_passes_is_sparql_and_what_does_not_is_told_in_one_line(text: str) -> None:
    refusals = refused(text, allow_update=False), refused(text, allow_update=True)
    assert not any("\n" in refusal for refusal in refusals if refusal)
    if refusals[0] is None:
        assert parses(text)


@given(SOUP)
def test_what_passes_never_asks_another_server(text: str) -> None:
    assert refused(f"ASK {{ {text} SERVICE <urn:a> {{ }} }}", allow_update=False) or "#" in text


def parses(text: str) -> bool:
    store = pyoxigraph.Store()
    store.query(text, prefixes={"tf": "https://w3id.org/tinyfleet/ontology#"})
    return True


@pytest.mark.parametrize("name", named_queries())
def test_the_questions_of_the_library_pass(name: str) -> None:
    guard(named_queries()[name].text)
