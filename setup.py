# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Install the package: by pip, and as ament_python by colcon."""

import os
from glob import glob

from setuptools import find_packages, setup

package_name = 'mbmrl_ros'

# ros2 run and launch look for executables in lib/<package>, where pip puts none: scripts/ holds
# one shim per console script. Under colcon the generated scripts take that place.
executables = (
    'mbmrl',
    'sim_node',
    'controller_node',
    'command_gate',
    'recorder_node',
    'player_node',
    'policy_learner_node',
    'model_learner_node',
    'collector_node',
    'trainer_node',
)


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """Return the data_files that keep the sub-folders of `folder` under share/mbmrl_ros."""
    return [
        (
            os.path.join('share', package_name, parent),
            [os.path.join(parent, file) for file in files],
        )
        for parent, _, files in sorted(os.walk(folder))
        if files
    ]


setup(
    name=package_name,
    version='0.1.0',
    description='Online adaptation of meta-learned dynamics models, for robots that run ROS 2',
    license='Apache-2.0',
    maintainer='the mbmrl_ros authors',
    maintainer_email='maintainers@example.com',
    packages=find_packages(include=[package_name, f'{package_name}.*']),
    package_data={package_name: ['py.typed', 'experiments/experiments.yaml']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{package_name}']),
        (f'share/{package_name}', ['package.xml']),
        (f'lib/{package_name}', [f'scripts/{name}' for name in executables]),
        (f'share/{package_name}/launch', sorted(glob('launch/*.launch.py'))),
        *tree('config'),
        *tree('bundles'),
        *tree('urdf'),
    ],
    entry_points={
        'console_scripts': [
            'mbmrl = mbmrl_ros.cli.entry:mbmrl',
            'sim_node = mbmrl_ros.cli.entry:sim_node',
            'controller_node = mbmrl_ros.cli.entry:controller_node',
            'command_gate = mbmrl_ros.cli.entry:command_gate',
            'recorder_node = mbmrl_ros.cli.entry:recorder_node',
            'player_node = mbmrl_ros.cli.entry:player_node',
            'policy_learner_node = mbmrl_ros.cli.entry:policy_learner_node',
            'model_learner_node = mbmrl_ros.cli.entry:model_learner_node',
            'collector_node = mbmrl_ros.cli.entry:collector_node',
            'trainer_node = mbmrl_ros.cli.entry:trainer_node',
        ],
    },
    python_requires='>=3.11',
    install_requires=[
        'argcomplete>=3.0',
        'jinja2>=3.1',
        'matplotlib>=3.7',
        'mcap>=1.2',
        'numpy>=1.26',
        'pydantic>=2.5',
        'pyyaml>=6.0',
        'rich>=13.0',
        'rosbags>=0.11',
        'safetensors>=0.4',
        'scipy>=1.11',
        'tensorboard>=2.14',
        'torch>=2.6',
        'tqdm>=4.66',
        'zstandard>=0.19',
    ],
    extras_require={
        # The simulator. gymnasium is there for its robot models.
        'sim': ['gymnasium>=1.0', 'mujoco>=3.3,<4'],
        # Points on a robot from its joint positions, for arms.
        'arm': ['pin>=2.7'],
        # Videos of demos.
        'video': ['av>=12.0'],
        # Model-free algorithms, which model-based ones are compared with.
        'baselines': ['sb3-contrib>=2.4'],
        # Experiments and rollouts on several machines.
        'ray': ['ray>=2.40'],
        # The site of the documents: mkdocs serve.
        'docs': ['mkdocs-material>=9.5,<10'],
        # rclpy and the messages as wheels, for machines without a ROS 2 installation. launch and
        # launch_ros have none (an unrelated project owns the name launch): package.xml has them.
        'ros': [
            'ros-builtin-interfaces',
            'ros-diagnostic-msgs',
            'ros-geometry-msgs',
            'ros-lifecycle-msgs',
            'ros-nav-msgs',
            'ros-rcl-interfaces',
            'ros-rclpy[fastrtps]',
            'ros-rosgraph-msgs',
            'ros-sensor-msgs',
            'ros-std-msgs',
            'ros-std-srvs',
            'ros-trajectory-msgs',
            'ros-visualization-msgs',
        ],
        'test': [
            'imageio',
            'mypy>=1.15',
            'pytest>=8.0',
            'pytest-xdist>=3.6',
            'pytorch_mppi>=0.8',
            'ray>=2.40',
            'ruff>=0.9',
            'setuptools>=64',
            'types-PyYAML',
            'types-tqdm',
        ],
    },
    zip_safe=False,
)
