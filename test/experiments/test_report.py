# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reports of made-up results have the right means, intervals, ratios and gaps."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.experiments import report
from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.jobs import Measurement, Selection
from mbmrl_ros.experiments.plots import PLOTS
from mbmrl_ros.experiments.report import budget_table, write_report
from mbmrl_ros.experiments.results import Results
from mbmrl_ros.experiments.short_tables import SHORT_TABLES
from mbmrl_ros.experiments.statistics import EDGES
from mbmrl_ros.experiments.studies import FIGURES
from mbmrl_ros.experiments.tables import TABLES

JOINT, LEG = 'half_cheetah/disabled_joint', 'ant/crippled_leg'
# Two training seeds, three episodes each.
RETURNS = {
    'mb_first': [[90, 100, 110], [90, 100, 110]],
    'grbal_first': [[120, 120, 120], [180, 180, 180]],
    'mb': [[90, 100, 110], [90, 100, 110]],
    'mb_de': [[50, 50, 50], [50, 50, 50]],
    'grbal': [[120, 120, 120], [180, 180, 180]],
    'mb_oracle': [[200, 200, 200], [200, 200, 200]],
}


def episodes_of(work, adapts):
    """Return three episodes, of which the second tells nothing about recovery."""
    risen = {'level': 0.2, 'rise': 2.0, 'steps': None, 'late': 1.8, 'peak': 5.0}
    calm = risen | {'rise': 1.1, 'steps': 9.0, 'late': 0.9}
    if work.test == 'undisturbed':
        return [{'trained': calm, 'adapted': calm}] * 3
    steps = (20.0, 40.0) if work.training.seed == 0 else (30.0, None)
    back = [risen | {'level': 0.1, 'steps': k, 'late': 1.1, 'peak': 4.0} for k in steps]
    first, last = back if adapts else (risen, risen)
    pairs = [(risen, first), (calm, calm), (risen, last)]
    return [{'trained': trained, 'adapted': adapted} for trained, adapted in pairs]


def result_of(work):
    """Return numbers as a measurement writes them."""
    returns = RETURNS[work.method][work.training.seed]
    adapts = work.method in ('grbal', 'grbal_first', 'mb_de')
    bins = [0] * (len(EDGES) - 1)
    errors = {
        name: {'episodes': [value] * 3, 'over_time': [value] * 20,
               'histogram': [*bins[:-1], 60]}
        for name, value in (('before', 0.5), ('after', 0.2 if adapts else 0.5))
    }  # fmt: skip
    far = {
        name: errors[name] | {'episodes': [value] * 3, 'over_time': [value] * 4}
        for name, value in (('before', 0.8), ('after', 0.6))
    }
    far |= {'first_moment': 32, 'block': 25, 'share_worse': 0.1}
    return {
        'environment_steps': 96000,
        'returns': returns,
        'returns_after': [value / 2 for value in returns],
        'loss_before_after_failure': 0.8,
        'loss_after_after_failure': 0.2,
        'past_steps': 32,
        'future_steps': 16,
        'plan_ms': 12.0,
        'planner': {'kind': 'mppi', 'candidates': 500, 'horizon': 20},
        'loss_after': errors['after']['episodes'][0],
        'fault_step': 333 if work.test == 'mid_run' else None,
        'recovery': {'step': 333, 'episodes': episodes_of(work, adapts)},
        'errors': {'first_moment': 32, 'block': 5, 'share_worse': 0.25, 'ahead': far, **errors},
        'adaptations_accepted': 30 if adapts else 0,
        'adaptations_refused': 10 if adapts else 0,
    }


def write_cells(folder, names, methods=tuple(RETURNS), tasks=(JOINT,)):
    chosen = Selection(tasks, (), (0, 1))
    for job in expand(names, chosen):
        work = job.work
        if not isinstance(work, Measurement) or work.method not in methods:
            continue
        path = folder / work.path
        path.parent.mkdir(parents=True, exist_ok=True)
        cell = {'command': job.command, 'seed': work.training.seed, 'settings': job.settings,
                'result': result_of(work)}  # fmt: skip
        path.write_text(json.dumps(cell))


@pytest.fixture
def plain_plots(monkeypatch):
    """Draw nothing, where it is about the text."""
    empty = dict.fromkeys(PLOTS, lambda figure, results: Figure(figsize=(1, 1)))
    monkeypatch.setattr(report, 'PLOTS', empty)


