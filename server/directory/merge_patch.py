"""JSON merge patches (RFC 7396): apply one, and find the one that leads from a value to another."""

import json
from collections.abc import Mapping
from typing import Any


def merged(target: Any, patch: Any) -> Any:
    """Return `target` after `patch`; neither is changed.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None}, "d": 3})
    {'a': {'c': 2}, 'd': 3}
    """
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch that turns `old` into `new`.

    A patch cannot set a member to null, and where `new` has one, it is left out.

    >>> difference({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}, "d": 3})
    {'a': {'b': None}, 'd': 3}
    """
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            if inner := difference(before, value):
                patch[key] = inner
        elif value is not None and (key not in old or not _same(before, value)):
            patch[key] = value
    return patch


def _same(one: Any, other: Any) -> bool:
    # 1, 1.0 and true are equal in Python, not in JSON.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
