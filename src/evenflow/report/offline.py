"""One self-contained page: template, style, script, charts and Vega in a single offline file.

Everything that comes from outside is escaped by the template engine, and the page's own policy
lets the browser run the page's scripts alone, load nothing and connect to nowhere.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from evenflow.report.words import many, percent, printable, short

if TYPE_CHECKING:
    import altair
    from jinja2 import Environment


def offline_page(
    template: str,
    *,
    title: str,
    charts: Mapping[str, altair.LayerChart],
    versions: Mapping[str, str],
    **context: Any,
) -> str:
    """The page that ``template`` makes of ``context``.

    ``charts`` are drawn into the elements whose id is their key.
    """
    from jinja2.utils import htmlsafe_json_dumps
    from markupsafe import Markup

    from evenflow.report.charts import chart_spec, theme

    drawings = {
        "specs": {key: chart_spec(chart) for key, chart in charts.items()},
        "themes": {"light": theme("light"), "dark": theme("dark")},
    }
    vega, script = _vega(), _asset("page.js")
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            versions=versions,
            policy=_policy(vega, script),
            css=Markup(_asset("page.css")),
            vega=Markup(vega),
            script=Markup(script),
            charts=htmlsafe_json_dumps(drawings, allow_nan=False, separators=(",", ":")),
            **context,
        )
    )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("evenflow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=short, printable=printable, many=many, percent=percent)
    return environment


def _policy(*scripts: str) -> str:
    """A content security policy that allows these scripts and nothing else."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (resources.files("evenflow.report") / "templates" / name).read_text("utf-8")


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that offers ``vegaEmbed``."""
    import vl_convert

    from evenflow.report.charts.export import VEGA_LITE

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