def rows(lines):
    """Return the cells of the tables' rows by their first two cells."""
    split = [[cell.strip() for cell in line.strip('| ').split('|')] for line in lines if line]
    return {tuple(row[:2]): row[2:] for row in split}


def table_of(tmp_path, name, **more):
    write_cells(tmp_path, [name], **more)
    figure = FIGURES[name]
    return TABLES[figure.draw](figure, Results(tmp_path))


def test_returns_are_normalised_to_the_oracle_and_to_mb(tmp_path):
    lines = table_of(tmp_path, 'generalisation')
    header = [cell.strip() for cell in lines[0].strip('| ').split('|')]
    assert header == ['return', 'MB', 'MB+DE', 'GrBAL', 'MB oracle']
    plain, oracle, mb = [
        line for line in lines if line.startswith('| half-cheetah joint, generalisation')
    ]
    # Both seeds have a mean of 100, though episodes differ.
    assert plain.split('|')[2].strip() == '100 ± 0 (2 seeds)'
    # Means of 120 and 180: a deviation of 30 sqrt 2, over sqrt 2, and t(1) is 12.706.
    assert plain.split('|')[4].strip() == '150 ± 381 (2 seeds)'
    assert oracle.split('|')[2].strip().startswith('0.50 (')
    # One of two seeds at 120 / 200, the other at 180 / 200: logarithms apart by log 1.5, so
    # 12.706 x log 1.5 / 2 = 2.576 about the mean, sqrt(0.6 x 0.9) = 0.7348.
    assert oracle.split('|')[4].strip() == '0.75 (0.06 to 9.66; 2 seeds)'
    assert oracle.split('|')[5].strip() == '1.00 (1.00 to 1.00; 2 seeds)'
    assert mb.split('|')[4].strip().startswith('1.50 (')


def test_where_the_oracle_earns_nothing_plain_returns_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setitem(RETURNS, 'mb_oracle', [[-10, 5, -10], [5, -10, 5]])
    write_cells(tmp_path, ['generalisation'])
    figure = FIGURES['generalisation']
    for axes in PLOTS[figure.draw](figure, Results(tmp_path)).axes:
        heights = [bar.get_height() for bar in axes.patches]
        assert heights and np.isfinite(heights).all()
        assert axes.get_ylabel() == 'return'


def test_a_bar_that_would_dwarf_the_others_is_cut_off_with_its_value(tmp_path, monkeypatch):
    monkeypatch.setitem(RETURNS, 'mb_de', [[3000, 3000, 3000], [3000, 3000, 3000]])
    write_cells(tmp_path, ['generalisation'])
    results = Results(tmp_path)
    plot = PLOTS['normalised'](FIGURES['generalisation'], results)
    for axes in plot.axes:
        heights = [bar.get_height() for bar in axes.patches]
        low = [height for height in heights if height < 10]
        # 3000 to the oracle's 200; the others are told apart below.
        assert sorted(set(heights) - set(low)) == [pytest.approx(15)]
        assert max(low) < axes.get_ylim()[1] < 3 * max(low)
        assert [text.get_text() for text in axes.texts] == ['15.0 >']


def test_a_method_that_the_first_panel_lacks_is_in_the_legend(tmp_path):
    write_cells(tmp_path, ['adaptation-error'], ('grbal', 'mb_de'))
    for path in tmp_path.rglob('mb_de/mid_run*'):
        path.unlink()
    plot = PLOTS['errors'](FIGURES['adaptation-error'], Results(tmp_path))
    first = {text.split(',')[0] for text in plot.axes[0].get_legend_handles_labels()[1]}
    assert first == {'GrBAL'}
    (legend,) = plot.legends
    assert {text.get_text().split(',')[0] for text in legend.get_texts()} == {'GrBAL', 'MB+DE'}


def test_without_an_oracle_there_is_nothing_to_normalise_to(tmp_path):
    lines = table_of(tmp_path, 'generalisation', methods=('mb', 'grbal'))
    found = [line for line in lines if line.startswith('| half-cheetah joint, generalisation')]
    assert found[1].split('|')[2:4] == [' - ', ' - ']


