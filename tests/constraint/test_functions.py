"""Types and functions as schemas: what pydantic says of the same types, and values there and back."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Optional

import jsonschema
import pytest
from typing_extensions import TypedDict

from tinsmith.constraint.functions import arguments_of, schema_of, tool_of, value_of
from tinsmith.errors import ConstraintError

pydantic = pytest.importorskip("pydantic")


class Mood(enum.Enum):
    GOOD = "good"
    BAD = 2


@dataclass
class Point:
    x: int
    y: float = 0.0


class Note(TypedDict):
    text: str
    mood: NotRequired[Mood]


@dataclass
class Trip:
    name: str
    places: list[Point]
    note: Note | None = None
    tags: set[str] = field(default_factory=set)


class Model(pydantic.BaseModel):
    a: int
    b: str | None = None


TYPES: list[Any] = [
    str,
    int,
    float,
    bool,
    None,
    list[int],
    dict[str, float],
    tuple[int, str],
    tuple[int, ...],
    set[str],
    Literal["a", 1],
    Mood,
    Optional[int],  # noqa: UP045
    int | list[str],
    Point,
    Note,
    Trip,
    Model,
    list[Model | Point],
    Annotated[int, "how many"],
    dict[str, list[Mood]],
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -3,
    1.5,
    "a",
    "good",
    2,
    [],
    [1, 2],
    [1, "a"],
    ["a", "b"],
    ["good", 2],
    {},
    {"a": 1},
    {"a": 1, "b": None},
    {"a": 1.5},
    {"x": 1},
    {"x": 1, "y": 2},
    {"y": 2},
    {"text": "t"},
    {"text": "t", "mood": "bad"},
    {"text": "t", "mood": 2},
    {"name": "n", "places": [{"x": 1}], "note": {"text": "t"}, "tags": ["a"]},
    {"name": "n", "places": [{"x": "1"}]},
    [{"a": 1}, {"x": 2}],
    {"a": ["good"]},
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_schemas_accept_what_pydantics_schemas_accept(kind: Any) -> None:
    theirs = pydantic.TypeAdapter(kind).json_schema()
    ours = schema_of(kind)
    jsonschema.Draft202012Validator.check_schema(ours)
    accepted = 0
    for value in VALUES:
        good = jsonschema.Draft202012Validator(ours).is_valid(value)
        accepted += good
        if isinstance(value, dict):
            # pydantic's are open to further keys, and ours are not.
            assert jsonschema.Draft202012Validator(theirs).is_valid(value) or not good, (value, ours, theirs)
        else:
            assert jsonschema.Draft202012Validator(theirs).is_valid(value) == good, (value, ours, theirs)
    assert accepted


def test_true_is_no_number_of_a_literal() -> None:
    assert value_of(Literal[1, True], True) is True
    assert type(value_of(Literal[True, 1], 1)) is int


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_values_are_what_pydantic_makes_of_them(kind: Any) -> None:
    for value in VALUES:
        if jsonschema.Draft202012Validator(schema_of(kind)).is_valid(value):
            assert value_of(kind, value) == pydantic.TypeAdapter(kind).validate_python(value)


def forecast(place: str, days: int = 1, *, unit: Literal["c", "f"] = "c", at: Point | None = None) -> str:
    """The weather at a place.

    For some days from now on.

    Args:
        place: A town,
            or a village.
        days (int): how many
        at: where exactly

    Returns:
        A text.
    """
    return f"{place} {days} {unit} {at}"


def lights(on: bool) -> None:
    """Switches them.

    :param on: whether they are on
    :returns: nothing
    """


def test_a_function_is_a_tool_by_its_signature_and_docstring() -> None:
    assert tool_of(forecast) == {
        "type": "function",
        "function": {
            "name": "forecast",
            "description": "The weather at a place.\n\nFor some days from now on.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "A town, or a village."},
                    "days": {"type": "integer", "description": "how many"},
                    "unit": {"enum": ["c", "f"]},
                    "at": {"anyOf": [schema_of(Point), {"type": "null"}], "description": "where exactly"},
                },
                "required": ["place"],
            },
        },
    }
    function = tool_of(lights)["function"]
    assert function["description"] == "Switches them."
    assert function["parameters"]["properties"]["on"]["description"] == "whether they are on"


def test_arguments_become_what_the_function_takes() -> None:
    given = arguments_of(forecast, {"place": "Rome", "at": {"x": 1, "y": 2}})
    assert given == {"place": "Rome", "at": Point(1, 2.0)}
    assert forecast(**given) == "Rome 1 c Point(x=1, y=2.0)"


class Callable:
    __name__ = "shout"

    def __call__(self, text: str) -> str:
        """Shouts."""
        return text.upper()


def test_objects_that_can_be_called_are_tools() -> None:
    assert tool_of(Callable())["function"]["name"] == "shout"
    assert tool_of(Callable().__call__)["function"]["parameters"]["required"] == ["text"]


def without_annotation(a) -> None:  # type: ignore[no-untyped-def]
    pass


def with_rest(*rest: int) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tool_of(lambda a: a), "a lambda has no name"),
        (lambda: tool_of(without_annotation), "without_annotation: parameter a has no annotation"),
        (lambda: tool_of(with_rest), r"with_rest: parameter \*rest: 'int' can't be given by name"),
        (lambda: schema_of(object), "object has no JSON Schema"),
        (lambda: schema_of(dict[int, str]), "keys of a dict must be str"),
        (lambda: schema_of(list[bytes], "f(x)"), r"f\(x\): bytes has no JSON Schema"),
    ],
)
def test_what_has_no_schema_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConstraintError, match=message):
        make()
