"""Every assertion about a directory's API in W3C WoT Discovery has a test of its name."""

import ast
from pathlib import Path

# What the working group's implementation report tests of a directory's HTTP API: the assertions
# of sections 7.3.2.1 (things), 7.3.2.2 (events) and 7.3.2.3 (search), of errors and validation.
CREATE = """
    tdd-things-create-known-vs-anonymous tdd-things-create-known-td
    tdd-things-create-known-contenttype tdd-things-create-known-td-resp
    tdd-things-create-anonymous-td tdd-things-create-anonymous-contenttype
    tdd-things-create-anonymous-id tdd-things-create-anonymous-td-resp
"""
RETRIEVE = """
    tdd-things-retrieve tdd-things-retrieve-resp tdd-things-retrieve-resp-content-type
    tdd-context-injection tdd-anonymous-td-identifier tdd-anonymous-td-local-uuid
"""
UPDATE = """
    tdd-things-update tdd-things-update-contenttype tdd-things-update-resp
    tdd-things-update-partial tdd-things-update-partial-mergepatch
    tdd-things-update-partial-contenttype tdd-things-update-partial-partialtd
    tdd-things-update-partial-resp
"""
DELETE = "tdd-things-delete tdd-things-delete-resp"
LIST = """
    tdd-things-list-only tdd-things-list-method tdd-things-list-resp
    tdd-things-list-resp-content-type tdd-things-list-pagination
    tdd-things-list-pagination-limit tdd-things-list-pagination-header-nextlink
    tdd-things-list-pagination-header-nextlink-attr
    tdd-things-list-pagination-header-nextlink-base
    tdd-things-list-pagination-header-canonicallink tdd-things-list-pagination-order-default
    tdd-things-list-pagination-collection
"""
NOTIFICATION = """
    tdd-notification-sse tdd-notification-event-id tdd-notification-event-types
    tdd-notification-filter-type tdd-notification-data tdd-notification-data-td-id
    tdd-notification-data-create-full tdd-notification-data-update-diff
    tdd-notification-data-update-id tdd-notification-data-delete-diff
"""
SEARCH = """
    tdd-search-sparql tdd-search-large-tdds tdd-search-sparql-version
    tdd-search-sparql-method-get tdd-search-sparql-method-post
    tdd-search-sparql-resp-select-ask tdd-search-sparql-resp-describe-construct
    tdd-search-sparql-error tdd-search-sparql-federation
"""
ERROR = """
    tdd-http-error-response tdd-http-error-response-utf-8 tdd-http-head
    tdd-http-unsupported-feature tdd-validation-syntactic tdd-validation-jsonschema
    tdd-validation-result tdd-validation-response tdd-validation-response-utf-8
"""
INFORMATION = """
    tdd-absolute-time tdd-registrationinfo-vocab-created tdd-registrationinfo-vocab-modified
    tdd-registrationinfo-vocab-expires tdd-registrationinfo-vocab-ttl
    tdd-registrationinfo-vocab-retrieved tdd-registrationinfo-expiry-purge
    tdd-things-crud tdd-things-crudl tdd-things-read-only-auth
    tdd-things-default-representation tdd-things-representation-alternate-input
    tdd-http-representation-alternate-output
"""
INTRODUCTION = """
    introduction-well-known-path introduction-well-known-thing-description
    introduction-direct-directory-description exploration-directory-description-type
    exploration-server-http-head
"""
ALL = [CREATE, RETRIEVE, UPDATE, DELETE, LIST, NOTIFICATION, SEARCH, ERROR]
ALL += [INFORMATION, INTRODUCTION]
ASSERTIONS = " ".join(ALL).split()


def test_each_assertion_has_a_test_of_its_name() -> None:
    files = Path(__file__).parent.glob("test_directory_*.py")
    nodes = [node for file in files for node in ast.parse(file.read_text("utf-8")).body]
    tests = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    lacking = {name for name in ASSERTIONS if f"test_{name.replace('-', '_')}" not in tests}

    assert len(set(ASSERTIONS)) == len(ASSERTIONS) >= 52
    assert not lacking
