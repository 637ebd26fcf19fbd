"""From what the extension collects to a description that people and generators can read. Pure.

The extension takes paths, parameters and models from the views. Here they get names, examples and webhooks, errors are
written once and referred to, and schemas are spelled in the way that generators of several languages understand.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from web.api import examples
from web.api.problems import CODES
from web.api.schemas import ORDER_EXAMPLES, RENEWAL_EXAMPLES, RENTAL_EXAMPLES
from web.api.words import ATTEMPT_ERRORS, FLAGS, RENTAL_FLAGS
from worker.order import EventType

Spec = dict[str, Any]

SCHEMAS, RESPONSES, HEADERS = (f"#/components/{part}/" for part in ("schemas", "responses", "headers"))
NAMES = {"/v1/events/ping": "sendPing", "/healthz": "isAlive", "/readyz": "isReady", "/metrics": "readMetrics"}
"""Operations whose path does not say what they do."""
RESPONSE_NAMES = {
    400: "BadRequest", 401: "Unauthorized", 404: "NotFound", 405: "MethodNotAllowed", 408: "TooSlow", 409: "Conflict",
    410: "Gone", 413: "TooLarge", 415: "UnsupportedMediaType", 422: "InvalidFields", 429: "TooManyRequests",
    500: "InternalError", 503: "Unavailable",
}  # fmt: skip
READING = "Reading"
"""What is added to the name of a schema that has a field of the same name: generators cannot tell the two apart."""
_METHODS = ("post", "get")
"""In which order the operations of a path are told: what begins something comes first."""
_COUNTED = ("RateLimit", "RateLimit-Policy", "X-Request-Id")


def finished(collected: Mapping[str, Any]) -> Spec:
    """The whole description, webhooks included."""
    spec: Spec = copy.deepcopy(dict(collected))
    spec["info"]["contact"] = {"name": "The operator of this service"}
    spec["servers"] = [{"url": "/", "description": "This service"}]
    spec["components"]["schemas"] = _named(spec, {n: _tidy(s) for n, s in spec["components"]["schemas"].items()})
    for path, item in spec["paths"].items():
        spec["paths"][path] = {method: item[method] for method in (*_METHODS, *item) if method in item}
        for method, operation in spec["paths"][path].items():
            _finish(spec, path, method, operation)
    spec["tags"].append({"name": "Webhooks", "description": "What this service sends."})
    spec["webhooks"] = {kind.value: {"post": _webhook(kind, spec)} for kind in EventType}
    return spec


# Schemas.


def _tidy(schema: Any) -> Any:
    """A schema without what only pydantic needs: titles, nulls as defaults, and `anyOf` where `type` can say it."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return int(schema) if isinstance(schema, float) and schema.is_integer() else schema
    kept = {
        name: {field: _tidy(one) for field, one in value.items()} if name == "properties" else _tidy(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str)) and not (name == "default" and value is None)
    }
    return _with_null(kept)


def _with_null(schema: Spec) -> Spec:
    """`anyOf` a type and null as one schema of both types; what refers elsewhere stays as it is."""
    others = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(others) != 1 or len(schema["anyOf"]) != 2 or not isinstance(others[0].get("type"), str):
        return schema
    (other,) = others
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    enum = {"enum": [*other["enum"], None]} if "enum" in other else {}
    return {**other, "type": [other["type"], "null"], **enum, **rest}


def _named(spec: Spec, schemas: Spec) -> Spec:
    """The schemas with the closed sets that no model has, and with names that clash with none of their fields."""
    schemas["Problem"]["properties"]["code"]["enum"] = sorted(CODES)
    schemas["Order"]["properties"]["flags"]["items"]["enum"] = list(FLAGS)
    schemas["Rental"]["properties"]["flags"]["items"]["enum"] = list(RENTAL_FLAGS)
    schemas["Attempt"]["properties"]["error"]["enum"] = [*ATTEMPT_ERRORS, None]
    kind = schemas["Event"]["properties"]["type"]
    schemas["Event"]["properties"]["type"] = {"$ref": SCHEMAS + "EventType", "description": kind["description"]}
    schemas["Event"]["properties"]["payload"] |= {
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": SCHEMAS + "WebhookEvent"},
    }
    for schema in schemas.values():
        if schema.get("additionalProperties") is False:
            _tell_defaults(schema)
    schemas |= _messages()
    clashing = {name: name + READING for name, one in schemas.items() if name.lower() in one.get("properties", {})}
    _refer_anew(spec, clashing)
    renamed = {clashing.get(name, name): schema for name, schema in schemas.items()}
    _refer_anew(renamed, clashing)
    return renamed


