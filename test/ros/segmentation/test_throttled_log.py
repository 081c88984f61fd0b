from rsgmamba_ros.ros.segmentation.throttled_log import ThrottledLog

SECOND = 1_000_000_000


def test_a_repeated_fault_is_written_once_a_period_with_its_count():
    lines = []
    log = ThrottledLog(lines.append, period_s=10)
    for second in range(25):
        log.report('encoding', 'bad encoding', now_ns=second * SECOND)
    again = 'bad encoding (9 more since the last line)'
    assert lines == ['bad encoding', again, again]


def test_faults_do_not_silence_each_other():
    lines = []
    log = ThrottledLog(lines.append)
    log.report('a', 'first', now_ns=0)
    log.report('b', 'second', now_ns=0)
    assert lines == ['first', 'second']
