from html import unescape
import re

from rsgmamba_ros.replay.report.page import CountsPart, FigurePart, LegendEntry, Panel, Report, StripPart, TablePart

NAME = '<b>bag & "co"</b>'
SUMMARY = {'bag': {'name': NAME, 'duration_s': 2.0}, 'mode': 'offline', 'checkpoint': {'name': NAME},
           'created': '2026-01-02T03:04:05+00:00'}


def written(tmp_path, *parts, **options):
    Report(SUMMARY, parts=parts, **options).write(tmp_path / 'report.html')
    return (tmp_path / 'report.html').read_text()


def test_names_from_bags_and_files_are_shown_as_text(tmp_path):
    text = written(
        tmp_path, TablePart(NAME, NAME, (NAME,), [(NAME,)]), CountsPart('counts', counts=[(NAME, 1)]),
        StripPart('strip', panels=[Panel(1.0, 0.5, NAME, {NAME: b'jpeg'})], legend=(LegendEntry('red', NAME),)),
        warnings=[NAME])
    assert '<b>bag' not in text
    # Page: title, heading, network, warning. Parts: title, note, column, cell, count, legend, row, picture.
    assert unescape(text).count(NAME) == 12


def test_a_figure_is_put_in_as_it_is(tmp_path):
    svg = '<svg><text>a &lt; b</text></svg>'
    assert svg in written(tmp_path, FigurePart('figure', svg=svg))


def test_columns_of_numbers_are_marked_and_a_table_without_rows_says_so(tmp_path):
    text = written(tmp_path, TablePart('full', names=('name', 'count'), rows=[('a', 1), ('b', '2.5 s'), ('c', '-')]),
                   TablePart('empty', names=('name',), otherwise='Nothing.'))
    assert re.findall('<td class="number">(.*?)</td>', text) == ['1', '2.5 s', '-']
    assert '<th>name</th><th class="number">count</th>' in text
    assert '<p>Nothing.</p>' in text


def test_a_modality_without_an_image_has_its_cell_in_the_strip(tmp_path):
    panels = [Panel(0.0, 0.5, '', {'rgb': b'a', 'depth': b''}), Panel(1.0, 0.5, '', {'rgb': b'b'})]
    text = written(tmp_path, StripPart('strip', panels=panels))
    assert text.count('<div class="none">no image</div>') == 2
    assert text.count('<img') == 2
