"""Why a model could not be loaded: a hub that cannot be reached is told from a wrong name."""

from __future__ import annotations

from collections.abc import Iterator

OFFLINE = {"OfflineModeIsEnabled"}
GATED = {"GatedRepoError"}
UNKNOWN = {"RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError"}
UNREACHABLE = {"LocalEntryNotFoundError", "ConnectionError", "ConnectError", "gaierror"}


def explain_failure(source: str, error: BaseException) -> str:
    """Explain in one line why a model could not be loaded, and what would help.

    Parameters
    ----------
    source : str
        The folder or hub id.
    error : BaseException
        Raised by diffusers or transformers.

    Returns
    -------
    str
    """
    # By their names: they are wrapped in other errors, and come from several libraries.
    causes = {type(cause).__name__ for cause in _chain(error)}
    if causes & GATED:
        return (
            f"{source!r} is on the hub, but has to be unlocked: accept its terms there, and log in "
            "with `hf auth login`"
        )
    if causes & UNKNOWN:
        return (
            f"there is no {source!r} on the hub, or it is private: check the spelling, or log in "
            "with `hf auth login`"
        )
    if causes & OFFLINE:
        return (
            f"{source!r} is not in the cache of downloads, and HF_HUB_OFFLINE forbids to look for "
            "it on the hub: unset it, or give a folder"
        )
    if causes & UNREACHABLE:
        return (
            f"{source!r} is not in the cache of downloads, and the hub cannot be reached: connect "
            "to the network, or give a folder"
        )
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"cannot load {source!r}: {reason}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
