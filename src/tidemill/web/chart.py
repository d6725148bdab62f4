"""Charts, in the colours of the theme. What they show can be read as a table, too."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

from markupsafe import Markup
from nicegui import ui

from tidemill.web.marks import join, when
from tidemill.web.region import Region

#: Colours of series, variables of theme.css. They are told apart without colours, too: see the table below each.
_COLOURS = ("var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)", "var(--series-5)")
_FONT = "var(--font)"


@dataclasses.dataclass(frozen=True)
class Series:
    """Values, one for each time; None: not known. `colour`: a variable of theme.css, if it has a meaning."""

    name: str
    values: Sequence[float | None]
    colour: str = ""


class Chart:
    """A chart on a page."""

    def __init__(
        self,
        title: str,
        *,
        unit: str = "",
        kind: Literal["bar", "line"] = "bar",
        stacked: bool = False,
        height: int = 220,
    ) -> None:
        self._title, self._unit, self._kind, self._stacked = title, unit, kind, stacked
        self._chart = ui.echart({"series": []}, renderer="svg").classes("chart").style(f"height:{height}px")
        self._chart.props('aria-hidden="true"')
        self._table = Region()

    def show(self, times: Sequence[dt.datetime], series: Sequence[Series]) -> None:
        """Show these values. A text of others (a name of an event) may be a series' name: it is never run as code."""
        options = _options(times, series, self._kind, stacked=self._stacked)
        if self._chart.options != options:
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()
        self._table.show(self._as_table(times, series))

    def _as_table(self, times: Sequence[dt.datetime], series: Sequence[Series]) -> Markup:
        head = join(Markup('<th scope="col">{}</th>').format(one.name) for one in series)
        rows = join(
            Markup('<tr><th scope="row">{}</th>{}</tr>').format(
                when(time, plain=True),
                join(Markup('<td class="end">{}</td>').format(_said(one.values[index])) for one in series),
            )
            for index, time in reversed(list(enumerate(times)))
        )
        return Markup(
            '<details class="as-table"><summary>As a table</summary>'
            '<div class="table-scroll" tabindex="0" role="region" '
            'aria-label="{}"><table><caption class="unseen">{}{}</caption><thead><tr><th scope="col">Time</th>{}</tr>'
            "</thead><tbody>{}</tbody></table></div></details>"
        ).format(self._title, self._title, f" ({self._unit})" if self._unit else "", head, rows)


def _said(value: float | None) -> str:
    return "–" if value is None else f"{value:,.6g}" if value % 1 else f"{value:,.0f}"


def _options(times: Sequence[dt.datetime], series: Sequence[Series], kind: str, *, stacked: bool) -> dict[str, Any]:
    label = {"color": "var(--text-muted)", "fontFamily": _FONT, "fontSize": 12}
    return {
        "animation": False,
        "textStyle": {"fontFamily": _FONT},
        "color": list(_COLOURS),
        "title": {
            "show": all(value is None for one in series for value in one.values),
            "text": "Nothing is known yet",
            "left": "center",
            "top": "middle",
            "textStyle": {**label, "fontSize": 13, "fontWeight": 400},
        },
        "grid": {"left": 8, "right": 8, "top": 36 if len(series) > 1 else 16, "bottom": 4, "containLabel": True},
        "legend": {"show": len(series) > 1, "top": 0, "left": 0, "icon": "roundRect", "textStyle": label},
        "tooltip": {
            "trigger": "axis",
            "backgroundColor": "var(--surface-raised)",
            "borderColor": "var(--line)",
            "textStyle": {"color": "var(--text)", "fontFamily": _FONT, "fontSize": 13},
            "axisPointer": {"type": "shadow" if kind == "bar" else "line", "shadowStyle": {"color": "var(--hover)"}},
        },
        "xAxis": {
            "type": "time",
            "axisLabel": {**label, "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": "var(--line)"}},
            "axisTick": {"show": False},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "axisLabel": label,
            "splitNumber": 3,
            "splitLine": {"lineStyle": {"color": "var(--line-faint)"}},
        },
        "series": [_series(one, times, kind, index, stacked=stacked) for index, one in enumerate(series)],
    }


def _series(one: Series, times: Sequence[dt.datetime], kind: str, index: int, *, stacked: bool) -> dict[str, Any]:
    colour = one.colour or _COLOURS[index % len(_COLOURS)]
    made: dict[str, Any] = {
        "name": one.name,
        "type": kind,
        "data": [[int(time.timestamp() * 1000), value] for time, value in zip(times, one.values, strict=True)],
        "emphasis": {"disabled": True},
        "itemStyle": {"color": colour},
    }
    if stacked:
        made["stack"] = "all"
    if kind == "line":
        made |= {"showSymbol": False, "lineStyle": {"color": colour, "width": 2}}
    else:
        made |= {"barMaxWidth": 24, "itemStyle": {"color": colour, "borderRadius": [3, 3, 0, 0]}}
    return made


def chart(
    title: str,
    times: Sequence[dt.datetime],
    series: Sequence[Series],
    *,
    unit: str = "",
    kind: Literal["bar", "line"] = "bar",
    stacked: bool = False,
) -> Chart:
    """Show values over time here; `show` of what it gives changes them."""
    made = Chart(title, unit=unit, kind=kind, stacked=stacked)
    made.show(times, series)
    return made
