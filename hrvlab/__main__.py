"""``python -m hrvlab``: run the command line."""

from hrvlab_command import main

main()
