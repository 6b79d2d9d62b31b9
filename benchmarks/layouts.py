# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write config/foxglove_layout.json and config/plotjuggler_layout.xml.

    python benchmarks/layouts.py

~/stats is one array: here its places get names.
"""

import json
from pathlib import Path
from xml.etree import ElementTree

from mbmrl_ros.nodes.controller.report import STATS

CONFIG = Path(__file__).resolve().parent.parent / 'config'
TOPIC = '/controller_node/stats'
# Title of a plot, and what is in it: names of STATS, and what a person calls them.
PLOTS = {
    'Prediction loss on the window': {
        'loss_before': 'as trained',
        'loss_after': 'as adapted',
    },
    'Time [s]': {
        'tick_s': 'tick',
        'adapt_s': 'adapting',
        'plan_s': 'planning',
        'latency_s': 'latency',
    },
    'Expected return of the plan': {'expected_return': 'expected return'},
    'Yes or no': {
        'adapted': 'model changed',
        'refused': 'change refused',
        'fallback': 'safe command instead of a plan',
    },
}
LATCHED = '/controller_node/followed_path'
PATHS = {
    LATCHED: '#ffffffff',
    '/controller_node/executed_track': '#ff9800ff',
    '/controller_node/optimal_path': '#2196f3ff',
}
CLOUD = '/controller_node/candidate_trajectories'


def foxglove() -> dict:
    """Return the layout: robot and plans on the left, plots on the right, diagnostics below."""
    topics = {
        topic: {'visible': True, 'type': 'line', 'lineWidth': 0.02, 'gradient': [colour, colour]}
        for topic, colour in PATHS.items()
    }
    topics[CLOUD] = {
        'visible': True, 'pointSize': 2, 'colorMode': 'colormap', 'colorField': 'return',
        'colorMap': 'turbo',
    }  # fmt: skip
    panels = {'3D!scene': {'followMode': 'follow-none', 'topics': topics, 'layers': {
        'grid': {'layerId': 'foxglove.Grid', 'visible': True, 'size': 10, 'divisions': 10},
        'urdf': {'layerId': 'foxglove.Urdf', 'visible': True, 'sourceType': 'topic',
                 'topic': '/robot_description'},
    }}}  # fmt: skip
    for number, (title, curves) in enumerate(PLOTS.items()):
        panels[f'Plot!{number}'] = {
            'title': title,
            'paths': [
                {'value': f'{TOPIC}.data[{STATS.index(name)}]', 'label': label, 'enabled': True,
                 'timestampMethod': 'receiveTime'}
                for name, label in curves.items()
            ],
            'showXAxisLabels': True, 'showYAxisLabels': True, 'showLegend': True,
            'legendDisplay': 'top', 'isSynced': True, 'followingViewWidth': 30,
        }  # fmt: skip
    panels['DiagnosticSummary!all'] = {'topicToRender': '/diagnostics', 'sortByLevel': True}
    plots = [f'Plot!{number}' for number in range(len(PLOTS))]
    left = {'direction': 'column', 'first': '3D!scene', 'second': 'DiagnosticSummary!all',
            'splitPercentage': 70}  # fmt: skip
    layout = {'direction': 'row', 'first': left, 'second': _stack(plots), 'splitPercentage': 50}
    return {
        'configById': panels, 'globalVariables': {}, 'userNodes': {},
        'playbackConfig': {'speed': 1}, 'layout': layout,
    }  # fmt: skip


def _stack(panels: list[str]) -> str | dict:
    if len(panels) == 1:
        return panels[0]
    return {'direction': 'column', 'first': panels[0], 'second': _stack(panels[1:]),
            'splitPercentage': 100 / len(panels)}  # fmt: skip


def plotjuggler() -> ElementTree.ElementTree:
    """Return the layout: one plot below the other; custom curves give the numbers names."""
    root = ElementTree.Element('root')
    window = ElementTree.SubElement(
        root, 'tabbed_widget', name='Main Window', parent='main_window'
    )
    tab = ElementTree.SubElement(window, 'Tab', tab_name='controller', containers='1')
    container = ElementTree.SubElement(tab, 'Container')
    sizes = ';'.join([f'{1 / len(PLOTS):g}'] * len(PLOTS))
    splitter = ElementTree.SubElement(
        container, 'DockSplitter', orientation='-', count=str(len(PLOTS)), sizes=sizes
    )
    snippets = ElementTree.Element('customMathEquations')
    colours = ('#1f6fb2', '#8c6d31', '#2e7d32', '#c62828')
    for title, curves in PLOTS.items():
        area = ElementTree.SubElement(splitter, 'DockArea', name=title)
        plot = ElementTree.SubElement(area, 'plot', mode='TimeSeries', style='Lines')
        ElementTree.SubElement(plot, 'limitY')
        for (name, label), colour in zip(curves.items(), colours):
            ElementTree.SubElement(plot, 'curve', name=label, color=colour)
            snippet = ElementTree.SubElement(snippets, 'snippet', name=label)
            ElementTree.SubElement(snippet, 'global')
            ElementTree.SubElement(snippet, 'function').text = 'return value'
            source = ElementTree.SubElement(snippet, 'linked_source')
            source.text = f'{TOPIC}/data[{STATS.index(name)}]'
    ElementTree.SubElement(window, 'currentTabIndex', index='0')
    root.append(snippets)
    ElementTree.indent(root)
    return ElementTree.ElementTree(root)


def main() -> None:
    """Write both files."""
    text = json.dumps(foxglove(), indent=2) + '\n'
    (CONFIG / 'foxglove_layout.json').write_text(text)
    plotjuggler().write(CONFIG / 'plotjuggler_layout.xml', 'utf-8', xml_declaration=True)


if __name__ == '__main__':
    main()
