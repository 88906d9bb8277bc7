"""python -m rlready.cli: the command line without its entry point."""

from rlready.cli import main

if __name__ == "__main__":
    main()
