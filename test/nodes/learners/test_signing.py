# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who has the key is believed, nobody else; the key is only where its file is."""

import hashlib
import hmac
import os
import stat

import pytest
import torch
from safetensors.torch import save

from mbmrl_ros.cli.main import main
from mbmrl_ros.nodes.learners.mailbox import Mailbox
from mbmrl_ros.nodes.learners.parcels import Layout, Origin, Parcel, Version, message_of, unpack
from mbmrl_ros.nodes.learners.signing import Signature, read_signature

ORIGIN = Origin('hash', 'mb_mpo', 'half_cheetah/thesis')
WEIGHTS = {'params/w': torch.arange(6.0).view(2, 3)}
LAYOUT = Layout(WEIGHTS)
KEY = bytes(range(32))
OURS = Signature(KEY)


def packed(version=(1, 1), kind='policy'):
    return Parcel(kind, Version(*version), WEIGHTS, sent_s=1.0).pack(ORIGIN)


def reason(data, signature=OURS):
    found = unpack(data, 'policy', ORIGIN, LAYOUT, signature)
    return found if isinstance(found, str) else ''


def test_the_signature_is_hmac_sha256_over_all_that_was_packed():
    data = packed()
    signed = OURS.sign(data)
    assert signed == data + b'hmac-sha256:' + hmac.new(KEY, data, hashlib.sha256).digest()
    assert unpack(signed, 'policy', ORIGIN, LAYOUT, OURS).version == (1, 1)


def test_no_byte_can_be_changed_and_no_part_left_out():
    signed = OURS.sign(packed())
    for place in range(len(signed)):
        changed = bytearray(signed)
        changed[place] ^= 1
        assert 'signed' in reason(bytes(changed)), place
        assert 'signed' in reason(signed[:place]), place
    assert 'signed' in reason(signed + b'x')


def test_neither_kind_nor_version_can_be_another_one():
    signed = OURS.sign(packed((1, 5)))
    for old, new in ((b'"version":"1.5"', b'"version":"1.9"'), (b'"policy"', b'"models"')):
        assert old in signed and reason(signed.replace(old, new)).startswith('wrongly signed')
    # Rightly signed, and sent on the topic of something else.
    assert reason(OURS.sign(packed(kind='model'))) == 'it is no policy'


def test_both_sides_have_the_key_or_none_has():
    data = packed()
    assert reason(data) == 'not signed'
    assert reason(b'') == reason(b'hmac-sha256:') == 'not signed'
    assert reason(Signature(b'x' * 32).sign(data)).startswith('wrongly signed')
    none = Signature()
    assert none.sign(data) == data and reason(data, none) == ''
    assert reason(OURS.sign(data), none) == 'signed, and this node has no key_file'


def test_what_is_refused_is_counted_and_what_was_heard_before_is_not_heard_again():
    mailbox = Mailbox('policy', ORIGIN, LAYOUT, signature=OURS)
    old, new = OURS.sign(packed((1, 1))), OURS.sign(packed((1, 2)))
    assert mailbox.accept(message_of(old)) and mailbox.accept(message_of(new))
    for data in (old, packed((1, 3)), Signature(b'x' * 32).sign(packed((1, 3)))):
        assert mailbox.accept(message_of(data)) is None and mailbox.last_refusal
    assert mailbox.newest.version == (1, 2)
    assert sorted(mailbox.refused.values()) == [1, 1, 1]
    said = mailbox.values()
    assert said['policy.version'] == (1, 2) and any('not signed' in name for name in said)


def test_a_key_is_made_for_its_owner_only_and_never_over_another(tmp_path, capsys):
    path, other = tmp_path / 'key', tmp_path / 'other'
    old = os.umask(0)
    try:
        assert main(['key', str(path)]) == main(['key', str(other)]) == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_bytes()
    assert len(bytes.fromhex(key.decode())) == 32 and key != other.read_bytes()
    assert main(['key', str(path)]) == 2 and path.read_bytes() == key
    assert main(['key', str(tmp_path / 'no' / 'key')]) == 2
    text = ''.join(capsys.readouterr())
    assert key.decode().strip() not in text and 'is there already' in text
    signature = read_signature(str(path))
    assert signature.opened(read_signature(str(path)).sign(b'data')) == b'data'
    assert signature.opened(read_signature(str(other)).sign(b'data')) != b'data'
    assert key.decode().strip() not in repr(signature)


@pytest.mark.parametrize(
    ('content', 'mode', 'said'),
    [
        (b'k' * 32, 0o644, 'open to others (mode 0644)'),
        (b'k' * 32, 0o640, 'open to others (mode 0640)'),
        (b'', 0o600, 'holds 0 bytes'),
        (b'k' * 31 + b'\n\n', 0o600, 'holds 31 bytes'),
        (b'k' * 5000, 0o600, 'more than 4096 bytes'),
        (None, 0o600, 'No such file'),
        ('folder', 0o700, 'Is a directory'),
        ('pipe', 0o600, 'no plain file'),
    ],
)
def test_a_file_that_is_no_key_is_said_in_a_line_before_anything_starts(
    tmp_path, capsys, content, mode, said
):
    path = tmp_path / 'key'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir() if content == 'folder' else os.mkfifo(path)
    if path.exists():
        path.chmod(mode)
    arguments = ['train', 'mb_mpo', '--task', 'half_cheetah/thesis', '--asynchronous']
    out = tmp_path / 'run'
    assert main([*arguments, '--key-file', str(path), '--out', str(out)]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line and not out.exists()


def test_a_key_goes_with_asynchronous_trainings_only(capsys):
    assert main(['train', 'mb_mpo', '--task', 'half_cheetah/thesis', '--key-file', 'k']) == 2
    assert '--key-file goes with --asynchronous' in capsys.readouterr().err


def test_what_is_signed_is_still_no_more_than_tensors():
    assert reason(OURS.sign(save(WEIGHTS))).startswith('damaged')
