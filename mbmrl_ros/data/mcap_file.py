# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MCAP files, whole or damaged, from their begin to their end.

The index is not used: a recorder that was killed leaves none, and what it says need not be true.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mcap.exceptions import EndOfFile
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import CRCValidationError, StreamReader, get_chunk_data_stream

from mbmrl_ros.data.contents import Contents, full_type, is_latched, one_line

_NO_TYPE = 'of a type that is not said'
# Opcode and length of a chunk, then its times, size, checksum, and the length of a name.
_CHUNK_HEAD = struct.Struct('<BQQQQII')


def read_mcap(path: Path, contents: Contents) -> None:
    """Read the messages of a file, up to where it is damaged."""
    with path.open('rb') as file:
        scan = _Scan(contents)
        for record in _summary(file):
            scan.take(record)
        file.seek(0)
        # No record is longer than the file; a damaged length must not cost memory.
        size = path.stat().st_size
        reader = StreamReader(file, emit_chunks=True, validate_crcs=True, record_size_limit=size)
        after = len(b'\x89MCAP0\r\n')
        try:
            for record in reader.records:
                scan.take(record)
                after = file.tell()
        except CRCValidationError:
            contents.damage.append('the checksum of its data is wrong: values may have changed')
        except Exception as error:  # of bytes that are no record: errors of all kinds
            at_end = isinstance(error, EndOfFile) or file.tell() >= size
            contents.damage.append(
                'it has no end (the recorder was killed or still writes, or it was cut)'
                if at_end
                else f'nothing can be read behind byte {after} of {size}: {one_line(error)}'
            )
            scan.take_all(_start_of_chunk(file, after))
        scan.close()


def _summary(file: BinaryIO) -> Iterator[McapRecord]:
    """Yield the schemas and channels that a whole file repeats at its end.

    The chunk that they first stood in may be damaged.
    """
    summary = None
    with contextlib.suppress(Exception):  # no summary, or a damaged one
        summary = SeekingReader(file).get_summary()
    if summary is not None:
        yield from summary.schemas.values()
        yield from summary.channels.values()


def _start_of_chunk(file: BinaryIO, offset: int) -> bytes:
    """Return the records in a chunk that the end of the file cuts, if they can be read."""
    file.seek(offset)
    head = file.read(_CHUNK_HEAD.size)
    if len(head) < _CHUNK_HEAD.size or head[0] != Opcode.CHUNK:
        return b''
    *_, named = _CHUNK_HEAD.unpack(head)
    # Eight bytes say how long the records are; of compressed ones a part is of no use.
    return b'' if named else file.read()[8:]


class _Scan:
    """Takes records; knows the channels so far."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._types: dict[int, str] = {}
        self._channels: dict[int, Channel] = {}
        self._damaged: Counter[str] = Counter()

    def take(self, record: McapRecord) -> None:
        """Take a record, or those in a chunk."""
        if isinstance(record, Message):
            self._message(record)
        elif isinstance(record, Chunk):
            self._chunk(record)
        elif isinstance(record, Schema):
            self._types[record.id] = full_type(record.name)
        elif isinstance(record, Channel):
            self._channels[record.id] = record
            self._contents.declare(record.topic, self._types.get(record.schema_id, _NO_TYPE))
            if is_latched(record.metadata.get('offered_qos_profiles', '')):
                self._contents.latched.add(record.topic)

    def take_all(self, records: bytes) -> bool:
        """Take records up to the first that is damaged; return whether that was all of them."""
        stream, taken = io.BytesIO(records), 0
        reader = StreamReader(stream, skip_magic=True, record_size_limit=len(records))
        # In a chunk there is no footer, so the end is an error too.
        with contextlib.suppress(Exception):
            for record in reader.records:
                self.take(record)
                taken = stream.tell()
        return taken == len(records)

    def close(self) -> None:
        """Say what was damaged."""
        for reason, count in self._damaged.items():
            self._contents.damage.append(f'{count} of its chunks {reason}')

    def _message(self, message: Message) -> None:
        channel = self._channels.get(message.channel_id)
        if channel is None:
            self._contents.refused['messages of a topic that was lost with its description'] += 1
            return
        kind = self._types.get(channel.schema_id, _NO_TYPE)
        encoding = channel.message_encoding or 'cdr'
        self._contents.add(channel.topic, kind, message.log_time, message.data, encoding)

    def _chunk(self, chunk: Chunk) -> None:
        try:
            stream, size = get_chunk_data_stream(chunk, validate_crc=True)
        except CRCValidationError:
            self._damaged['were left out: a wrong checksum, so values have changed'] += 1
            return
        except Exception as error:  # of zstandard and lz4: whatever they say of damaged bytes
            self._damaged[f'cannot be unpacked: {one_line(error)}'] += 1
            return
        if not self.take_all(stream.read(size)):
            self._damaged['end in the middle of a message'] += 1