def test_errors_are_compared_before_and_after(tmp_path):
    lines = table_of(tmp_path, 'adaptation-error')
    found, far = rows(lines[: lines.index('')]), rows(lines[lines.index('') :])
    # In every episode 0.2 after 0.5: the ratio is certain.
    row = ['32, 16', '0.5000', '0.2000', '0.40 (0.40 to 0.40; 2 seeds)', '25 %']
    assert found['half-cheetah joint, generalisation', 'GrBAL'] == [*row, '-']
    assert found['half-cheetah joint, fast adaptation', 'GrBAL'] == [*row, '0.25']
    assert far['half-cheetah joint, generalisation', 'GrBAL'] == [
        '32, 16', '0.8000', '0.6000', '0.75 (0.75 to 0.75; 2 seeds)', '10 %'
    ]  # fmt: skip


def test_one_training_seed_has_no_interval_and_is_said_to_have_none(tmp_path):
    names = ['generalisation', 'adaptation-error', 'recovery', 'test-time', 'learning-curve']
    write_cells(tmp_path, names)
    for path in tmp_path.rglob('*_seed1.json'):
        path.unlink()
    results = Results(tmp_path)
    for name in names:
        figure = FIGURES[name]
        table = '\n'.join(TABLES[figure.draw](figure, results))
        assert '+-' not in table and not re.search(r'\d to \d.*seeds', table), name
        assert '95 %' not in table, name
        assert 'SD of episodes' in table, name
    plain, oracle, _ = [
        line for line in TABLES['normalised'](FIGURES['generalisation'], results)
        if line.startswith('| half-cheetah joint, generalisation')
    ]  # fmt: skip
    # 90, 100 and 110: deviation 10.
    assert plain.split('|')[2].strip() == '100 (SD of episodes 10)'
    assert oracle.split('|')[4].strip() == '0.60 (1 seed)'


def test_what_is_drawn_about_a_mean_says_what_it_is(tmp_path):
    write_cells(tmp_path, ['test-time', 'generalisation', 'learning-curve'])
    for path in tmp_path.rglob('grbal_first*/*_seed1.json'):
        path.unlink()
    for name in ('test-time', 'generalisation', 'learning-curve'):
        figure = FIGURES[name]
        plot = PLOTS[figure.draw](figure, Results(tmp_path))
        (note,) = plot.texts
        text = ' '.join(note.get_text().split())
        assert 't-interval over training seeds' in text
        assert 'standard deviation over its episodes' in text
        for axes in plot.axes:
            low, high = axes.get_ylim()
            assert np.isfinite([low, high]).all() and high > low


def test_episodes_that_ended_early_are_counted_in_the_page(tmp_path):
    write_cells(tmp_path, ['recovery'])
    for path in (tmp_path / 'cells').rglob('mb/*.json'):
        cell = json.loads(path.read_text())
        cell['result'] |= {'ended_early': 1, 'steps_done': [1000, 1000, 40]}
        path.write_text(json.dumps(cell))
    lines = Results(tmp_path).lines(FIGURES['recovery'])
    text = '\n'.join(budget_table(lines))
    # One of each of two seeds; of the other methods nobody knows.
    assert '| MB | 96000 | 0.27 | 0, 1 | 10 x 1000 | 2 | 500 x 20 |' in text
    assert '| MB+DE | 96000 | 0.27 | 0, 1 | 10 x 1000 | not counted | 500 x 20 |' in text


def blocks_of(lines):
    """Return the rows of each table."""
    text = '\n'.join(lines).strip()
    return [rows(part.splitlines()) for part in text.split('\n\n')]


def test_recovery_is_told_of_the_episodes_that_rose(tmp_path):
    back, worth, _, _ = blocks_of(table_of(tmp_path, 'recovery'))
    name = f'{JOINT}, mid_run'
    assert back['test', 'method'][2].startswith('steps until it is back')
    # Of six episodes 20, 30, 40 and never; the others, which did not rise, have levels of 0.2.
    assert back[name, 'GrBAL'] == [
        '0.1000 (0.2000)', '2 of 6', '30 (20 to 40)', '32', '50 % (0 %)', '25 % (100 %)',
        '4.00', '1.10 (1.80)', '-',
    ]  # fmt: skip
    assert back[name, 'MB'] == [
        '0.2000 (0.2000)', '2 of 6', 'never', '32', '0 % (0 %)',
        '100 % (100 %)', '5.00', '1.80 (1.80)', '-',
    ]  # fmt: skip
    # Means of seeds of 60 and 90, 12.706 x 15 about their mean, against 50.
    own, of_mb = worth[name, 'GrBAL']
    assert own == '75.00 ± 190.59 (2 seeds)' and of_mb.startswith('1.50 (')
    assert worth[name, 'MB'][1] == '1.00 (1.00 to 1.00; 2 seeds)'


