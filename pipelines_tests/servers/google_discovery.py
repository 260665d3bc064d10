"""What Google's own documents say of Drive v3 and Sheets v4: which requests there are, and what answers look like.

The documents come with Google's Python client. Not here: what an answer says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias
from urllib.parse import unquote

from jsonschema import Draft202012Validator

Json: TypeAlias = Any

_DOCUMENTS = ("drive.v3", "sheets.v4")


class Refused(Exception):  # noqa: N818 (it says what is the case)
    """Google would answer 400: the request is none that its documents know."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an API, with what it takes and what it answers."""

    document: str
    id: str
    verb: str
    path: str
    parameters: Mapping[str, Json]
    request: str | None
    response: str | None

    def matched(self, verb: str, path: str) -> dict[str, str] | None:
        """The parameters in a path, if it is one of this method's."""
        pattern = re.sub(
            r"\{\+?(\w+)\}", r"(?P<\1>[^/:]+)", re.escape(self.path).replace(r"\{", "{").replace(r"\}", "}")
        )
        found = re.fullmatch(pattern, path)
        return (
            {name: unquote(value) for name, value in found.groupdict().items()} if found and verb == self.verb else None
        )

    def check_parameters(self, given: Mapping[str, Sequence[str]]) -> None:
        """Refuses parameters that are unknown, doubled, of another type or out of bounds."""
        for name, values in given.items():
            known = self.parameters.get(name)
            if known is None or (len(values) > 1 and not known.get("repeated")):
                raise Refused(f"{self.id}: unknown or doubled parameter {name}")
            for value in values:
                _check_parameter(f"{self.id}: {name}", known, value)
        absent = [name for name, known in self.parameters.items() if known.get("required") and name not in given]
        if [name for name in absent if self.parameters[name]["location"] == "query"]:
            raise Refused(f"{self.id}: parameters are missing: {absent}")

    def check_request(self, body: Json) -> None:
        """Refuses a body that is not of the method's schema."""
        if (body is None) != (self.request is None):
            raise Refused(f"{self.id}: a body is missing, or there should be none")
        if self.request is not None:
            errors = [error.json_path for error in _validator(self.document, self.request).iter_errors(body)]
            if errors:
                raise Refused(f"{self.id}: not of its schema: {errors}")

    def answer(self, body: Json, fields: str | None) -> Json:
        """The answer as it was asked for; an ``AssertionError`` if Google's documents know no such answer."""
        if self.response is None:
            raise AssertionError(f"{self.id} has no answer")
        errors = [error.message for error in _validator(self.document, self.response).iter_errors(body)]
        assert not errors, (self.id, errors)
        schemas = _document(self.document)["schemas"]
        if not fields:
            return body
        mask, schema = _mask(fields), {"$ref": self.response}
        _check_mask(mask, schema, schemas)
        return _masked(body, mask, schema, schemas)


def method_of(verb: str, path: str) -> tuple[Method, dict[str, str]]:
    """The method that a request is for, with the parameters in its path; ``LookupError`` if there is none."""
    for method in _methods():
        found = method.matched(verb, path)
        if found is not None:
            return method, found
    raise LookupError(f"{verb} {path}")


@cache
def _methods() -> Sequence[Method]:
    return [method for name in _DOCUMENTS for method in _methods_in(name, _document(name))]


def _methods_in(name: str, resource: Json) -> Iterator[Method]:
    document = _document(name)
    for method in resource.get("methods", {}).values():
        yield Method(
            document=name,
            id=method["id"],
            verb=method["httpMethod"],
            path=f"/{document['servicePath']}{method['path']}",
            parameters={**document["parameters"], **method.get("parameters", {})},
            request=method.get("request", {}).get("$ref"),
            response=method.get("response", {}).get("$ref"),
        )
    for inner in resource.get("resources", {}).values():
        yield from _methods_in(name, inner)


@cache
def _document(name: str) -> Json:
    return json.loads((files("googleapiclient") / f"discovery_cache/documents/{name}.json").read_text())


@cache
def _validator(document: str, schema: str) -> Draft202012Validator:
    definitions = {name: _strict(known) for name, known in _document(document)["schemas"].items()}
    return Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": definitions})


def _strict(schema: Json) -> Json:
    """Google's own kind of schema as JSON Schema, without room for what it does not name."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    kind = schema["type"]
    strict: Json = {} if kind == "any" else {"type": kind}
    if kind == "object":
        more = schema.get("additionalProperties")
        strict["properties"] = {name: _strict(known) for name, known in schema.get("properties", {}).items()}
        strict["additionalProperties"] = _strict(more) if more else False
    elif kind == "array":
        strict["items"] = _strict(schema["items"])
    elif "enum" in schema:
        strict["enum"] = schema["enum"]
    elif schema.get("format") in {"int64", "uint64"} and kind == "string":
        strict["pattern"] = r"^-?\d+$"
    return strict


def _check_parameter(what: str, known: Json, value: str) -> None:
    sound = {
        "boolean": value in {"true", "false"},
        "integer": bool(re.fullmatch(r"-?\d+", value)),
        "string": True,
    }.get(known["type"], False)
    if sound and known["type"] == "integer":
        sound = int(known.get("minimum", value)) <= int(value) <= int(known.get("maximum", value))
    if not sound or value not in known.get("enum", [value]):
        raise Refused(f"{what} can't be {value}")


def _mask(fields: str) -> Json:
    """``a,b(c,d),e/f`` as a tree of names."""
    tokens = re.findall(r"[\w*]+|[(),/]", fields)
    if "".join(tokens) != fields:
        raise Refused(f"no mask: {fields}")
    found, rest = _names(tokens)
    if rest:
        raise Refused(f"no mask: {fields}")
    return found


def _names(tokens: list[str]) -> tuple[Json, list[str]]:
    found: dict[str, Json] = {}
    while tokens:
        path, tokens = [tokens[0]], tokens[1:]
        while tokens[:1] == ["/"]:
            path, tokens = [*path, tokens[1]], tokens[2:]
        inner: Json = {}
        if tokens[:1] == ["("]:
            inner, tokens = _names(tokens[1:])
            if tokens[:1] != [")"]:
                raise Refused("a parenthesis of a mask is not closed")
            tokens = tokens[1:]
        node = found
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = inner
        if tokens[:1] != [","]:
            break
        tokens = tokens[1:]
    return found, tokens


def _check_mask(mask: Json, schema: Json, schemas: Json) -> None:
    while "$ref" in schema or "items" in schema:
        schema = schemas[schema["$ref"]] if "$ref" in schema else schema["items"]
    known = schema.get("properties", {})
    for name, inner in mask.items():
        if name not in known:
            raise Refused(f"there is no field {name}")
        _check_mask(inner, known[name], schemas)


def _masked(body: Json, mask: Json, schema: Json, schemas: Json) -> Json:
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    if not mask:
        return body
    if isinstance(body, list):
        return [_masked(item, mask, schema["items"], schemas) for item in body]
    known = schema["properties"]
    return {name: _masked(body[name], inner, known[name], schemas) for name, inner in mask.items() if name in body}
