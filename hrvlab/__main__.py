"""``python -m hrvlab`` is the command line."""

from hrvlab.cli import main

main()
