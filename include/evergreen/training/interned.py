"""Equal texts as one object, since pickle tells objects apart.

A text that came with the code, one from params.yaml, and one that was sent to another process are equal, and a model
that holds one of them twice has other bytes than a model that holds two: the process would show in the model's hash.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def interned(value: Any) -> Any:
    """`value` with the texts in its containers and settings interned; what else it holds is as it was."""
    if type(value) is str:
        return sys.intern(value)
    if isinstance(value, Mapping):
        return {interned(key): interned(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(interned(item) for item in value)
    if isinstance(value, BaseModel):
        kept = {name: interned(getattr(value, name)) for name in type(value).model_fields}
        return type(value).model_construct(_fields_set=value.model_fields_set, **kept)
    return value
