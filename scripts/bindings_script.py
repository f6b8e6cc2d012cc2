"""What bindings.py writes in languages other than C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bindings import Function, Interface

# Kind to type. Rust alone has sizes as C does: blocks of the others know theirs.
RUST = {
    "model": "*mut Model",
    "session": "*mut Session",
    "text": "*const c_char",
    "data": "*const c_void",
    "room": "*mut c_void",
    "int": "i32",
    "long": "i64",
    "size": "i64",
    "double": "f64",
}
# Texts are UTF-8 with no NUL at the end: Java's own UTF-8 in JNI is another one.
JAVA = {
    "model": "long",
    "session": "long",
    "text": "byte[]",
    "data": "ByteBuffer",
    "room": "ByteBuffer",
    "int": "int",
    "long": "long",
    "double": "double",
    "nothing": "void",
}
TYPESCRIPT = {
    "model": "ModelHandle",
    "session": "SessionHandle",
    "text": "string | null",
    "data": "Uint8Array",
    "room": "Uint8Array",
    "int": "number",
    "long": "bigint",
    "double": "number",
    "nothing": "void",
}
# LuaJIT reads C, and takes a string for const pointers alone.
LUA = {
    "model": "tinhost_model *",
    "session": "tinhost_session *",
    "text": "const char *",
    "data": "const void *",
    "room": "void *",
    "int": "int32_t ",
    "long": "int64_t ",
    "size": "int64_t ",
    "double": "double ",
    "nothing": "void ",
}
CSHARP = {
    "model": "ModelHandle",
    "session": "SessionHandle",
    "text": "byte[]",
    "data": "byte[]",
    "room": "byte[]",
    "int": "int",
    "long": "long",
    "size": "long",
    "double": "double",
}
# Handles and texts come back as pointers: Tin.cs wraps the one and copies the other.
CSHARP_RESULT = CSHARP | {"model": "IntPtr", "session": "IntPtr", "text": "IntPtr", "nothing": "void"}


def _arguments(function: Function, types: dict[str, str], form: str) -> str:
    taken = function.takes if "size" in types else function.given
    return ", ".join(form.format(name=one.name, type=types[one.kind]) for one in taken)


def rust(interface: Interface, made: str) -> str:
    lines = [f"//! {made}\n", "use std::os::raw::{c_char, c_void};\n"]
    lines += [f"#[repr(C)]\npub struct {name} {{\n    _opaque: [u8; 0],\n}}\n" for name in ("Model", "Session")]
    lines.append('extern "C" {')
    for one in interface.functions:
        result = "" if one.result == "nothing" else f" -> {RUST[one.result]}"
        lines.append(f"    pub fn tinhost_{one.name}({_arguments(one, RUST, '{name}: {type}')}){result};")
    lines.append("}\n")
    lines += [f"pub const {name}: i32 = {value};" for name, value in interface.constants.items()]
    lines.append("\n/// What went wrong, as tin.h names it.")
    lines.append("#[derive(Clone, Copy, Debug, PartialEq, Eq)]\n#[repr(i32)]\npub enum Status {")
    for name, value, meaning in interface.errors:
        lines.append(f"    /// {meaning}\n    {name.capitalize()} = {value},")
    lines.append("}\n\nimpl Status {\n    pub(crate) fn of(code: i32) -> Status {\n        match code {")
    lines += [f"            {value} => Status::{name.capitalize()}," for name, value, _ in interface.errors[1:]]
    lines.append("            _ => Status::Argument,\n        }\n    }\n}")
    return "\n".join(lines) + "\n"


def java(interface: Interface, made: str) -> str:
    lines = [
        f"// {made}",
        "package tinsmith.runtime;\n",
        "import java.nio.ByteBuffer;\n",
        "final class Native {",
    ]
    lines.append("    private Native() {}\n")
    for one in interface.functions:
        arguments = _arguments(one, JAVA, "{type} {name}")
        lines.append(f"    static native {JAVA[one.result]} {one.camel}({arguments});")
    lines.append("")
    lines += [f"    static final int {name} = {value};" for name, value in interface.constants.items()]
    names = ", ".join(f'"{name}"' for name, _, _ in interface.errors)
    lines.append(f"\n    /** Of status -1, -2, … */\n    static final String[] STATUSES = {{{names}}};\n}}")
    return "\n".join(lines) + "\n"


def typescript(interface: Interface, made: str) -> str:
    lines = [f"// {made}", "// The addon's own face; index.d.ts has the one to use.\n"]
    lines += [
        f"export interface {name} {{ readonly __{name}: never }}" for name in ("ModelHandle", "SessionHandle")
    ]
    lines.append("\nexport interface Native {")
    for one in interface.functions:
        arguments = _arguments(one, TYPESCRIPT, "{name}: {type}")
        lines.append(f"  {one.camel}({arguments}): {TYPESCRIPT[one.result]};")
    lines.append("  /** On a thread of the pool. */")
    lines.append("  openLater(path: string, key: string): Promise<ModelHandle>;")
    lines.append("  stepLater(session: SessionHandle, budget_us: bigint): Promise<number>;")
    lines += [f"  readonly {name}: {value};" for name, value in interface.constants.items()]
    lines.append("  /** Of status -1, -2, … */\n  readonly STATUSES: readonly Status[];\n}\n")
    lines.append("export type Status = " + " | ".join(f'"{name}"' for name, _, _ in interface.errors) + ";")
    return "\n".join(lines) + "\n"


def browser(interface: Interface, made: str) -> str:
    lines = [f"// {made}", "// Function to [result, kinds of its arguments].\n", "export const FUNCTIONS = {"]
    for one in interface.functions:
        kinds = ", ".join(f'"{parameter.kind}"' for parameter in one.given)
        lines.append(f'  {one.camel}: ["tinhost_{one.name}", "{one.result}", [{kinds}]],')
    lines.append("};\n")
    lines += [f"export const {name} = {value};" for name, value in interface.constants.items()]
    names = ", ".join(f'"{name}"' for name, _, _ in interface.errors)
    lines.append(f"\n// Of status -1, -2, …\nexport const STATUSES = [{names}];")
    return "\n".join(lines) + "\n"


def lua(interface: Interface, made: str) -> str:
    lines = [f"-- {made}", "local DECLARATIONS = [["]
    lines += [f"typedef struct tinhost_{name} tinhost_{name};" for name in ("model", "session")]
    for one in interface.functions:
        arguments = _arguments(one, LUA, "{type}{name}")
        lines.append(f"{LUA[one.result]}tinhost_{one.name}({arguments});")
    lines.append(']]\nlocal STATUSES = {\n  [0] = "OK",')
    lines += [f'  [{value}] = "{name}",' for name, value, _ in interface.errors]
    lines.append("}\nlocal VALUES = {")
    lines += [f"  {name} = {value}," for name, value in interface.constants.items()]
    return "\n".join([*lines, "}"]) + "\n"


def csharp(interface: Interface, made: str) -> str:
    values = interface.constants.items()
    roles = [(name.removeprefix("ROLE_"), value) for name, value in values if name.startswith("ROLE_")]
    steps = [(name, value) for name, value in values if "_" not in name]
    finishes = [(name.removeprefix("FINISH_"), value) for name, value in values if name.startswith("FINISH_")]
    lines = [f"    // {made}", "    public enum TinStatus\n    {\n        Ok = 0,"]
    for name, value, meaning in interface.errors:
        lines.append(f"        /// {meaning}\n        {name.capitalize()} = {value},")
    lines.append("    }\n")
    for name, meaning, members in (
        ("TinRole", "Who a message is from.", roles),
        (
            "TinStep",
            "Result of a step: nothing new; a piece, more to come; the end; no answer under way.",
            steps,
        ),
        ("TinFinish", "Why an answer ended; None: it has not.", finishes),
    ):
        listed = ", ".join(f"{member.capitalize()} = {value}" for member, value in members)
        lines.append(f"    /// {meaning}\n    public enum {name} {{ {listed} }}\n")
    lines.append("    static partial class Native\n    {")
    for one in interface.functions:
        arguments = _arguments(one, _csharp_types(one), "{type} {name}").replace("byte[] out,", "byte[] @out,")
        lines.append("        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]")
        lines.append(
            f"        internal static extern {CSHARP_RESULT[one.result]} tinhost_{one.name}({arguments});"
        )
    return "\n".join([*lines, "    }"]) + "\n"


def _csharp_types(function: Function) -> dict[str, str]:
    """A handle that is being released is a bare pointer; so is a file that the model keeps using."""
    if function.name in ("close", "session_close"):
        return CSHARP | {"model": "IntPtr", "session": "IntPtr"}
    return CSHARP | {"data": "IntPtr"} if function.result == "model" else CSHARP
