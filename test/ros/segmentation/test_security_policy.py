"""The SROS 2 policy names exactly what the node has."""
import runpy


def test_the_policy_is_what_a_running_node_asks_for(context, project_root):
    generator = runpy.run_path(str(project_root / 'docs' / 'update_security.py'))
    assert generator['policy'](generator['collected']()) == generator['PATH'].read_text(encoding='utf-8')
