"""The OpenAPI document of `/api/v1`, read off the operations themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Response, current_app
from pydantic import TypeAdapter
from werkzeug.routing import Rule

from crm.core.json import dumps
from crm.web.api.operation import Operation, Problem, blueprint

bp = blueprint("document")
_PART = re.compile(r"<(?:(\w+):)?(\w+)>")
_SCHEMAS = {"uuid": {"type": "string", "format": "uuid"}, "int": {"type": "integer", "minimum": 0}}
_WORDS = {
    400: "Something in the request is not understood; the sentence names the place.",
    401: "The token is missing, unknown or ended.",
    403: "The token's role may not do this.",
    404: "There is no such thing.",
    413: "The body is larger than 1 MB.",
    503: "We are busy for a moment; try again shortly.",
}


@bp.get("/openapi.json")
def document() -> Response:
    """The document; it needs no token, for it says nothing about anybody."""
    return Response(dumps(describe(list(current_app.url_map.iter_rules()), current_app.view_functions)), content_type="application/json")


def describe(rules: list[Rule], views: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.1 for every operation among these rules."""
    described = [(rule.rule, found) for rule in rules if isinstance(found := getattr(views.get(rule.endpoint), "operation", None), Operation)]
    schemas, definitions = _schemas([found for _path, found in described])
    paths: dict[str, dict[str, Any]] = {}
    for path, found in sorted(described, key=lambda pair: pair[0]):
        paths.setdefault(_PART.sub(r"{\2}", path), {})[found.method.lower()] = _operation(path, found, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kesher",
            "version": _version(),
            "description": "Read the profiles, their timelines and messages; record consent with its proof. Lists are paged by `cursor`; amounts are text.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _schemas(operations: list[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    answers: list[Any] = [(f"answer {id(one)}", "serialization", one.answer) for one in operations]
    bodies: list[Any] = [(f"body {id(one)}", "validation", TypeAdapter(one.body)) for one in operations if one.body]
    problem: list[Any] = [("problem", "serialization", TypeAdapter(Problem))]
    found, common = TypeAdapter.json_schemas([*answers, *bodies, *problem], ref_template="#/components/schemas/{model}")
    return {key: schema for (key, _mode), schema in found.items()}, common.get("$defs", {})


def _operation(path: str, found: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": found.summary,
        "operationId": f"{found.method.lower()}{re.sub(r'[^a-z0-9]+', '_', found.path)}".rstrip("_"),
        "tags": [found.path.strip("/").split("/")[0]],
        "description": f"Roles: {', '.join(found.roles)}.",
        "parameters": [*_path_parameters(path), *_query_parameters(found)],
        "responses": {"200": {"description": "Done.", "content": {"application/json": {"schema": schemas[f"answer {id(found)}"]}}}}
        | _problems(found, schemas["problem"]),
    }
    if found.body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[f"body {id(found)}"]}}}
    return described


def _problems(found: Operation, schema: dict[str, Any]) -> dict[str, Any]:
    statuses = [HTTPStatus.BAD_REQUEST] if found.query or found.body else []
    statuses += [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, *([HTTPStatus.NOT_FOUND] if found.finds or "<" in found.path else [])]
    statuses += [*([HTTPStatus.REQUEST_ENTITY_TOO_LARGE] if found.body else []), HTTPStatus.SERVICE_UNAVAILABLE]
    return {str(int(status)): {"description": _WORDS[status], "content": {"application/json": {"schema": schema}}} for status in statuses}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for converter, name in _PART.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": _SCHEMAS.get(converter, {"type": "string"})}


def _query_parameters(found: Operation) -> Iterator[dict[str, Any]]:
    schema = found.query.model_json_schema() if found.query else {}
    for name, field in schema.get("properties", {}).items():
        described = {key: value for key, value in field.items() if key not in {"title", "description"}}
        required = name in schema.get("required", ())
        yield {
            "name": name,
            "in": "query",
            "required": required,
            "schema": described,
            **({"description": field["description"]} if "description" in field else {}),
        }


def _version() -> str:
    try:
        return version("kesher")
    except PackageNotFoundError:
        return "0"
