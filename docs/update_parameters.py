"""Write the table of the node's parameters into docs/parameters.md: `python docs/update_parameters.py`."""
from pathlib import Path

from rsgmamba_ros.pipeline.node_settings import NodeParameter, PARAMETERS

PAGE = Path(__file__).with_name('parameters.md')
BEGIN = '<!-- begin: docs/update_parameters.py -->\n'
END = '<!-- end -->\n'


def table() -> str:
    """The node's parameters as a Markdown table, in the order of `PARAMETERS`."""
    rows = [_row(name, parameter) for name, parameter in PARAMETERS.items()]
    return '\n'.join(['| parameter | default | values | meaning |', '|---|---|---|---|', *rows]) + '\n'


def updated(page: str) -> str:
    """The page with the table between the two markers replaced by the present one."""
    before, rest = page.split(BEGIN)
    return f'{before}{BEGIN}{table()}{END}{rest.split(END)[1]}'


def _row(name: str, parameter: NodeParameter) -> str:
    star = ' *' if parameter.at_run_time else ''
    return f'| `{name}`{star} | `{_as_yaml(parameter.default)}` | {_values(parameter)} | {parameter.description} |'


def _as_yaml(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value or '""'
    return '.nan' if value != value else str(value)


def _values(parameter: NodeParameter) -> str:
    if parameter.choices:
        return ', '.join(f'`{choice}`' for choice in parameter.choices)
    if parameter.limits:
        return f'{parameter.limits[0]:g} to {parameter.limits[1]:g}'
    return {bool: '`true`, `false`', str: 'text'}.get(type(parameter.default), 'number')


if __name__ == '__main__':
    PAGE.write_text(updated(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
