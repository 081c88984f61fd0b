"""What a node says that cannot start, or that was started with a slip of the pen."""
from diagnostic_msgs.msg import DiagnosticArray


def test_an_autostart_that_fails_is_published_until_the_node_is_configured(start_process, listen):
    diagnostics = listen(DiagnosticArray, '/diagnostics')
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/failing', autostart=True,
                         checkpoint='/nowhere/net.safetensors')
    diagnostics.wait_for(2)
    status, = diagnostics.messages[-1].status
    assert (status.level, status.name) == (b'\x02', 'failing/segmentation: lifecycle')
    assert 'on_configure failed' in status.message and '/nowhere/net.safetensors' in status.message
    assert node.process.poll() is None
    assert node.stop() == 0


def test_an_autostart_that_fails_ends_the_process_with_status_1_if_wanted(start_process):
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/ending', autostart=True,
                         checkpoint='/nowhere/net.safetensors', exit_on_failure=True)
    assert node.process.wait(240) == 1
    assert 'segmentation_node: autostart: on_configure failed' in node.log_since()
    assert 'Traceback' not in node.log_since()


def test_a_parameter_that_is_not_known_is_named_with_the_nearest_one(start_process, tmp_path):
    file = tmp_path / 'robot.yaml'
    file.write_text('/**:\n  ros__parameters:\n    max_skew: 0.1\n    max_wait_s: 0.2\n')
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/typo', parameter_files=[file])
    log = node.wait_for_log('waiting to be configured')
    assert "the parameter 'max_skew' is unknown and ignored; did you mean 'max_skew_s'?" in log
    assert log.count('is unknown') == 1
    assert node.stop() == 0


def test_a_parameter_file_that_does_not_exist_is_named_and_status_1(start_process, tmp_path):
    node = start_process('rsgmamba_ros.ros.segmentation.node', namespace='/absent',
                         parameter_files=[tmp_path / 'absent.yaml'])
    assert node.process.wait(240) == 1
    assert 'absent.yaml' in node.log_since()
    assert 'Traceback' not in node.log_since()
