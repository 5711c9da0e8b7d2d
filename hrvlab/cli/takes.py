"""Commands that take all options of a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import Field, fields
from functools import wraps
from typing import Annotated, Any

import typer

from hrvlab.cli.options import BatchSize, Device, Steps
from hrvlab.options import HELP

# Those that need more than a help; all others follow from their fields.
OWN: dict[str, Any] = {
    "device": Device,
    "steps": Steps,
    "batch_size": BatchSize,
    "guidance_scale": float | None,
    "height": int | None,
    "width": int | None,
    "lora": list[str] | None,
    "slicing": bool,
    "tiling": bool,
}


def takes(*, but: Collection[str] = (), **groups: type) -> Callable[..., Callable[..., Any]]:
    """Return a decorator by which a command takes the options of dataclasses.

    Parameters
    ----------
    but : collection of str
        Options that it does not take.
    **groups : type
        By the name of the command's parameter: `LoadOptions` or `GenerationOptions`, of which the
        command is called with an instance.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True)
        taken = {
            name: [one for one in fields(kind) if one.name not in but]
            for name, kind in groups.items()
        }
        parameters = [one for one in own.parameters.values() if one.name not in groups]
        parameters += [_parameter(one) for group in taken.values() for one in group]

        @wraps(command)
        def run(**given: Any) -> Any:
            for name, kind in groups.items():
                values = {one.name: given.pop(one.name) for one in taken[name]}
                given[name] = kind(**values)
            return command(**given)

        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _parameter(option: Field[Any]) -> inspect.Parameter:
    """Return the parameter of a command that sets a field."""
    kind = OWN.get(option.name, str if isinstance(option.default, str) else str | None)
    if getattr(kind, "__metadata__", None) is None:  # without an option of its own
        help = HELP[option.name]
        flag = f"--{option.name.replace('_', '-')}"
        kind = Annotated[kind, typer.Option(flag, help=f"{help[0].upper()}{help[1:]}.")]
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if option.default == () else option.default,
        annotation=kind,
    )
