"""Fields that requests may have, as pydantic models: they are read by them, and described by them in
/openapi.json. A field that stands in none is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from tinsmith.constraint.calls.tools import MOST_TOOLS
from tinsmith.serve.faults import Refused

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")
_BIASES = 1 << 18  # the largest vocabularies have so many tokens
_PLACE = 200  # characters of a place in a body that are shown


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    _known: ClassVar[frozenset[str]]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls._known = frozenset(field.alias or name for name, field in cls.model_fields.items())

    @model_validator(mode="before")
    @classmethod
    def _one_unknown(cls, given: Any) -> Any:
        """Of the fields that it has not, keeps the first: pydantic would make an error for each."""
        if not isinstance(given, dict) or given.keys() <= cls._known or cls.model_config["extra"] == "allow":
            return given
        first = next(name for name in given if name not in cls._known)
        return {name: value for name, value in given.items() if name == first or name in cls._known}


def read(kind: type[B], value: Any) -> B:
    """Raises Refused with the place of the first thing that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = _worst(error)
        raise Refused(400, *_told(first)) from None


def _worst(error: ValidationError) -> Any:
    """Of a union every alternative complains: the one that went deepest is what was meant, and of these one of
    the right type. Bodies are validated up to the first fault in each list and table, so there are few."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    return max(unknown or faults, key=lambda fault: (len(fault["loc"]), not fault["type"].endswith("_type")))


def _told(fault: Any) -> tuple[str, str | None, str]:
    place = [part for part in fault["loc"] if isinstance(part, int) or not _of_union(str(part))]
    param = ".".join(map(str, place))[:_PLACE] or None
    if fault["type"] == "extra_forbidden":
        return f"{param}: is not supported here; leave it out", param, "unsupported_parameter"
    if fault["type"] == "missing":
        return f"{param}: is missing", param, "missing_required_parameter"
    if fault["type"] == "model_type":
        return f"{param or 'the body'}: is no object of JSON; give one", param, "invalid_value"
    return f"{param or 'the body'}: {_lower(fault['msg'])}", param, "invalid_value"


def _of_union(part: str) -> bool:
    """Whether it is pydantic's name of an alternative, which is no place in the body."""
    return part[:1].isupper() or "[" in part or part in ("str", "bool", "int", "float")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


class Ours(Body):
    """Extensions. choices: how each token was chosen stands in the answer. free: without the constraint that
    the file brings. search: how often an answer under a constraint may be gone back for a likelier one."""

    choices: bool = False
    free: bool = False
    search: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None

    @property
    def held(self) -> dict[str, Any]:
        """Of a Question."""
        return {"free": self.free, "search": self.search}


Temperature = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Repetition = Annotated[float, Field(gt=0, le=10)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
TopK = Annotated[int, Field(ge=0, le=2**31 - 1)]
Tops = Annotated[int, Field(ge=0, le=20)]
Token = Annotated[int, Field(ge=0, le=2**31 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]

# Lists end at their first fault, and have a length: what is wrong with a request is known after little work.
Rows = Annotated[list[T], Field(fail_fast=True, max_length=4096)]
Some = Annotated[list[T], Field(fail_fast=True, min_length=1, max_length=4096)]
Tools = Annotated[list[T], Field(fail_fast=True, max_length=MOST_TOOLS)]
Inputs = Annotated[list[T], Field(fail_fast=True, min_length=1, max_length=256)]
Tokens = Annotated[list[Token], Field(fail_fast=True, max_length=1 << 17)]
SomeTokens = Annotated[list[Token], Field(fail_fast=True, min_length=1, max_length=1 << 17)]
Prompts = str | Inputs[str] | SomeTokens | Inputs[SomeTokens]
StopText = Annotated[str, Field(max_length=1000)]
Stops = Annotated[list[StopText], Field(fail_fast=True, max_length=16)]
Stop = StopText | Stops


def _short(most: int) -> BeforeValidator:
    """For a table: of a longer one, keeps one entry too many, since each may be a fault."""

    def cut(given: Any) -> Any:
        long = isinstance(given, Mapping) and len(given) > most
        return dict(islice(given.items(), most + 1)) if long else given

    return BeforeValidator(cut)


def _biases(given: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Reads a table of biases, of which there may be one for each token. pydantic sees the first fault alone:
    it would make an error for each, and have all threads wait while it reads the others."""
    if not isinstance(given, dict):
        return read(given)
    for token, value in given.items():
        number = type(value) in (int, float) and -100 <= value <= 100
        if not (number and token.isascii() and token.isdecimal() and len(token) < 10):
            return read({token: value})
    if len(given) > _BIASES:
        return read(dict(islice(given.items(), _BIASES + 1)))
    return {token: float(value) for token, value in given.items()}


Bias = Annotated[
    dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100)]],
    Field(max_length=_BIASES),
    WrapValidator(_biases),
]
Metadata = Annotated[dict[str, str], Field(max_length=64), _short(64)]


class Drawing(Body):
    """How tokens are chosen, as OpenAI names it, and what other servers call it beyond that."""

    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    min_p: Share | None = None
    repetition_penalty: Repetition | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Bias | None = None


def thinking(effort: Effort | None, switch: bool | None) -> bool | None:
    """Whether the model is to think: by OpenAI's effort, or by the switch of its template."""
    if switch is not None:
        return switch
    return None if effort is None else effort not in ("none", "minimal")
