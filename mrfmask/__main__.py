"""``python -m mrfmask``, the same as the ``mrfmask`` command."""

from mrfmask.cli import main

if __name__ == "__main__":
    main()
