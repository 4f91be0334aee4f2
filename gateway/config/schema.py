"""The JSON Schema of the configuration file, for editors and for checks without callmode.

It says what keys there are, the form of each value, and the defaults. What values say about each other only `load`
knows, so a file that the schema accepts may still be refused.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.config.descriptions import descriptions
from gateway.config.model import GatewayKeys, sections
from gateway.config.routes import PolicyKeys, RouteKeys


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    # Serialization mode shows each default as the file would say it: "15m", not 900000.
    schema = GatewayKeys.model_json_schema(schema_generator=_Generator, mode="serialization")
    for section in sections().values():
        properties = (schema if section is GatewayKeys else schema["$defs"][section.__name__])["properties"]
        for key, text in descriptions(section).items():
            properties[key] = dict(sorted({**properties[key], "description": text}.items()))  # pydantic sorts as well
    for key in PolicyKeys.model_fields:  # a route's default is whatever `defaults` says
        schema["$defs"][RouteKeys.__name__]["properties"][key].pop("default", None)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _Generator(GenerateJsonSchema):
    """pydantic's, without what the file cannot say: null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema of the value: a key is left out rather than null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema with its default, unless that is none or a section whose keys say theirs themselves."""
        described = super().default_schema(schema)
        if described.get("default") is None or isinstance(described["default"], dict):
            described.pop("default", None)
        return described

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Return False: a title that repeats the key says nothing."""
        return False
