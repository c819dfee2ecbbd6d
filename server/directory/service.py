"""What the SPARQL endpoint says of itself (SPARQL 1.1 service description)."""

import pyoxigraph
from rdflib import RDF, BNode, Graph, Namespace, URIRef

SD = Namespace("http://www.w3.org/ns/sparql-service-description#")
FORMATS = Namespace("http://www.w3.org/ns/formats/")

_RESULTS = (
    *("SPARQL_Results_JSON", "SPARQL_Results_XML", "SPARQL_Results_CSV", "SPARQL_Results_TSV"),
    *("Turtle", "N-Triples", "RDF_XML", "JSON-LD", "N-Quads", "TriG", "N3"),
)


def service_description(endpoint: str, media: str, *, writable: bool) -> bytes:
    """Return the description of the service.

    Args:
        endpoint: its address, as the client wrote it.
        media: the format; one of `answers.GRAPHS`.
        writable: whether it takes updates.
    """
    graph = Graph(bind_namespaces="none")
    graph.bind("sd", SD)
    service, dataset, default = BNode(), BNode(), BNode()
    languages = [SD.SPARQL11Query, *([SD.SPARQL11Update] if writable else [])]
    for triple in (
        (service, RDF.type, SD.Service),
        (service, SD.endpoint, URIRef(endpoint)),
        *((service, SD.supportedLanguage, language) for language in languages),
        *((service, SD.resultFormat, FORMATS[name]) for name in _RESULTS),
        (service, SD.feature, SD.UnionDefaultGraph),
        (service, SD.defaultDataset, dataset),
        (dataset, RDF.type, SD.Dataset),
        (dataset, SD.defaultGraph, default),
        (default, RDF.type, SD.Graph),
    ):
        graph.add(triple)
    lines = graph.serialize(format="nt", encoding="utf-8")
    triples = pyoxigraph.parse(lines, format=pyoxigraph.RdfFormat.N_TRIPLES)
    wanted = pyoxigraph.RdfFormat.from_media_type(media)
    written = pyoxigraph.serialize(triples, format=wanted, prefixes={"sd": str(SD)})
    return written or b""
