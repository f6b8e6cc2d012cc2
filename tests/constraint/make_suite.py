"""Makes suite.json of the JSON-Schema-Test-Suite: the files that speak of keywords which are enforced.

pip download --no-binary :all: --no-deps jsonschema==4.26.0
python make_suite.py jsonschema-4.26.0.tar.gz
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
FILES = [
    "additionalProperties",
    "allOf",
    "anchor",
    "anyOf",
    "boolean_schema",
    "const",
    "content",
    "default",
    "defs",
    "dependentRequired",
    "dependentSchemas",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "if-then-else",
    "infinite-loop-detection",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "ref",
    "required",
    "type",
    "uniqueItems",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
    "optional/bignum",
    "optional/float-overflow",
    "optional/id",
    "optional/dependencies-compatibility",
    "optional/format/date",
    "optional/format/date-time",
    "optional/format/email",
    "optional/format/ipv4",
    "optional/format/ipv6",
    "optional/format/time",
    "optional/format/uri",
    "optional/format/uuid",
]


def main(archive: str) -> None:
    groups = []
    with tarfile.open(archive) as tar:
        root = tar.getnames()[0].split("/")[0] + "/json"
        for name in FILES:
            file = tar.extractfile(f"{root}/tests/draft2020-12/{name}.json")
            assert file is not None
            for group in json.load(file):
                cases = [[test["data"], test["valid"]] for test in group["tests"]]
                groups.append([f"{name}: {group['description']}", group["schema"], cases])
        licence = tar.extractfile(f"{root}/LICENSE")
        assert licence is not None
        (HERE / "suite.LICENSE").write_bytes(licence.read())
    lines = ",\n".join(json.dumps(group, ensure_ascii=True, separators=(",", ":")) for group in groups)
    (HERE / "suite.json").write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main(sys.argv[1])
