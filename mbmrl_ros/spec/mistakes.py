# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every mistake of a robot file in one go, and not only the first.

A record that cannot be read hides what is wrong elsewhere. So what is wrong is noted, mended by
the likeliest guess or left out, and read again; what follows from a guess alone is not reported.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from mbmrl_ros.config import Mistake, closest
from mbmrl_ros.spec.channels import TOPIC_RULE, is_topic
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.system.explain import explain

Place = tuple[str | int, ...]
# Each round mends something, or is the last one.
ROUNDS = 50
# What is told of its field and type elsewhere.
_OF_ACTION = ('the robot file commands', 'the unit of the action')
_NUMBERS = ('greater_than', 'less_than', 'finite_number', 'float', 'int')


class Rest(NamedTuple):
    """What could be made of a robot file.

    mistakes: all that is wrong in itself. spec: None if too little is left. original: from a place
    in the spec to that in the file, of which entries may have been left out. guessed_at: whether
    a mistake at a place of the spec, of a text, may come of a guess alone.
    """

    mistakes: list[Mistake]
    spec: RobotSpec | None
    original: Callable[[Place], Place]
    guessed_at: Callable[[Place, str], bool]


def read_leniently(data: Mapping[str, Any]) -> Rest:
    """Return all that is wrong with the data of a robot file, and what can be made of it."""
    mender = _Mender(data)
    mender.mend_topics()
    for _ in range(ROUNDS):
        inconsistent: list[Mistake] = []
        try:
            spec = RobotSpec.model_validate(mender.data, context=inconsistent)
        except ValidationError as error:
            if not mender.mend(error):
                break
            continue
        found = [
            Mistake(mender.original(place), text)
            for place, text in inconsistent
            if not mender.guessed_at(place, text)
        ]
        return Rest(mender.found + found, spec, mender.original, mender.guessed_at)
    return Rest(mender.found, None, mender.original, mender.guessed_at)


