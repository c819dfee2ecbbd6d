"""The names of the graph: closed namespaces, prefixes, and the graphs that are kept apart.

A closed namespace raises AttributeError for a term that nobody defined, so that a typing error
fails where it stands instead of matching nothing. `tests/test_ontology.py` equates `TF` with
`tinyfleet.ttl`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rdflib import PROV, RDF, RDFS, SOSA, SSN, XSD, Namespace, URIRef
from rdflib.namespace import DCTERMS, ClosedNamespace

VERSION: Final = "0.1.0"
ONTOLOGY: Final = URIRef("https://w3id.org/tinyfleet/ontology")

_TERMS: Final = """
    Deployment Failed Installed Planned Profile Retired Round Run Running Selection State
    Update accuracy activePower arenaHead arenaPlanned arenaTail arenaTool board
    bytesReceived bytesSent checksum clock customOperator deployedOn deploys devices dtype
    examples expires fits freeFlash freeRam gateway hasFpu hasSensor headTrainingRam
    instructionSet joules kernelSize lastRound lastSeen link loss macs macsPerSecond
    maximumEnergy maximumLatency models name needsFlash needsOperator needsRam needsRuntime
    needsSensor needsType number online onlineDevices operator operatorVersion parameters
    partialTrainingRam participants patchMacs patchRam profile role room runtime scale
    seconds seed selected shape share signature source state strategy stride
    supportsOperator supportsType trainablePart trainingArena trainingRam trains turn
    zeroPoint
"""

TF: Final = ClosedNamespace("https://w3id.org/tinyfleet/ontology#", sorted(set(_TERMS.split())))
TD: Final = Namespace("https://www.w3.org/2019/wot/td#")
HCTL: Final = Namespace("https://www.w3.org/2019/wot/hypermedia#")
JSONSCHEMA: Final = Namespace("https://www.w3.org/2019/wot/json-schema#")
WOTSEC: Final = Namespace("https://www.w3.org/2019/wot/security#")
DISCOVERY: Final = Namespace("https://www.w3.org/2022/wot/discovery-ontology#")
S3N: Final = Namespace("http://w3id.org/s3n/")
_NNET: Final = "https://w3id.org/tinyml-schema/neural-network-schema"
NNET: Final = Namespace(f"{_NNET}#")
S3N_EXTEND: Final = Namespace(f"{_NNET}/s3n_extend/")
SOSA_EXTEND: Final = Namespace(f"{_NNET}/sosa_extend/")
SSN_EXTEND: Final = Namespace(f"{_NNET}/ssn_extend/")
SSN_SYSTEM: Final = Namespace("http://www.w3.org/ns/ssn/systems/")
SCHEMA: Final = Namespace("https://schema.org/")
UNIT: Final = Namespace("http://qudt.org/vocab/unit/")
QUDT: Final = Namespace("http://qudt.org/schema/qudt/")
OM: Final = Namespace("http://www.ontology-of-units-of-measure.org/resource/om-2/")

PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        prefix: str(namespace)
        for prefix, namespace in (
            ("dct", DCTERMS),
            ("discovery", DISCOVERY),
            ("hctl", HCTL),
            ("jsonschema", JSONSCHEMA),
            ("nnet", NNET),
            ("om", OM),
            ("prov", PROV),
            ("qudt", QUDT),
            ("rdf", RDF),
            ("rdfs", RDFS),
            ("s3n", S3N),
            ("s3n_extend", S3N_EXTEND),
            ("schema", SCHEMA),
            ("sosa", SOSA),
            ("sosa_extend", SOSA_EXTEND),
            ("ssn", SSN),
            ("ssn-system", SSN_SYSTEM),
            ("ssn_extend", SSN_EXTEND),
            ("td", TD),
            ("tf", TF),
            ("unit", UNIT),
            ("wotsec", WOTSEC),
            ("xsd", XSD),
        )
    }
)

# Graphs that no device and no model owns.
SOURCES: Final = URIRef("urn:tinyfleet:graph:sources")
INDEX: Final = URIRef("urn:tinyfleet:graph:index")
FITS: Final = URIRef("urn:tinyfleet:graph:fits")
STATUS: Final = URIRef("urn:tinyfleet:graph:status")
SUMMARY: Final = URIRef("urn:tinyfleet:graph:summary")

# Bytes in one of each unit that descriptions give sizes in.
BYTES_IN: Final[Mapping[URIRef, int]] = MappingProxyType(
    {
        UNIT.BYTE: 1,
        UNIT.KiloBYTE: 1000,
        UNIT.KibiBYTE: 1024,
        UNIT.MegaBYTE: 1_000_000,
        UNIT.MebiBYTE: 1_048_576,
        OM.byte: 1,
        OM.kilobyte: 1000,
    }
)
