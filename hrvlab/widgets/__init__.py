"""Interactive controls for JupyterLab."""

from hrvlab.widgets.browser import attention_browser
from hrvlab.widgets.steering import steering_panel

__all__ = ["attention_browser", "steering_panel"]
