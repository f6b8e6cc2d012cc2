"""tinsmith completion: bash, zsh and fish complete verbs, options, files and targets.

It is click's, but that bash offers folders beside files of some kinds.
"""

from __future__ import annotations

from click import shell_completion
from click.shell_completion import BashComplete, add_completion_class

from tinsmith.cli import COMPLETE, root
from tinsmith.cli._command import Args, argument
from tinsmith.cli._types import Word
from tinsmith.errors import InputError

HELP = "print the script by which a shell completes verbs, options, files and targets"
SECTION = "begin"
SHELLS = ("bash", "zsh", "fish")
PARAMETERS = [argument("shell", "SHELL", Word(SHELLS), help="bash, zsh or fish")]
# bash's own lists, where completion has no order to keep; it adds folders, and a slash after them.
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line
    while read -r line; do
        case $line in
            plain,*) COMPREPLY+=("${line#plain,}") ;;
            dir,*) compopt -o filenames -o plusdirs ;;
            file,*) compopt -o default ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")
}
complete -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class Bash(BashComplete):
    source_template = _BASH

    def source(self) -> str:
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """bash takes `--kv=f` for three words."""
        args, incomplete = super().get_completion_args()
        return [word for word in args if word != "="], incomplete


def run(args: Args) -> int:
    if args.shell not in SHELLS:
        raise InputError(f"{args.shell}: unknown shell; give one of {', '.join(SHELLS)}")
    return answer(f"{args.shell}_source")


def answer(instruction: str) -> int:
    """Prints what a shell asks for: `bash_source` or `bash_complete`."""
    return shell_completion.shell_complete(root(), {}, "tinsmith", COMPLETE, instruction)
