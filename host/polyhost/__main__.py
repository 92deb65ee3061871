"""``python -m polyhost`` is the command line."""

from polyhost.cli.main import main

if __name__ == "__main__":
    main()
