"""The commands of hrvlab, with their options, as the command line has them."""

import typer

from hrvlab import cli


def commands():
    """List every command with each of its options and arguments."""
    group = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        for below, one in (inner or {None: command}).items():
            full = f"{name} {below}" if below else name
            for parameter in one.params:
                flag = parameter.param_type_name != "argument" and parameter.opts[0]
                if flag != "--help" and not getattr(parameter, "is_flag", False):
                    yield full, flag
