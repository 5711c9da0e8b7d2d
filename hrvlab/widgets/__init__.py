"""The explorer in JupyterLab, VS Code and Colab."""