def _tell_defaults(schema: Spec) -> None:
    """Say defaults of a request in words: TypeScript's generator takes a field that has one for one that is needed."""
    for field in schema["properties"].values():
        if "default" in field:
            said = f"default `{field.pop('default')}`"
            field["description"] = f"{field['description']}; {said}" if "description" in field else said


def _refer_anew(value: Any, renamed: Mapping[str, str]) -> None:
    """Let references follow schemas that have another name now."""
    if isinstance(value, dict):
        target = str(value.get("$ref", "")).removeprefix(SCHEMAS)
        if target in renamed:
            value["$ref"] = SCHEMAS + renamed[target]
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refer_anew(one, renamed)


def _messages() -> Spec:
    """The bodies of webhooks; `type` tells them apart."""
    kinds: dict[str, list[str]] = {}
    for kind in EventType:
        kinds.setdefault(message_of(kind), []).append(kind.value)
    words = {
        "caller": "the caller whose callback it is",
        "message": "says that this is a ping",
        "challenge": "the text to sign and return to prove that the receiver has the caller's secret",
    }
    told = {
        "type": "object", "description": "what it is about", "required": ["caller", "message"],
        "properties": {name: {"type": "string", "description": said} for name, said in words.items()},
    }  # fmt: skip
    mapping = {kind: SCHEMAS + name for name, of_it in kinds.items() for kind in of_it}
    return {
        "OrderEvent": _message(
            "What happened to an order.", kinds["OrderEvent"], _meant("Order", "the order at that time")
        ),
        "RentalEvent": _message(
            "What happened to a rental.",
            kinds["RentalEvent"],
            _meant("Rental", "the rental at that time"),
            message=_meant("Message", "the message; only in `rental.message_received`"),
        ),
        "PingEvent": _message("A requested test.", kinds["PingEvent"], told),
        "WebhookEvent": {
            "description": "The body of a webhook.",
            "oneOf": [{"$ref": SCHEMAS + name} for name in kinds],
            "discriminator": {"propertyName": "type", "mapping": mapping},
        },
    }


def message_of(kind: EventType) -> str:
    """The schema of a webhook's body."""
    if kind is EventType.PING:
        return "PingEvent"
    return "RentalEvent" if kind.startswith("rental.") else "OrderEvent"


def _meant(schema: str, what: str) -> Spec:
    return {"$ref": SCHEMAS + schema, "description": what}


def _message(what: str, types: list[str], data: Spec, **beside: Spec) -> Spec:
    return {
        "type": "object",
        "description": what,
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "enum": types, "description": "what happened"},
            "timestamp": {"type": "string", "format": "date-time", "description": "the time of the event"},
            "data": data,
            **beside,
        },
    }


# Operations.


def operation_id(method: str, path: str) -> str:
    """What generators call an operation: a verb and what it is about, `createOrder` or `listRentalMessages`."""
    if path in NAMES:
        return NAMES[path]
    *before, last = [part for part in path.split("/") if part not in ("", "v1")]
    about = [_singular(part) for part in before if not part.startswith("{")]
    if last.startswith("{"):
        return _camel("get", *about)
    if method == "post":
        return _camel(last, *about) if about else _camel("create", _singular(last))
    return _camel("list" if last.endswith("s") else "get", *about, last)


def _singular(word: str) -> str:
    return word.removesuffix("s")


def _camel(*words: str) -> str:
    first, *rest = "-".join(words).split("-")
    return first + "".join(word.capitalize() for word in rest)


def _finish(spec: Spec, path: str, method: str, operation: Spec) -> None:
    """Name an operation, and give it its examples; its errors are told once for all."""
    operation["operationId"] = operation_id(method, path)
    if told := operation.get("description"):  # the extension marks where a docstring's lines end
        operation["description"] = " ".join(told.replace("<br/>", " ").split())
    if not path.startswith("/v1"):
        operation["security"] = []
        if not operation.get("parameters"):
            operation["responses"].pop("422", None)  # the extension documents one for every call
    for parameter in operation.get("parameters", ()):
        _finish_parameter(parameter)
    if "requestBody" in operation:
        _show(spec, operation["requestBody"]["content"])
        operation["requestBody"]["required"] = _needs_a_body(spec, operation["requestBody"])
    for status, response in operation["responses"].items():
        if status >= "400":
            operation["responses"][status] = _error(spec, int(status), response)
        else:
            if path.startswith("/v1"):
                response.setdefault("headers", dict.fromkeys(_COUNTED))
            response["headers"] = _by_reference(spec, response.get("headers", {}))
            _show(spec, response.get("content", {}), operation["operationId"])


