"""Request fields as pydantic models, which validate bodies and describe them in /openapi.json. Unknown fields
are errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar

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
from tinsmith.serve.errors import ApiError

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")
_MAX_BIASES = 1 << 18  # the size of the largest vocabularies
_MAX_PARAM = 200  # characters of a field's path in errors


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _keep_one_unknown(cls, given: Any) -> Any:
        """Keeps the first unknown field only: pydantic would make an error for each."""
        known = _names(cls)
        if not isinstance(given, dict) or given.keys() <= known:
            return given
        first = next(name for name in given if name not in known)
        return {name: value for name, value in given.items() if name == first or name in known}


@cache
def _names(kind: type[Body]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in kind.model_fields.items())


def validate(kind: type[B], value: Any) -> B:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _api_error(_relevant(error)) from None


def _relevant(error: ValidationError) -> Any:
    """The error to report. A union has an error per alternative: prefers the deepest, then one of the right
    type. Validation stops at the first error of each list and table, so there are few."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    unknown = [one for one in errors if one["type"] == "extra_forbidden"]
    return max(unknown or errors, key=lambda one: (len(one["loc"]), not one["type"].endswith("_type")))


def _api_error(error: Any) -> ApiError:
    path = [part for part in error["loc"] if isinstance(part, int) or not _is_alternative(str(part))]
    param = ".".join(map(str, path))[:_MAX_PARAM] or None
    if error["type"] == "extra_forbidden":
        return ApiError(400, f"{param}: not supported; leave it out", param, "unsupported_parameter")
    if error["type"] == "missing":
        return ApiError(400, f"{param}: missing", param, "missing_required_parameter")
    message = (
        "not a JSON object" if error["type"] == "model_type" else error["msg"][:1].lower() + error["msg"][1:]
    )
    return ApiError(400, f"{param or 'the body'}: {message}", param, "invalid_value")


def _is_alternative(part: str) -> bool:
    """Whether pydantic added the part, to name a union's alternative."""
    return part[:1].isupper() or "[" in part or part in ("str", "bool", "int", "float")


class TinsmithOptions(Body):
    """choices: adds each token's choice to the answer. unconstrained: ignores the file's own constraint.
    search: maximum backtracks of the constrained search."""

    choices: bool = False
    unconstrained: bool = False
    search: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


Temperature = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Repetition = Annotated[float, Field(gt=0, le=10)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
TopK = Annotated[int, Field(ge=0, le=2**31 - 1)]
TopCount = Annotated[int, Field(ge=0, le=20)]
Token = Annotated[int, Field(ge=0, le=2**31 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]

# Lists fail at their first error and have a maximum length: invalid requests cost little.
Rows = Annotated[list[T], Field(fail_fast=True, max_length=4096)]
NonEmpty = Annotated[list[T], Field(fail_fast=True, min_length=1, max_length=4096)]
Tools = Annotated[list[T], Field(fail_fast=True, max_length=MOST_TOOLS)]
Inputs = Annotated[list[T], Field(fail_fast=True, min_length=1, max_length=256)]
Tokens = Annotated[list[Token], Field(fail_fast=True, max_length=1 << 17)]
NonEmptyTokens = Annotated[list[Token], Field(fail_fast=True, min_length=1, max_length=1 << 17)]
Prompts = str | Inputs[str] | NonEmptyTokens | Inputs[NonEmptyTokens]
StopText = Annotated[str, Field(max_length=1000)]
Stops = Annotated[list[StopText], Field(fail_fast=True, max_length=16)]
Stop = StopText | Stops


def _truncate(given: Any, limit: int) -> Any:
    """Shortens a table to one entry above the limit: pydantic may make an error for each."""
    long = isinstance(given, Mapping) and len(given) > limit
    return dict(islice(given.items(), limit + 1)) if long else given


def _biases(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Validates biases, of which there may be one per token. pydantic gets the first error only: it would make
    one for each, and block all threads meanwhile."""
    if not isinstance(given, dict):
        return validate(given)
    for token, value in given.items():
        number = type(value) in (int, float) and -100 <= value <= 100
        if not (number and token.isascii() and token.isdecimal() and len(token) < 10):
            return validate({token: value})
    if len(given) > _MAX_BIASES:
        return validate(_truncate(given, _MAX_BIASES))
    return {token: float(value) for token, value in given.items()}


Bias = Annotated[
    dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100)]],
    Field(max_length=_MAX_BIASES),
    WrapValidator(_biases),
]
Metadata = Annotated[dict[str, str], Field(max_length=64), BeforeValidator(lambda given: _truncate(given, 64))]


class SamplingFields(Body):
    """OpenAI's sampling parameters, and those of other servers under their usual names."""

    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    min_p: Share | None = None
    repetition_penalty: Repetition | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Bias | None = None


def thinking(effort: Effort | None, switch: bool | None) -> bool | None:
    """Whether the model thinks: by the chat template's switch, else by OpenAI's effort."""
    if switch is not None:
        return switch
    return None if effort is None else effort not in ("none", "minimal")


def prompts_of(given: Any) -> list[Any]:
    """The prompts of a field with one prompt or a list."""
    return [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)
