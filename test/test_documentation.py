"""Links and file names in the documents exist; the path of the data reads the same everywhere; tables are generated."""
from pathlib import Path
import pkgutil
import re
import runpy

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'rsgmamba_ros'
PAGES = sorted(path for pattern in ('*.md', 'docs/*.md', 'rsgmamba_ros/checkpoints/*.md')
               for path in ROOT.glob(pattern))
#: Documents whose text names files; a changelog also names those of the past.
TEXTS = [*PAGES, *sorted(ROOT.glob('config/**/*.yaml')), *sorted(ROOT.glob('launch/*.py')), *sorted(ROOT.glob('msg/*'))]
DATA_PATH = ('topics -> synchronisation -> preprocessing -> '
             'network (encoders -> reliability -> fusion -> decoder -> late fusion) -> postprocessing -> topics')
CHANGE_GROUPS = ('Added', 'Changed', 'Fixed', 'Figures')
LINK = re.compile(r'\[([^\]]*)\]\(([^)\s]+)\)')


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r'^#+ (.*)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def data_path_of(page: Path) -> str:
    """The line of the page that describes the path of the data, with its links."""
    return next(line for line in page.read_text(encoding='utf-8').splitlines()
                if LINK.sub(r'\1', line).startswith('topics ->') or line.startswith('topics ->'))


@pytest.mark.parametrize('page', PAGES, ids=short)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for _, link in LINK.findall(page.read_text(encoding='utf-8')):
        if '://' in link:
            continue
        name, _, anchor = link.partition('#')
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('page', TEXTS, ids=short)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """Names with a folder, such as `pipeline/segmenter.py`, from the root, the package or the page."""
    folders = (ROOT, PACKAGE, page.parent)
    text = re.sub(r'https?://\S+', '', page.read_text(encoding='utf-8'))
    names = re.findall(r'(?<![\w/.{}-])((?:[\w-]+/)+[\w.-]+\.(?:py|md|yaml|xml|json|rviz|cpp|msg|png))\b', text)
    made = ('out/', 'build/')
    missing = [name for name in names
               if not name.startswith(made) and not any((folder / name).exists() for folder in folders)]
    assert missing == []


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md'])
def test_the_path_of_the_data_is_linked_word_for_word(page: str) -> None:
    line = data_path_of(ROOT / page)
    assert LINK.sub(r'\1', line) == DATA_PATH
    words = re.split(r' -> | \(|\)', DATA_PATH)
    assert [text for text, _ in LINK.findall(line)] == [word for word in words if word]


def test_the_path_of_the_data_in_the_package_names_its_files() -> None:
    text = ' '.join((PACKAGE / 'pipeline' / '__init__.py').read_text(encoding='utf-8').split())
    assert DATA_PATH in text
    named = dict(re.findall(r'- ([a-z ]+): ([\w/.]+)', text))
    for word in set(re.split(r' -> | \(|\)', DATA_PATH)) - {''}:
        assert (PACKAGE / named[word].rstrip('.,')).exists(), word


def test_the_readme_and_contributing_link_the_same_places() -> None:
    assert LINK.findall(data_path_of(ROOT / 'README.md')) == LINK.findall(data_path_of(ROOT / 'CONTRIBUTING.md'))


def test_the_table_of_parameters_is_what_the_generator_writes() -> None:
    pytest.importorskip('rclpy')
    page = (ROOT / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    assert page == runpy.run_path(str(ROOT / 'docs' / 'update_parameters.py'))['updated'](page)


def test_the_changelog_is_what_catkin_reads() -> None:
    """The release tools turn `Forthcoming` into a version and read bullet lists; they drop headings below a version."""
    changelog = pytest.importorskip('catkin_pkg.changelog')
    text = (ROOT / 'CHANGELOG.rst').read_text(encoding='utf-8')
    released = text.replace('Forthcoming\n-----------', '0.0.0 (2000-01-01)\n------------------')
    parsed = changelog.populate_changelog_from_rst(changelog.Changelog('rsgmamba_ros'), released)
    versions = list(parsed.foreach_version())
    assert versions
    for _, _, content in versions:
        lines = [line for item in content for line in str(item).splitlines()]
        groups = [line.removeprefix('* ').strip() for line in lines if line.startswith('* ')]
        assert groups == [group for group in CHANGE_GROUPS if group in groups]
        assert sum(line.strip().startswith('* ') for line in lines) > len(groups)


def test_every_page_is_in_the_site_and_every_entry_of_the_site_is_a_page() -> None:
    named = re.findall(r'^  - .*: ([\w.]+\.md)$', (ROOT / 'mkdocs.yml').read_text(encoding='utf-8'), re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in (ROOT / 'docs').glob('*.md'))


def test_every_public_name_of_the_api_page_exists() -> None:
    for name in re.findall(r'^::: ([\w.]+)$', (ROOT / 'docs' / 'api.md').read_text(encoding='utf-8'), re.MULTILINE):
        assert pkgutil.resolve_name(name), name


def test_every_python_package_that_rosdep_knows_is_in_the_manifest() -> None:
    """Names of rosdistro's rosdep/python.yaml in August 2026, which has none for apsw, lz4, mcap and some more."""
    keys = {'jinja2': 'python3-jinja2', 'matplotlib': 'python3-matplotlib', 'numpy': 'python3-numpy',
            'opencv-python-headless': 'python3-opencv', 'pyyaml': 'python3-yaml', 'rich': 'python3-rich',
            'rosbags': 'python3-rosbags-pip', 'tqdm': 'python3-tqdm'}
    unknown = {'apsw', 'lz4', 'mcap', 'safetensors', 'zstandard', 'torch'}  # Ubuntu's torch is too old
    required = set(re.findall(r'^([\w-]+)[=>]', (ROOT / 'requirements.txt').read_text(encoding='utf-8'), re.MULTILINE))
    assert required == {*keys, *unknown}
    manifest = (ROOT / 'package.xml').read_text(encoding='utf-8')
    assert [key for key in keys.values() if f'<exec_depend>{key}</exec_depend>' not in manifest] == []