def test_what_adapting_costs_is_told_of_episodes_without_a_fault(tmp_path):
    _, _, cost, chance = blocks_of(table_of(tmp_path, 'recovery'))
    name = f'{JOINT}, undisturbed'
    # MB+DE has 50 of MB's 100, 30 of 40 adaptations were accepted, errors are 0.2 of 0.5.
    total, of_mb, of_still, accepted, errors = cost[name, 'MB+DE']
    assert total == '50.00 ± 0.00 (2 seeds)' and of_mb == of_still and of_mb.startswith('0.50 (')
    assert (accepted, errors) == ('75.0 %', '0.40 (0.40 to 0.40; 2 seeds)')
    assert chance['test', 'method'][0] == 'no fault: said to have risen'
    assert chance[name, 'MB+DE'] == ['0 of 6', '9', '100 %', '0.90']


def test_cells_that_say_nothing_of_recovery_leave_dashes(tmp_path, plain_plots):
    write_cells(tmp_path, ['recovery'])
    for path in (tmp_path / 'cells').rglob('*.json'):
        cell = json.loads(path.read_text())
        if 'undisturbed' in path.name:
            cell['result']['recovery']['episodes'] = [None] * 3
        else:
            del cell['result']['recovery']
        path.write_text(json.dumps(cell))
    back, _, _, chance = blocks_of(TABLES['recovery'](FIGURES['recovery'], Results(tmp_path)))
    assert back[f'{JOINT}, mid_run', 'GrBAL'] == ['-', '-', '-', '32', *['-'] * 5]
    assert chance[f'{JOINT}, undisturbed', 'GrBAL'] == ['-'] * 4
    assert 'nan' not in write_report(tmp_path).read_text()


def test_variants_say_how_often_they_refused_to_adapt(tmp_path):
    lines = table_of(tmp_path, 'test-time')
    columns = [cell.strip() for cell in lines[0].strip('| ').split('|')]
    refused = [line.split('|')[1 + columns.index('adaptations refused')] for line in lines[2:]]
    # Of both training seeds together 60 of 80 were accepted, in either setting.
    assert refused == [' 25.0 % '] * 2 * len(FIGURES['test-time'].variants)
    lines = table_of(tmp_path, 'planners', methods=('mb_first',))
    assert lines[2].split('|')[1 + columns.index('adaptations refused')] == ' - '


def test_figures_become_a_page_with_plots_and_say_what_is_missing(tmp_path):
    # One figure for each kind of plot, on one task of four, without ReBAL and TRPO.
    names = ['adaptation-error', 'learning-curve', 'generalisation', 'test-time', 'recovery']
    assert {FIGURES[name].draw for name in names} == set(PLOTS)
    write_cells(tmp_path, names)
    page = tmp_path / 'docs' / 'adaptation.md'
    page.parent.mkdir()
    assert main(['report', str(tmp_path), '--out', str(page)]) == 0
    text = page.read_text()
    shown = re.findall(r'<!-- mbmrl report: (\S+) -->', text)
    assert set(shown) >= set(names)
    for name in shown:
        assert (page.parent / 'adaptation' / f'{name}.png').stat().st_size > 5000
    tables = (page.parent / 'adaptation' / 'tables.md').read_text()
    assert f'(adaptation/{shown[0]}.png)' in text and f'({shown[0]}.png)' in tables
    assert 'half-cheetah joint, fast adaptation: TRPO (first data), TRPO, ReBAL' in tables
    # 96000 steps of 0.01 s.
    assert (
        '| half_cheetah/disabled_joint | GrBAL | 96000 | 0.27 | 0, 1 | 10 x 1000 | not counted | '
        '500 x 20 |' in tables
    )
    assert 'nan' not in text + tables
    copied = list((page.parent / 'adaptation' / 'cells').rglob('*.json'))
    assert len(copied) == len(list((tmp_path / 'cells').rglob('*.json')))
    # From the copies alone, the same page again.
    again = write_report(page.parent / 'adaptation', page)
    assert again.read_text() == text
    assert (again.parent / 'adaptation' / 'tables.md').read_text() == tables


