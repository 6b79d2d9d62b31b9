# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: `mbmrl <command> --help`.

Wrong input is answered by one line and exit code 2; Ctrl-C ends with 130, SIGTERM with 143, and
what was written so far is whole. Where results go is looked at before anything else is done.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from mbmrl_ros.cli.parser import NODES, make_parser
from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.system.endings import UserError, begin_process, exit_code, interruptible
from mbmrl_ros.system.outputs import check_inputs_stay


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code. arguments: by default those of the process."""
    if arguments is None:
        begin_process()
        arguments = sys.argv[1:]
    return exit_code(lambda: _run(arguments), 'mbmrl')


def _run(arguments: list[str]) -> int:
    if arguments[:1] and arguments[0] in NODES:
        return _node(arguments[0], arguments[1:])
    parser = make_parser()
    if '_ARGCOMPLETE' in os.environ:
        _complete(parser)
    options = parser.parse_args(arguments)
    _check_inputs_stay(options)
    # What a command imports takes seconds; nothing is under way until it is called.
    command = options.command_of(options)
    with interruptible():
        return int(command(options) or 0)


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, which asks what may come next, and end the process."""
    import argcomplete

    from mbmrl_ros.cli.completion import add_names

    add_names(parser)
    argcomplete.autocomplete(parser)


def _check_inputs_stay(options: argparse.Namespace) -> None:
    """Refuse to write over what the command reads."""
    given = vars(options)
    names = ('data', 'robot', 'config', 'bundle', 'run_folder', 'bundles', 'start_from')
    inputs = [Path(given[name]) for name in names if given.get(name)]
    inputs += [*given.get('bags', []), *given.get('run_folders', [])]
    target = given.get('out') if options.command == 'report' else given.get('json')
    check_inputs_stay(target, inputs)
    folder, numbers = given.get('out'), given.get('json')
    if folder and numbers and folder.resolve() == numbers.resolve():
        raise UserError(f'--json and --out are both {folder}; choose another file')


def _node(name: str, arguments: list[str]) -> int:
    module = importlib.import_module(EXECUTABLES[NODES[name][0]])
    if name == 'sim' and '--viewer' in arguments:
        arguments = [argument for argument in arguments if argument != '--viewer']
        arguments += ['--ros-args', '-p', 'viewer:=true']
    return int(module.main(arguments))


if __name__ == '__main__':
    sys.exit(main())