class _Mender:
    """Data of a robot file that gets more valid, and what was wrong with it.

    guesses: places that are no longer as in the file, and names of entries that were left out.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data: dict[str, Any] = copy.deepcopy(dict(data))
        self.found: list[Mistake] = []
        self._guesses: set[Place] = set()
        self._names: set[str] = set()
        self._left_out: dict[Place, list[int]] = {}

    def mend(self, error: ValidationError) -> bool:
        """Note what is wrong and mend it; return whether that could be done."""
        # Keys first: what else is wrong may come of them, and is told again.
        unknown = [each for each in error.errors() if each['type'] == 'extra_forbidden']
        errors = unknown or error.errors()
        # From the back: what is left out changes the places behind it.
        errors.sort(key=lambda each: [str(part).zfill(6) for part in each['loc']], reverse=True)
        mended = True
        for each in errors:
            place = self._place(each['loc'])
            at = self.original(place)
            if not self.guessed_at(place, ''):
                self.found.append(Mistake(at, explain(RobotSpec, each | {'loc': at})))
            if unknown:
                self._rename(place)
            else:
                mended = self._mend_one(each['type'], place, each) and mended
        return mended

    def mend_topics(self) -> None:
        """Rename a topic that nothing is of as the one that is named in its place, and not there.

        Else all that names it would be wrong, and the one wrong line right. Of one channel and one
        topic, the channel is wrong.
        """
        topics, state = self.data.get('topics'), self.data.get('state')
        if not isinstance(topics, dict) or not isinstance(state, list):
            return
        self._name_topics(topics, state)
        self._pair_topics(topics, state)

    def _pair_topics(self, topics: dict[Any, Any], state: list[Any]) -> None:
        named = Counter(
            each['topic']
            for each in state
            if isinstance(each, dict) and is_topic(each.get('topic'))
        )
        unused = [each for each in topics if each not in named]
        for topic in unused:
            missing = [name for name, times in named.items() if times > 1 and name not in topics]
            alike = difflib.get_close_matches(topic, missing, n=1)
            for meant in alike or (missing if len(missing) == len(unused) == 1 else []):
                text = (
                    f'no channel is of it, and {named[meant]} of {meant!r}, which is not listed; '
                    f'did you mean {meant!r}?'
                )
                self.found.append(Mistake(('topics', topic), text))
                topics[meant] = topics.pop(topic)
                self._guesses.add(('topics', meant))
        for topic in [name for name, times in named.items() if times > 1 and name not in topics]:
            valid = closest(topic, topics)
            text = f'{named[topic]} channels are of {topic!r}, which is not listed; {valid}'
            self.found.append(Mistake(('topics', topic), text))
            topics[topic] = {'type': 'nav_msgs/msg/Odometry', 'timeout_s': 1}
            self._guesses.add(('topics', topic))
            self._names.add(topic)

    def _name_topics(self, topics: dict[Any, Any], state: list[Any]) -> None:
        """Give topics that have no possible name, such as `1`, those that are missing, in order.

        One that channels name likewise gets any name.
        """
        of = [each.get('topic') for each in state if isinstance(each, dict)]
        of = [each for each in of if isinstance(each, Hashable)]
        missing = [str(each) for each in dict.fromkeys(of) if is_topic(each)]
        missing = [each for each in missing if each not in topics]
        unnamed = [each for each in topics if not is_topic(each)]
        # Of several, which is meant by which is a guess as well.
        self._names.update(missing if len(unnamed) > 1 else ())
        for topic in unnamed:
            used = topic in of
            meant = missing.pop(0) if missing and not used else f'topic_{len(self.found)}'
            hint = f'; did you mean {meant!r}?' if meant in of else ''
            text = f'got {topic!r}; {TOPIC_RULE}{hint}'
            self.found.append(Mistake(('topics', topic), text))
            topics[meant] = topics.pop(topic)
            self._guesses.add(('topics', meant))
            self._names.update((meant, str(topic)) if used else ())
            for place, each in enumerate(state):
                if isinstance(each, dict) and used and each.get('topic') == topic:
                    each['topic'] = meant
                    self._guesses.add(('state', place, 'topic'))

    def original(self, place: Place) -> Place:
        """Return where something stood in the file, before entries of lists were left out."""
        result: list[str | int] = []
        for depth, part in enumerate(place):
            if isinstance(part, int):
                for index in sorted(self._left_out.get(place[:depth], [])):
                    part += index <= part
            result.append(part)
        return tuple(result)

    def guessed_at(self, place: Place, text: str) -> bool:
        """Return whether a mistake at a place may come of a guess alone."""
        at = self.original(place)
        if any(at[: len(guess)] == guess or guess[: len(at)] == at for guess in self._guesses):
            return bool(at)
        # Numbers of one joint: what is guessed of its limit is no ground to blame its fallback.
        beside = {
            str(guess[-2])
            for guess in self._guesses
            if len(guess) == len(at) > 1 and (*guess[:-2], guess[-1]) == (*at[:-2], at[-1])
        }
        names = self._names | beside
        return any(re.search(rf'(?<!\w){re.escape(name)}(?!\w)', text) for name in names)

    def _rename(self, place: Place) -> None:
        """Give a key that nobody knows the name it was meant to have, or take it out."""
        *parent, key = place
        record, holder = record_at(tuple(parent)), self._at(tuple(parent))
        free = record.model_fields.keys() - holder.keys() if record else set()
        value = holder.pop(key)
        for meant in difflib.get_close_matches(str(key), free, n=1):
            holder[meant] = value

    def _mend_one(self, kind: str, place: Place, error: Any) -> bool:
        at = self.original(place)
        again = at in self._guesses
        self._guesses.add(at)
        if kind == 'literal_error' and not again:
            valid = re.findall(r"'([^']*)'", error['ctx']['expected'])
            alike = difflib.get_close_matches(str(error['input']), valid, 1)
            self._set(place, (alike or valid)[0])
            # Much is told of what has it at other places, by the name of that.
            if not alike and at[0] in ('action', 'topics'):
                self._names.update(_OF_ACTION if at[0] == 'action' else {str(at[-2])})
            return True
        if (
            kind in ('string_type', 'invalid_key', 'value_error')
            and not again
            and self._name(place)
        ):
            return True
        if kind.startswith(_NUMBERS) and not again:
            self._set(place, 1)
            if len(place) == 1:
                # Much is told of the period at other places.
                self._names.add(str(place[0]))
            return True
        return self._leave_out(place)

    def _name(self, place: Place) -> bool:
        """Make a name of what YAML took for a number, a switch or a date, of a key as well."""
        holder, last = self._at(place[:-1]), place[-1]
        if isinstance(holder, dict) and not isinstance(last, str):
            holder[str(last)] = holder.pop(last)
            self._guesses.add((*self.original(place[:-1]), str(last)))
            return True
        if place[:2] == ('action', 'joints'):
            # To leave one out would make its limits wrong.
            holder[last] = f'joint {last}'
            self._names.add(f'joint {last}')
            return True
        if isinstance(holder[last], (dict, list, type(None))):
            return False
        # A text is here because it cannot be a name.
        self._set(place, 'unnamed' if isinstance(holder[last], str) else str(holder[last]))
        return True

    def _leave_out(self, place: Place) -> bool:
        """Leave out the smallest part around a place that the file may do without."""
        for depth in range(len(place), 0, -1):
            parent, key = place[: depth - 1], place[depth - 1]
            record, holder = record_at(parent), self._at(parent)
            if record and (
                key not in record.model_fields or record.model_fields[key].is_required()
            ):
                continue
            origin = self.original(place[:depth])[-1]
            if isinstance(holder, dict) and key in holder:
                value = holder.pop(key)
            elif isinstance(holder, list) and isinstance(key, int) and key < len(holder):
                value = holder.pop(key)
                self._left_out.setdefault(parent, []).append(int(origin))
            else:
                continue
            self._guesses.add((*self.original(parent), origin if record is None else key))
            named = value.get('name') if isinstance(value, dict) else None
            if named or (record is None and isinstance(key, str)):
                self._names.add(str(named or key))
            return True
        return False

    def _place(self, location: Any) -> Place:
        """Return an error's place in the file, without what pydantic adds: kinds, `[key]`."""
        value: Any = self.data
        location = [part for part in location if part != '[key]']
        for depth, part in enumerate(location):
            inside = isinstance(value, list) and isinstance(part, int) and part < len(value)
            if not inside and not (isinstance(value, dict) and part in value):
                # A key that is missing is of a mapping.
                return tuple(location[: depth + isinstance(value, dict)])
            value = value[part]
        return tuple(location)

    def _at(self, place: Place) -> Any:
        value: Any = self.data
        for part in place:
            value = value[part]
        return value

    def _set(self, place: Place, value: Any) -> None:
        self._at(place[:-1])[place[-1]] = value


def record_at(place: Place) -> type[BaseModel] | None:
    """Return the record at a place of a robot file; None where there is a list or a mapping."""
    annotation: Any = RobotSpec
    for part in place:
        record = _record(annotation)
        if record is not None:
            field = record.model_fields.get(str(part))
            annotation = None if field is None else field.annotation
            continue
        arguments = [each for each in get_args(annotation) if each not in (str, type(None), ...)]
        annotation = arguments[-1] if arguments else None
    return _record(annotation)


def _record(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (dict, tuple, list):
        return None
    return next(filter(None, map(_record, get_args(annotation))), None)


def line_of(file: Path, place: Place) -> int:
    """Return the line where a place stands in a YAML file, or the nearest that is around it."""
    node, line = yaml.compose(file.read_bytes(), Loader=yaml.SafeLoader), 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = ((key, value) for key, value in node.value if key.value == str(part))
            key, node = next(pairs, (None, None))
            line = line if key is None else key.start_mark.line + 1
        elif (
            isinstance(node, yaml.SequenceNode)
            and isinstance(part, int)
            and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
