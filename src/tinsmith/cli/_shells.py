"""Completion in bash, zsh and fish: click's, but that bash offers folders beside files of some kinds."""

from __future__ import annotations

from click import shell_completion
from click.shell_completion import BashComplete, add_completion_class

from tinsmith.cli import _group
from tinsmith.cli._verbs import COMPLETE

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


def answer(instruction: str) -> int:
    """What a shell asks for in COMPLETE, such as `bash_complete`."""
    return shell_completion.shell_complete(_group.root(), {}, "tinsmith", COMPLETE, instruction)


def script(shell: str) -> str:
    """What the shell is to evaluate."""
    completer = shell_completion.get_completion_class(shell)
    assert completer is not None
    return completer(_group.root(), {}, "tinsmith", COMPLETE).source()
