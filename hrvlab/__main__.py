"""``python -m hrvlab``: run the command line."""

from hrvlab.cli import main

main()
