"""The device that a model is loaded onto, checked before anything is loaded."""

from __future__ import annotations

import torch

from hrvlab.errors import ModelError


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return a device that this machine has.

    Parameters
    ----------
    device : str or torch.device, optional
        By default the machine's accelerator (CUDA, MPS, …) if there is one, otherwise the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ModelError
        If this machine has no such device, or PyTorch was built without it.
    """
    found = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if device is None:
        return found
    there = "'cpu'" if found.type == "cpu" else f"'cpu' and {found.type!r}"
    try:
        wanted = torch.device(device)
        module = torch.get_device_module(wanted)
    except RuntimeError as error:
        raise ModelError(
            f"PyTorch {torch.__version__} has no device {str(device)!r} here; this machine has "
            f"{there}"
        ) from error
    if not module.is_available():
        raise ModelError(
            f"this machine has no {wanted.type!r} that PyTorch {torch.__version__} can use; it has "
            f"{there}"
        )
    count = module.device_count()
    if (wanted.index or 0) >= count:
        raise ModelError(
            f"there is no {str(wanted)!r}; this machine's are numbered from 0 to {count - 1}"
        )
    return wanted
