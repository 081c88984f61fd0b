"""Video topics: packets become images in their order; what gives no image is counted with the reason."""
from fractions import Fraction
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from rosbags.typesys import get_types_from_msg

from rsgmamba_ros.cli.main import main
from rsgmamba_ros.data.bags.reader import BagReader
from rsgmamba_ros.data.bags.topics import find_topics
from rsgmamba_ros.data.bags.writer import BagWriter
from rsgmamba_ros.data.messages import video
from rsgmamba_ros.data.messages.definitions import typestore
from rsgmamba_ros.data.messages.serialised_images import COMPRESSED_VIDEO_TYPE, FFMPEG_PACKET_TYPE
from rsgmamba_ros.vocabulary.decoding import Decoding
from rsgmamba_ros.vocabulary.images import Modality

av = pytest.importorskip('av')

COUNT, SIZE = 12, (48, 64)
START_NS = 1_700_000_000_000_000_000
FIELDS = {
    COMPRESSED_VIDEO_TYPE: 'builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n',
    FFMPEG_PACKET_TYPE: 'std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n'
                        'bool is_bigendian\nuint8[] data\n'}
ENCODERS = {'h264': 'libx264', 'h265': 'libx265'}


def scene(index):
    ramp = np.linspace(30, 220, SIZE[1], dtype=np.uint8)[None].repeat(SIZE[0], axis=0)
    return np.stack([np.roll(ramp, 2 * index, axis=1), ramp[:, ::-1], np.full_like(ramp, 10 * index)], axis=2)


def packets(codec, **options):
    context = av.CodecContext.create(ENCODERS[codec], 'w')
    context.width, context.height, context.pix_fmt = SIZE[1], SIZE[0], 'yuv420p'
    context.time_base = Fraction(1, 10)
    context.options = {'tune': 'zerolatency', 'preset': 'ultrafast', 'g': '6', **options}
    found = []
    for index in range(COUNT):
        frame = av.VideoFrame.from_ndarray(scene(index), format='rgb24')
        frame.pts = index
        found += [bytes(packet) for packet in context.encode(frame)]
    return found + [bytes(packet) for packet in context.encode(None)]


def write(path, message_type, codec, data, *, frame_id='camera'):
    store = typestore()
    if message_type not in store.types:
        store.register(get_types_from_msg(FIELDS[message_type], message_type))
    time_type, header_type = (store.types[name] for name in ('builtin_interfaces/msg/Time', 'std_msgs/msg/Header'))
    with BagWriter(path) as bag:
        for index, packet in enumerate(data):
            stamp_ns = START_NS + index * 10**8
            stamp, payload = time_type(*divmod(stamp_ns, 10**9)), np.frombuffer(packet, np.uint8)
            if message_type == COMPRESSED_VIDEO_TYPE:
                message = store.types[message_type](timestamp=stamp, frame_id=frame_id, data=payload, format=codec)
            else:
                message = store.types[message_type](
                    header=header_type(stamp=stamp, frame_id=frame_id), width=SIZE[1], height=SIZE[0],
                    encoding=ENCODERS[codec], pts=index, flags=0, is_bigendian=False, data=payload)
            bag.write('/camera/video', message_type, message, received_ns=stamp_ns)
            bag.write_image('/depth/image', np.full(SIZE, 900 + index, np.uint16), encoding='16UC1', stamp_ns=stamp_ns,
                            received_ns=stamp_ns)
    return path


@pytest.fixture(params=list(ENCODERS))
def codec(request):
    try:
        av.codec.Codec(ENCODERS[request.param], 'w')
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f'this PyAV has no encoder {ENCODERS[request.param]}')
    return request.param


