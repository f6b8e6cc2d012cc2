"""What bindings.py writes in C: the glue of Java (JNI) and Node (N-API). The helpers that it calls stand in the
folder's own C, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bindings import Function, Interface, Parameter

C = {
    "model": "tinhost_model *",
    "session": "tinhost_session *",
    "text": "char *",
    "data": "void *",
    "room": "void *",
    "int": "int32_t ",
    "long": "int64_t ",
    "size": "int64_t ",
    "double": "double ",
}
JNI = {
    "model": "jlong",
    "session": "jlong",
    "text": "jbyteArray",
    "data": "jobject",
    "room": "jobject",
    "int": "jint",
    "long": "jlong",
    "double": "jdouble",
    "nothing": "void",
}


def _body(function: Function, taken: Callable[[int, Parameter], str], given: str) -> list[str]:
    """Arguments in C, the call, what was taken for it given back, and its result. A block's bytes are the
    engine's own count of them, not what a script says. A text or a block for which there is no memory, or which
    is no such thing, has raised an error already."""
    lines = []
    for k, one in enumerate(function.given):
        if one.kind in ("data", "room"):
            lines.append(f"    {C['size']}{one.name}_bytes = 0;")
        lines.append(f"    {C[one.kind]}{one.name} = {taken(k, one)};")
    call = f"tinhost_{function.name}({', '.join(one.name for one in function.takes)})"
    if function.result == "nothing":
        lines.append(f"    if (!raised(env)) {call};")
    else:
        kept = "const char *" if function.result == "text" else C[function.result]
        lines.append(f"    {kept}result = raised(env) ? 0 : {call};")
    lines += [f"    free({one.name});" for one in function.takes if one.kind == "text"]
    return [*lines, *([given] if given else [])]


def jni(interface: Interface, made: str) -> str:
    lines = [f"/* {made} */", '#include "jni_values.h"\n']
    for one in interface.functions:
        arguments = "".join(f", {JNI[parameter.kind]} {parameter.name}_" for parameter in one.given)
        symbol = f"Java_tinsmith_runtime_Native_{one.camel}"
        lines.append(f"JNIEXPORT {JNI[one.result]} JNICALL {symbol}(JNIEnv *env, jclass self{arguments}) {{")
        lines.append("    (void)self;")
        given = {
            "nothing": "",
            "text": "    return text_out(env, result);",
            "model": "    return (jlong)(intptr_t)result;",
            "session": "    return (jlong)(intptr_t)result;",
        }.get(one.result, "    return result;")
        lines += [*_body(one, _of_java, given), "}\n"]
    return "\n".join([*lines[:-1], "}\n"])


def _of_java(_: int, one: Parameter) -> str:
    name = f"{one.name}_"
    if one.kind in ("model", "session"):
        return f"({C[one.kind]})(intptr_t){name}"
    block = f"block(env, {name}, &{one.name}_bytes)"
    return {"text": f"text_in(env, {name})", "data": block, "room": block}.get(one.kind, name)


def node(interface: Interface, made: str) -> str:
    lines = [f"/* {made} */"]
    for one in interface.functions:
        count = len(one.given)
        lines.append(f"static napi_value call_{one.name}(napi_env env, napi_callback_info info) {{")
        lines.append(f"    napi_value in[{count}];")
        lines.append(f"    if (!arguments(env, info, in, {count})) return NULL;")
        given = "    return NULL;" if one.result == "nothing" else f"    return {one.result}_out(env, result);"
        lines += [*_body(one, _of_node, given), "}\n"]
    lines.append("static const struct {\n    const char *name;\n    napi_callback call;\n} FUNCTIONS[] = {")
    lines += [f'    {{"{one.camel}", call_{one.name}}},' for one in interface.functions]
    lines.append("};\n\nstatic const struct {\n    const char *name;\n    int32_t value;\n} CONSTANTS[] = {")
    lines += [f'    {{"{name}", {value}}},' for name, value in interface.constants.items()]
    lines.append("};\n\nstatic const char *const STATUSES[] = {")
    lines += [f'    "{name}",' for name, _, _ in interface.errors]
    lines.append("};")
    return "\n".join(lines) + "\n"


def _of_node(k: int, one: Parameter) -> str:
    size = f", &{one.name}_bytes" if one.kind in ("data", "room") else ""
    return f"{one.kind}_in(env, in[{k}]{size})"