def test_a_block_goes_to_the_page_that_has_its_older_version(tmp_path, plain_plots):
    write_cells(tmp_path, ['recovery', 'test-time'])
    claim = tmp_path / 'adaptation' / 'recovery.md'
    claim.parent.mkdir()
    claim.write_text(
        '# It comes back\n\n<!-- mbmrl report: recovery -->\n<!-- end of recovery -->\n\nLimits.\n'
    )
    page = write_report(tmp_path)
    text = claim.read_text()
    assert text.startswith('# It comes back\n') and text.endswith('\n\nLimits.\n')
    # The plot lies beside the page of the claim.
    assert '](recovery.png)' in text and 'GrBAL' in text
    begins = [line for line in page.read_text().splitlines() if line.startswith('<!-- mbmrl')]
    assert '<!-- mbmrl report: recovery -->' not in begins
    assert '<!-- mbmrl report: test-time -->' in begins
    assert '## Steps after a fault' in (claim.parent / 'tables.md').read_text()


def test_a_page_has_a_column_for_each_method_or_variant_and_a_row_for_each_of_many(tmp_path):
    write_cells(tmp_path, ['data', 'planners', 'test-time', 'planner-sweep', 'learning-curve'])
    results = Results(tmp_path)
    short = {
        name: SHORT_TABLES[FIGURES[name].draw](FIGURES[name], results)
        for name in ('data', 'planners', 'test-time', 'planner-sweep', 'learning-curve')
    }
    assert short['planner-sweep'] == short['learning-curve'] == []
    assert (
        short['data'][0]
        == '| return | MB (first data) | GrBAL (first data) | MB | MB+DE | GrBAL |'
    )
    # GrBAL's means of training seeds are 120 and 180.
    grbal = rows(short['data'])['half-cheetah joint, generalisation', '100 ± 0 (2 seeds)'][3]
    assert grbal == '150 ± 381 (2 seeds)'
    assert short['planners'][0].endswith('| mppi | random_shooting | cem | mppi as swept |')
    # A head, and both tests.
    assert len(short['test-time']) == 2 + 2 * len(FIGURES['test-time'].variants)


def test_short_tables_have_the_numbers_of_the_long_ones(tmp_path):
    write_cells(tmp_path, ['adaptation-error', 'generalisation', 'recovery'])
    results = Results(tmp_path)
    for name in ('adaptation-error', 'generalisation', 'recovery'):
        figure = FIGURES[name]
        short, long = (
            {
                cell.strip()
                for line in tables[figure.draw](figure, results)
                for cell in line.split('|')
            }
            for tables in (SHORT_TABLES, TABLES)
        )
        numbers = {cell for cell in short if re.match(r'-?\d', cell)}
        assert len(numbers) >= 5 and numbers <= long, name


def test_what_a_person_wrote_stays(tmp_path, plain_plots):
    write_cells(tmp_path, ['recovery'])
    page = write_report(tmp_path)
    first = page.read_text()
    page.write_text(f'# My title\n\nWhy it is so.\n\n{first}\nThe end.\n')
    RETURNS['mb_de'][0][0] = 70
    try:
        write_cells(tmp_path, ['recovery', 'test-time'])
    finally:
        RETURNS['mb_de'][0][0] = 50
    text = write_report(tmp_path).read_text()
    assert text.startswith('# My title\n\nWhy it is so.\n') and 'The end.' in text
    assert text.count('<!-- mbmrl report: recovery -->') == 1
    assert '<!-- mbmrl report: test-time -->' in text.partition('The end.')[2]
    # (70 + 50 + 50) / 3 = 56.67 and 50, hence 12.706 x 3.333 about their mean.
    before = text.partition('The end.')[0]
    assert 'MB+DE | 53.33 ± 42.35 (2 seeds)' in before
    assert 'MB+DE | 50.00 ± 0.00' not in before


def test_quick_results_are_said_not_to_be_results(tmp_path, plain_plots):
    write_cells(tmp_path, ['recovery'])
    path = next((tmp_path / 'cells').rglob('*.json'))
    cell = json.loads(path.read_text())
    path.write_text(json.dumps(cell | {'command': cell['command'] + ' --quick'}))
    assert 'not a result' in write_report(tmp_path).read_text()


def test_a_folder_without_results_and_a_damaged_one_are_named(tmp_path):
    (tmp_path / 'cells').mkdir()
    with pytest.raises(UserError, match='holds no finished cell'):
        write_report(tmp_path)
    (tmp_path / 'cells' / 'one.json').write_text('{}')
    with pytest.raises(UserError, match=r'one\.json is not the result of a cell'):
        write_report(tmp_path)
