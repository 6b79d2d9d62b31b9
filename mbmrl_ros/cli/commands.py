# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a command imports, which takes seconds, once its arguments are known to be right."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from mbmrl_ros.cli.argument_types import Usual
from mbmrl_ros.system.endings import UserError
from mbmrl_ros.system.outputs import claimed

Command = Callable[[argparse.Namespace], Any]
"""Does what the options ask for; returns an exit code, or None where all is well."""


def demo(options: argparse.Namespace) -> Command:
    """Return the demo of what a robot does, or of how it learns."""
    if options.learn:
        return in_its_folder(options, 'demo', 'demo.learning', 'learn_command')
    return in_its_folder(options, 'demo', 'demo.run', 'demo_command')


def train(options: argparse.Namespace) -> Command:
    """Return a training; UserError on what does not go together."""
    if options.samplers and (options.asynchronous or options.data):
        raise UserError('--samplers goes without --asynchronous and --data')
    if options.key_file and not options.asynchronous:
        raise UserError('--key-file goes with --asynchronous')
    if options.priority and not options.asynchronous:
        raise UserError('--priority goes with --asynchronous')
    if options.data and options.asynchronous:
        raise UserError('--asynchronous collects by itself; leave out --data, or it')
    if options.data:
        return load('cli.recordings', 'train_on_recordings')
    if not options.task:
        raise UserError(
            'train needs --task TASK (see: mbmrl tasks) or --data DIR (see: mbmrl bag)'
        )
    if options.asynchronous:
        # Nobody asked for: as many as learners have that are to leave room for the robot.
        options.threads = 0 if isinstance(options.threads, Usual) else options.threads
        return load('nodes.learners.asynchronous', 'asynchronous_command')
    return load('cli.train_evaluate', 'train_command')


def evaluate(options: argparse.Namespace) -> Command:
    """Return an evaluation, on a task or on recordings. UserError if nothing is named."""
    if options.run_folder and options.bundle:
        raise UserError(f'evaluate takes RUN, {options.run_folder}, or --bundle, not both')
    options.bundle = options.run_folder or options.bundle
    if not options.bundle:
        raise UserError('evaluate needs RUN, a run folder, or --bundle (see: mbmrl bundles)')
    if options.step_size is not None and options.adaptation != 'dynamic_evaluation':
        raise UserError('--step-size goes with --adaptation dynamic_evaluation')
    if options.data and options.test != 'all':
        raise UserError('--test is of a task, and --data of recordings; leave one of them out')
    if options.figure and options.figure == options.json:
        raise UserError(f'--json and --figure are both {options.figure}; choose another file')
    if options.data:
        return load('cli.recordings', 'evaluate_on_recordings')
    return load('cli.train_evaluate', 'evaluate_command')


def experiment(options: argparse.Namespace) -> Command:
    """Return what works off experiments."""
    return load('cli.experiment', 'experiment_command')


def bag(options: argparse.Namespace) -> Command:
    """Return what makes a dataset of bags."""
    return in_its_folder(options, 'bag', 'cli.recordings', 'bag_command')


def bench(options: argparse.Namespace) -> Command:
    """Return a benchmark."""
    return load('cli.bench', 'bench_command')


def report(options: argparse.Namespace) -> Command:
    """Return what writes the page of a run, of several, or of experiments."""
    folders = options.run_folders
    if len(folders) > 1:
        from mbmrl_ros.reports.compare import write_comparison

        return lambda options: print(write_comparison(folders, options.out))
    from mbmrl_ros.experiments.report import is_experiment, write_report
    from mbmrl_ros.experiments.study_pages import has_studies, write_study_pages
    from mbmrl_ros.reports.run import write_run_report

    if has_studies(folders[0]):
        return lambda options: print(*write_study_pages(folders[0], options.out), sep='\n')
    write = write_report if is_experiment(folders[0]) else write_run_report
    return lambda options: print(write(folders[0], options.out))


def init(options: argparse.Namespace) -> Command:
    """Return what writes a robot file; torch and MuJoCo take seconds, so it says what it does."""
    print(f'reading {options.model} ...', flush=True)
    return load('cli.own_robot', 'init_command')


def lists(options: argparse.Namespace) -> Command:
    """Return what lists names."""
    return load('cli.lists', 'list_command')


def settings(options: argparse.Namespace) -> Command:
    """Return what lists the settings of an algorithm."""
    return load('cli.settings', 'settings_command')


def load(module: str, name: str) -> Command:
    """Import a function of the package by its module and name."""
    command: Command = getattr(importlib.import_module(f'mbmrl_ros.{module}'), name)
    return command


def in_its_folder(options: argparse.Namespace, who: str, module: str, name: str) -> Command:
    """Return a command that has its --out to itself, which is tried before anything is loaded."""
    with claimed(options.out, f'mbmrl {who}'):
        pass
    command = load(module, name)

    def run(options: argparse.Namespace) -> Any:
        with claimed(options.out, f'mbmrl {who}'):
            return command(options)

    return run
