# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is generated from the code is as the code is now; lists take no time."""

import json
import re
import subprocess
import sys

import pytest
import reference
import reference_pages
import yaml
from json_keys import SECTIONS, misfits
from reference_formats import GROUPS, unknown_metrics

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.algorithms.grbal import GrBALConfig
from mbmrl_ros.bundles.dynamics import BundleInfo
from mbmrl_ros.bundles.files import bundle_names, find_bundle, read_head, read_tensors
from mbmrl_ros.bundles.policy import PolicyInfo
from mbmrl_ros.cli.main import main
from mbmrl_ros.cli.parser import make_parser
from mbmrl_ros.cli.settings import rows_of
from mbmrl_ros.config import UserError
from mbmrl_ros.data.recordings import Manifest
from mbmrl_ros.spec.robot import RobotSpec

LIST = """
import sys
from mbmrl_ros.cli.main import main
assert main([{what!r}]) == 0
heavy = {{'torch', 'mujoco', 'numpy', 'scipy', 'matplotlib', 'rclpy'}} & set(sys.modules)
assert not heavy, heavy
"""


def test_generated_files_are_current():
    current = reference.files()
    there = {
        path
        for folder in (reference.REFERENCE, reference.SCHEMAS)
        for path in folder.rglob('*.*')
        if path.is_file()
    }
    assert there <= current.keys() | {reference.TOPICS}, 'python benchmarks/reference.py'
    for path, text in current.items():
        assert path.exists() and path.read_text() == text, (
            f'{path.name}: python benchmarks/reference.py writes it anew'
        )


@pytest.mark.parametrize('what', ['tasks', 'algorithms', 'robots', 'bundles', 'experiments'])
def test_a_list_imports_nothing_that_takes_seconds(what):
    subprocess.run([sys.executable, '-c', LIST.format(what=what)], check=True, timeout=60)


def test_lists_name_what_the_code_has(capsys):
    assert main(['algorithms']) == 0
    assert set(re.findall(r'^(\S+): ', capsys.readouterr().out, re.M)) == set(ALGORITHMS)
    assert main(['bundles']) == 0
    assert 'pr2_left_arm/reach/grbal: grbal for pr2_left_arm/reach' in capsys.readouterr().out


@pytest.mark.parametrize('record', [BundleInfo, PolicyInfo, Manifest])
def test_every_key_of_a_file_that_people_read_has_a_meaning(record):
    assert not [row.name for row in rows_of(record) if not row.meaning]


def test_what_shipped_bundles_hold_is_on_the_page():
    for folder in map(find_bundle, bundle_names()):
        head = read_head(folder)
        assert not unknown_metrics(head.metrics), folder
        groups = {name.partition('/')[0] for name in read_tensors(folder, head)}
        assert groups <= {name.partition('/')[0] for name in GROUPS}, folder


def test_every_command_with_json_has_its_keys_told():
    commands = {
        name.partition(' ')[0]
        for name, _, parser in reference_pages.commands(make_parser())
        if any('--json' in action.option_strings for action in parser._actions)
    }
    told = {re.split('[, ]', title)[0] for title in SECTIONS}
    assert commands == told | {'bag', 'bench'}


def test_a_key_without_a_meaning_of_another_type_or_missing_is_found():
    names = ('name', 'type', 'default', 'bounds', 'meaning', 'section', 'part')
    row = dict.fromkeys(names, '')
    assert not [*misfits('settings', {'algorithm': 'mb', 'settings': [row]})]
    row = {'part': 1, 'mood': 'good'} | dict.fromkeys(names[:5], '')
    found = [*misfits('settings', {'algorithm': 'mb', 'settings': [row]})]
    assert found == [
        'settings: settings[].part is no text: 1',
        'settings: settings[].mood has no meaning',
        'settings: there is no settings[].section',
    ]


def test_a_bundle_of_either_kind_says_what_it_is(tmp_path):
    head = {
        'format': 2, 'kind': 'policy', 'algorithm': 'promp', 'task': 't', 'robot': 'r',
        'robot_hash': '', 'interface': {}, 'training': {}, 'metrics': {}, 'min_std': 0.1,
    }  # fmt: skip
    (tmp_path / 'bundle.json').write_text(json.dumps(head))
    assert read_head(tmp_path).kind == 'policy'
    (tmp_path / 'bundle.json').write_text(json.dumps(head | {'kind': 'poem'}))
    with pytest.raises(UserError, match='damaged'):
        read_head(tmp_path)


