"""python -m rlready.pipelines.cli: the command line without its entry point."""

from rlready.pipelines.cli.parser import main

if __name__ == "__main__":
    main()