@pytest.mark.parametrize('frame_id', ['', 'camera', 'front_camera_optical'])
@pytest.mark.parametrize('message_type', FIELDS)
def test_every_packet_becomes_the_image_of_its_stamp(tmp_path, codec, message_type, frame_id):
    with BagReader(write(tmp_path / 'bag', message_type, codec, packets(codec), frame_id=frame_id)) as bag:
        topics = find_topics(bag, auxiliary=Modality.DEPTH, named={})
        assert topics == {'/camera/video': Modality.RGB, '/depth/image': Modality.DEPTH}
        images = [image.decode() for image in bag.images({'/camera/video': Modality.RGB})]
        heads = [head.stamp_ns for head in bag.headers({'/camera/video': Modality.RGB})]
        assert bag.is_whole
    assert heads == [image.stamp_ns for image in images] == [START_NS + index * 10**8 for index in range(COUNT)]
    for index, image in enumerate(images):
        assert (image.encoding, image.frame_id) == ('rgb8', frame_id)
        assert np.abs(image.pixels.astype(int) - scene(index)).mean() < 8


def test_packets_before_the_first_key_image_are_counted(tmp_path):
    path = write(tmp_path / 'bag', COMPRESSED_VIDEO_TYPE, 'h264', packets('h264')[3:])
    with BagReader(path) as bag:
        count = sum(1 for _ in bag.images({'/camera/video': Modality.RGB}))
        assert count == COUNT - 6
        assert count + bag.lost == COUNT - 3
        assert all(cause.startswith('/camera/video: video of format') for cause in bag.skipped)


def test_without_pyav_the_video_is_named_and_a_sync_only_replay_needs_none(tmp_path, capsys):
    path = write(tmp_path / 'bag', COMPRESSED_VIDEO_TYPE, 'h264', packets('h264'))
    with patch.object(video, '_pyav', return_value=None):
        with BagReader(path) as bag:
            assert list(bag.images({'/camera/video': Modality.RGB})) == []
            (cause, count), = bag.skipped.items()
        assert (count, cause) == (COUNT, "/camera/video: video of format 'h264' needs PyAV: pip install av")
        assert main(['replay', str(path), '--sync-only', '--out', str(tmp_path / 'out')]) == 0
    assert f'{COUNT} bundles, 0 of {COUNT}' in capsys.readouterr().out


def test_another_codec_is_named(tmp_path):
    with BagReader(write(tmp_path / 'bag', COMPRESSED_VIDEO_TYPE, 'h264', packets('h264'))) as bag:
        packet, = bag.first_images('/camera/video', 1)
        assert packet.encoding == 'rgb8'
    with pytest.raises(video.ImageError, match="format 'vp9' is not read"):
        video.VideoDecoder().decode(video.replace(packet, encoding='vp9'))


def test_a_video_of_hostile_size_is_refused(tmp_path):
    path = write(tmp_path / 'bag', COMPRESSED_VIDEO_TYPE, 'h264', packets('h264'))
    with BagReader(path, decoding=Decoding(max_image_pixels=1000)) as bag:
        assert list(bag.images({'/camera/video': Modality.RGB})) == []
        assert bag.lost == COUNT


def test_damaged_packets_are_images_or_counted(tmp_path):
    rng, data = np.random.default_rng(0), packets('h264')
    for index, packet in enumerate(data):
        changed = np.frombuffer(packet, np.uint8).copy()
        changed[rng.integers(0, len(changed), 3)] = rng.integers(0, 256)
        data[index] = changed[:rng.integers(1, len(changed) + 1)].tobytes()
    with BagReader(write(tmp_path / 'bag', COMPRESSED_VIDEO_TYPE, 'h264', data)) as bag:
        count = sum(image.decode().pixels.shape == (*SIZE, 3) for image in bag.images({'/camera/video': Modality.RGB}))
        assert count + bag.lost == COUNT


def test_a_grey_video_is_a_thermal_image(tmp_path):
    path = write(tmp_path / 'bag', COMPRESSED_VIDEO_TYPE, 'h264', packets('h264'))
    grey = np.repeat(cv2.cvtColor(scene(3), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    with patch(f'{__name__}.scene', return_value=grey):
        path = write(tmp_path / 'grey', COMPRESSED_VIDEO_TYPE, 'h264', packets('h264'))
    with BagReader(path) as bag:
        images = [image.decode() for image in bag.images({'/camera/video': Modality.THERMAL})]
    assert len(images) == COUNT
    assert np.abs(images[-1].pixels.astype(int) - grey[..., 0]).mean() < 8
