"""The JSON schema of `flask explain --json`, made from the types of the explanation. Explains nothing."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from offhook.pipeline.explanation import Explanation


class _Plain(GenerateJsonSchema):
    """Without a title for each field, which would only spell its name once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic's signature)
        return False


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12."""
    found = TypeAdapter(Explanation).json_schema(mode="serialization", schema_generator=_Plain)
    return {"$schema": _Plain.schema_dialect, **found}