def test_lists_show_what_is_in_a_file_of_ones_own(tmp_path, capsys):
    file = tmp_path / 'mine.yaml'
    task = {'reward': [{'term': 'alive'}], 'description': 'stand'}
    file.write_text(json.dumps({'extends': 'hopper.yaml', 'tasks': {'mine': task}}))
    assert main(['robots', '--robot', str(file)]) == main(['tasks', '--robot', str(file)]) == 0
    said = capsys.readouterr().out
    assert f'{file}: ' in said and f'hopper/mine: stand ({file})' in said


@pytest.mark.parametrize('name', ALGORITHMS)
def test_every_setting_of_an_algorithm_is_told_with_its_meaning(name):
    rows = list(rows_of(ALGORITHMS[name].Config))
    assert {re.split(r'[.\[]', row.name)[0] for row in rows} == set(
        ALGORITHMS[name].Config.model_fields
    )
    for row in rows:
        assert row.meaning, row.name
        assert row.part


def test_bounds_defaults_types_and_sections_are_those_of_the_record():
    rows = {row.name: row for row in rows_of(GrBALConfig)}
    validation = rows['validation_fraction']
    assert (validation.type, validation.default) == ('number', '0.1')
    assert validation.bounds == '> 0, <= 0.5'
    assert rows['step_size'].section == 'Table 6'
    assert rows['adapted_parameters'].type == 'all or input_scale'
    # Of the default's kind, with the default's values, which are not the kind's own.
    assert rows['control_planner.candidates'].default == '2500'
    assert rows['planner.kind'].type == 'mppi or random_shooting or cem'
    assert rows['planner.noise_of'].default == '"filter"'
    nested = {row.name: row for row in rows_of(RobotSpec)}
    assert nested['topics.<name>.timeout_s'].bounds == '> 0'
    assert nested['safety.deadline_s'].default == '(see meaning)'


def test_settings_are_printed_and_written(tmp_path, capsys):
    file = tmp_path / 'settings.json'
    assert main(['settings', 'promp', '--json', str(file)]) == 0
    said = capsys.readouterr().out
    assert 'kl_penalty = 0.0005   [number, >= 0]' in said
    written = json.loads(file.read_text())
    assert not [*misfits('settings', written)]
    assert written['algorithm'] == 'promp'
    assert {'name', 'type', 'default', 'bounds', 'meaning', 'section', 'part'} == set(
        written['settings'][0]
    )
    assert main(['settings', 'pormp']) == 2
    assert "did you mean 'promp'?" in capsys.readouterr().err


def test_schemas_for_editors_ask_for_nothing_and_refuse_unknown_keys():
    schema = json.loads((reference.SCHEMAS / 'robot.schema.json').read_text())
    assert schema['additionalProperties'] is False and 'extends' in schema['properties']
    assert 'required' not in json.dumps([schema, *schema['$defs'].values()]).replace(
        '"(required)"', ''
    )
    assert set(schema['properties']) == {'extends', *RobotSpec.model_fields}


def unknown_keys(value, schema, records):
    """Yield the keys of a file that its schema does not know."""
    if '$ref' in schema:
        schema = records[schema['$ref'].rsplit('/', 1)[1]]
    options = schema.get('anyOf', schema.get('oneOf'))
    if options:
        yield from min((list(unknown_keys(value, each, records)) for each in options), key=len)
    elif isinstance(value, list):
        for entry in value:
            yield from unknown_keys(entry, schema.get('items', {}), records)
    elif isinstance(value, dict):
        known, others = schema.get('properties', {}), schema.get('additionalProperties', {})
        for key, entry in value.items():
            if key not in known and others is False:
                yield key
            else:
                inner = known.get(key, others)
                yield from unknown_keys(entry, inner if isinstance(inner, dict) else {}, records)


def test_the_schema_knows_every_key_of_the_shipped_robots_and_no_other():
    schema = json.loads((reference.SCHEMAS / 'robot.schema.json').read_text())
    files = sorted((reference.ROOT / 'config' / 'robots').glob('*.yaml'))
    assert len(files) > 10
    for file in files:
        data = yaml.safe_load(file.read_text())
        assert not list(unknown_keys(data, schema, schema['$defs'])), file.name
        data['topics'] = {'odom': {'timeot_s': 1}}
        assert list(unknown_keys(data, schema, schema['$defs'])) == ['timeot_s']
