"""tinsmith adapters: the skills in a .tin."""

HELP = "the adapters in a .tin: list, add, remove, rename"
SECTION = "build"