def _needs_a_body(spec: Spec, body: Spec) -> bool:
    """Whether any field of it has to be said."""
    (media,) = body["content"].values()
    schema = spec["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
    return "properties" not in schema or bool(schema.get("required"))


def _finish_parameter(parameter: Spec) -> None:
    """What is left out is absent: there is no way to send a null."""
    schema = _tidy(parameter["schema"])
    for one in schema.pop("anyOf", ()):
        schema |= one if one.get("type") != "null" else {}
    if isinstance(schema.get("type"), list):
        schema["type"] = schema["type"][0]
    if "enum" in schema:
        schema["enum"] = [word for word in schema["enum"] if word is not None]
    parameter["schema"] = {name: value for name, value in schema.items() if name != "description"}
    if (name := parameter["name"]) in examples.PARAMETERS:
        parameter["example"] = examples.PARAMETERS[name]


def _error(spec: Spec, status: int, response: Spec) -> Spec:
    name = RESPONSE_NAMES.get(status, f"Error{status}")
    known = spec["components"].setdefault("responses", {})
    if name not in known:
        (content,) = response["content"].values()
        content["example"] = examples.problem(status, HTTPStatus(status).phrase)
        known[name] = {**response, "headers": _by_reference(spec, response.get("headers", {}))}
    return {"$ref": RESPONSES + name}


def _by_reference(spec: Spec, headers: Mapping[str, Spec | None]) -> Spec:
    """Headers are told once: what a response has of them refers there."""
    known = spec["components"].setdefault("headers", {})
    known |= {name: told for name, told in headers.items() if told is not None}
    return {name: {"$ref": HEADERS + name} for name in headers}


_ASKED = {"NewOrder": ORDER_EXAMPLES, "NewRental": RENTAL_EXAMPLES, "Renewal": RENEWAL_EXAMPLES}
"""Bodies that show what a call takes, by its schema."""


def _show(spec: Spec, content: Spec, operation: str = "") -> None:
    """Give a body its example: the operation's own, else its schema's."""
    for media in content.values():
        name = media["schema"].get("$ref", "").rpartition("/")[2]
        if name in _ASKED:
            media["examples"] = {what: {"value": body} for what, body in _ASKED[name].items()}
            continue
        example = examples.BY_OPERATION.get(operation, examples.BY_SCHEMA.get(name.removesuffix(READING)))
        if example is not None:
            media["example"] = _fitting(example, media["schema"], spec["components"]["schemas"])


def _fitting(example: Any, schema: Spec, schemas: Spec) -> Any:
    """The example without fields that the schema does not have."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(example, list):
        return [_fitting(one, schema.get("items", {}), schemas) for one in example]
    if not isinstance(example, dict) or "properties" not in schema:
        return example
    properties = schema["properties"]
    return {name: _fitting(one, properties[name], schemas) for name, one in example.items() if name in properties}


# Webhooks.


_SIGNED = {
    "webhook-id": "the event's id, the same for every attempt: use it to deduplicate",
    "webhook-timestamp": "when this attempt was made, in epoch seconds",
    "webhook-signature": "`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; one for each valid secret",
}
"""The headers of a webhook."""


def _webhook(kind: EventType, spec: Spec) -> Spec:
    name = message_of(kind)
    content: Spec = {"application/json": {"schema": {"$ref": SCHEMAS + name}}}
    example = {**examples.BY_SCHEMA[name], "type": kind.value}
    content["application/json"]["example"] = _fitting(example, {"$ref": SCHEMAS + name}, spec["components"]["schemas"])
    return {
        "operationId": _camel(*re.split(r"[._]", kind.value)),
        "summary": kind.value,
        "description": "Sent to the callback, signed as Standard Webhooks 1.0.0 defines. Any 2xx acknowledges it.",
        "tags": ["Webhooks"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": told, "schema": {"type": "string"}}
            for name, told in _SIGNED.items()
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {"2XX": {"description": "Acknowledged."}, "410": {"description": "Stop sending this event."}},
    }
