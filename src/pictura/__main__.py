"""`python -m pictura`: the same as the command `pictura`."""

from pictura.doors.cli import main

if __name__ == "__main__":
    main()
