import hashlib

from rsgmamba_ros.replay.provenance import bag_fingerprint, config_sha256, file_sha256, machine, software


def test_the_hash_of_a_file_is_its_sha256(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / 'file').write_bytes(data)
    assert file_sha256(tmp_path / 'file') == hashlib.sha256(data).hexdigest()


def test_a_fingerprint_tells_bags_apart_by_content_size_and_name(tmp_path):
    data = bytearray(8 * 2**20)
    prints = set()
    for name, position in (('a', None), ('a', 0), ('a', len(data) - 1), ('b', None)):
        changed = bytearray(data)
        if position is not None:
            changed[position] = 1
        (tmp_path / name).write_bytes(changed)
        prints.add(bag_fingerprint(tmp_path / name))
    (tmp_path / 'a').write_bytes(data[:-1])
    prints.add(bag_fingerprint(tmp_path / 'a'))
    assert len(prints) == 5


def test_only_the_hash_of_the_whole_bag_sees_every_byte(tmp_path):
    data = bytearray(8 * 2**20)
    (tmp_path / 'bag').write_bytes(data)
    before = [bag_fingerprint(tmp_path / 'bag', whole=whole) for whole in (False, True)]
    data[100_000] = 1  # between two of the blocks
    (tmp_path / 'bag').write_bytes(data)
    after = [bag_fingerprint(tmp_path / 'bag', whole=whole) for whole in (False, True)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_the_hash_of_a_configuration_ignores_the_order_of_keys():
    assert config_sha256({'a': 1, 'b': [2]}) == config_sha256({'b': [2], 'a': 1}) != config_sha256({'a': 2, 'b': [2]})


def test_machine_and_software_are_described():
    assert machine()['processor']
    assert software()['numpy'][0].isdigit()
