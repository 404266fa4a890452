"""Starts a server after ending what an earlier life of it left behind: `python -m evergreen.local.guard COMMAND`.

When a server's parent is killed hard, its child keeps the port and every restart fails; when supervisord is, all its
servers go on without it. Both are found by the program's name and the stack's mark in their environment.
"""

from __future__ import annotations

import os
import sys

from evergreen.local.processes import MARK, PROGRAM, end, marked


def main(command: list[str]) -> None:
    """End the leftovers of this program in this stack, and become the command."""
    mark, program = os.environ.get(MARK), os.environ.get(PROGRAM)
    if mark and program:
        ended = end(marked(mark, program), grace=2)
        if ended:
            print(f"evergreen: ended {ended} processes left over from an earlier {program}", flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
