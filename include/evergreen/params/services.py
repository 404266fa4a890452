"""`services`: servers that the project brings along, for the laptop's stack to run beside its own."""

from __future__ import annotations

import shlex

from pydantic import Field, field_validator

from evergreen.params.base import Section


class Service(Section):
    """A server that `evergreen up` starts from the project's folder, keeps running and stops again."""

    command: str = Field(
        min_length=1,
        description="What runs it, without a shell; `{port}` stands for the port on 127.0.0.1 that it must listen on, "
        "and a first word `python` for the project's own.",
    )

    @field_validator("command")
    @classmethod
    def _listens_where_it_is_told(cls, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"cannot be split into words: {error}") from None
        if not any("{port}" in word for word in words):
            raise ValueError("lacks `{port}`: the port that it must listen on")
        return command
