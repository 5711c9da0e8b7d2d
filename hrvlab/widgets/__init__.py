"""The explorer and other controls in JupyterLab, VS Code and Colab."""

from hrvlab.widgets.asking import asking_panel

__all__ = ["asking_panel"]
