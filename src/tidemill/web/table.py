"""Tables that sort, filter and page on the server. How a table stands is in the page's URL, so it can be shared."""

from __future__ import annotations

import dataclasses
import functools
import json
import urllib.parse
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from markupsafe import Markup
from nicegui import ui

from tidemill import paging
from tidemill.errors import ConfigError
from tidemill.web import live as following
from tidemill.web import visit
from tidemill.web.icons import icon
from tidemill.web.marks import empty as nothing
from tidemill.web.marks import join
from tidemill.web.numbers import whole
from tidemill.web.region import Act, Region

if TYPE_CHECKING:
    from tidemill.app import App

Row = TypeVar("Row")

#: Rows on a page of a table.
LIMIT = 50
_MOST_TEXT = 200
#: Of a button that does nothing now; a `disabled` one would lose the focus.
_OFF = Markup(' aria-disabled="true"')


@dataclasses.dataclass(frozen=True)
class Column(Generic[Row]):
    """A column. `cell`: what stands in it, a mark or a text; `sort`: it can be sorted by; `end`: numbers stand at the
    end; `wide`: on a narrow screen it is left out; `costly`: a cell may be large: it is made in the thread that fetches
    the rows, and knows nothing of the page."""

    key: str
    title: str
    cell: Callable[[Row], str | Markup]
    sort: bool = False
    end: bool = False
    wide: bool = False
    costly: bool = False


@dataclasses.dataclass(frozen=True)
class Filter:
    """A choice above a table. `choices`: values and what they are called; none: a text is searched for, or with `kind`
    "date" a day."""

    key: str
    title: str
    choices: tuple[tuple[str, str], ...] = ()
    kind: str = "search"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What of a table is wanted. `cursor`: where the page begins, as `Page.next` had it; empty: at the beginning."""

    sort: str = ""
    descending: bool = False
    filters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cursor: str = ""
    limit: int = LIMIT

    def __getitem__(self, key: str) -> str:
        """A filter's value; empty if there is none."""
        return self.filters.get(key, "")

    @property
    def wanted(self) -> paging.Wanted:
        """Which page that is, as a service has it."""
        return paging.Wanted(self.cursor or None, self.limit, ("-" if self.descending else "") + self.sort)


@dataclasses.dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows of a table. `next`: the cursor of the next page; `total`: how many there are, where that is known; `made`:
    the cells of costly columns, by the column's key."""

    rows: Sequence[Row]
    next: str = ""
    total: int | None = None
    made: Mapping[str, Sequence[str | Markup]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, found: paging.Page[Row]) -> Page[Row]:
        """A page of a service."""
        return cls(found.items, found.next or "")


class Table(Generic[Row]):
    """A table on a page; see `table`."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        fetch: Callable[[App, Asked], Page[Row]],
        *,
        caption: str,
        filters: Sequence[Filter] = (),
        empty: Markup | None = None,
        row_key: Callable[[Row], object] | None = None,
        on_act: Act | None = None,
        sort: str = "",
        limit: int = LIMIT,
        name: str = "",
    ) -> None:
        self._columns, self._fetch, self._caption, self._filters = columns, fetch, caption, filters
        self._empty = nothing("Nothing here yet", "") if empty is None else empty
        self._row_key, self._on_act, self._limit, self._name = row_key, on_act, limit, name
        self._before: list[str] = []
        self._leave: Callable[[], None] | None = None
        self._sort = sort
        #: Nothing is shown that comes by itself.
        self.paused = False
        found = dict(ui.context.client.request.query_params)
        own = {name + key for key in ("sort", "from", *(one.key for one in filters))}
        #: What else the URL has, such as the tab.
        self._others = {key: value for key, value in found.items() if key not in own}
        self.asked = self._from_url(found)
        self.page: Page[Row] = Page(())
        self._client = ui.context.client
        self._looks = self._looks_again = False
        self._following: tuple[Hashable, float] | None = None
        self._followed: Asked | None = None
        self._region = Region(on_act=self._acted).classes("table")

    def _from_url(self, found: Mapping[str, str]) -> Asked:
        """How the page's URL has it; what is not known there counts for nothing."""
        sort = found.get(f"{self._name}sort", self._sort)
        key = sort.removeprefix("-")
        if key not in {column.key for column in self._columns if column.sort}:
            key, sort = "", ""
        given = {one.key: found.get(self._name + one.key, "")[:_MOST_TEXT] for one in self._filters}
        filters = {
            one.key: given[one.key]
            for one in self._filters
            if given[one.key] and (not one.choices or given[one.key] in dict(one.choices))
        }
        cursor = found.get(f"{self._name}from", "")[:1_000]
        return Asked(key, sort.startswith("-"), filters, cursor, self._limit)

    async def refresh(self) -> None:
        """Ask anew, and show it. However often that is wanted, there is one look at a time, and one more after it."""
        self._looks_again = True
        if self._looks:
            return
        self._looks = True
        try:
            while self._looks_again and not self._client.is_deleted:
                self._looks_again = False
                asked = self.asked
                if self._following is not None and asked != self._followed:
                    await self.follow(*self._following)
                else:
                    self.show(await visit.call(functools.partial(self._found, asked=asked)))
        finally:
            self._looks = False

    def _found(self, app: App, asked: Asked) -> Page[Row]:
        """A page; the first, if the URL has a place that this list does not have any more."""
        try:
            page = self._fetch(app, asked)
        except ConfigError as error:
            if error.code != "cursor_invalid":
                raise
            page = self._fetch(app, dataclasses.replace(asked, cursor=""))
        made = {one.key: [one.cell(row) for row in page.rows] for one in self._columns if one.costly}
        return dataclasses.replace(page, made=made) if made else page

    async def follow(self, key: Hashable, every: float = 2.0) -> None:
        """Show what changes by itself. Who looks at the same part of the same table shares the look."""
        self._following = (key, every)
        asked = self._followed = self.asked
        whole = (key, asked.sort, asked.descending, tuple(sorted(asked.filters.items())), asked.cursor)

        def show(page: Page[Row]) -> None:
            if self.asked == asked and not self.paused:
                self.show(page)

        if self._leave is not None:  # what was looked at before is not asked for any more
            self._leave()
        self._leave = await following.live(whole, lambda app: self._found(app, asked), show, every=every)

    def show(self, page: Page[Row]) -> None:
        """Show these rows."""
        self.page = page
        self._region.show(self._rendered())

    async def _acted(self, act: str, value: str) -> None:
        asked = self.asked
        if act.startswith("field:") and (key := act.removeprefix("field:")) in {one.key for one in self._filters}:
            filters = {**asked.filters, key: value[:_MOST_TEXT]}
            self.asked = self._from_url(self._params(dataclasses.replace(asked, filters=filters, cursor="")))
            self._before.clear()
        elif act == "sort":
            self.asked = self._from_url(
                {**self._params(dataclasses.replace(asked, cursor="")), self._name + "sort": value}
            )
            self._before.clear()
        elif act == "next" and self.page.next:
            self._before.append(asked.cursor)
            self.asked = dataclasses.replace(asked, cursor=self.page.next)
        elif act == "back" and asked.cursor:
            self.asked = dataclasses.replace(asked, cursor=self._before.pop() if self._before else "")
        elif act in {"next", "back"}:
            return  # there is nothing more
        elif act == "clear":
            self.asked = dataclasses.replace(asked, filters={}, cursor="")
        else:
            if self._on_act is not None:
                done = self._on_act(act, value)
                if done is not None:
                    await done
            return
        url = json_text(self._url(self.asked))
        ui.run_javascript(f"history.replaceState(history.state, '', {url})")
        await self.refresh()

    def _params(self, asked: Asked) -> dict[str, str]:
        """What the URL has of a table."""
        found = {self._name + key: value for key, value in asked.filters.items() if value}
        if asked.sort:
            found[f"{self._name}sort"] = ("-" if asked.descending else "") + asked.sort
        if asked.cursor:
            found[f"{self._name}from"] = asked.cursor
        return found

    def _url(self, asked: Asked) -> str:
        params = {**self._others, **self._params(asked)}
        return "?" + urllib.parse.urlencode(params) if params else visit.current().path

    def _rendered(self) -> Markup:
        bar = self._bar()
        if not self.page.rows and not self.asked.filters and not self.asked.cursor:
            return self._empty
        if not self.page.rows:
            clear = Markup('<button type="button" class="button button-plain" data-act="clear">Show all</button>')
            return bar + nothing("Nothing matches", "No row is as the filters want it.", clear, "search")
        head = join(map(self._head, self._columns))
        body = join(self._row(number, row) for number, row in enumerate(self.page.rows))
        return bar + Markup(
            '<div class="table-scroll cards" tabindex="0" role="region" aria-label="{}"><table role="table">'
            '<caption class="unseen">{}</caption><thead role="rowgroup"><tr role="row">{}</tr></thead>'
            '<tbody role="rowgroup">{}</tbody></table></div>{}'
        ).format(self._caption, self._caption, head, body, self._foot())

    def _bar(self) -> Markup:
        fields = join(map(self._field, self._filters))
        return Markup('<div class="table-bar">{}</div>').format(fields) if fields else Markup()

    def _field(self, one: Filter) -> Markup:
        value, name = self.asked[one.key], f"{self._name}filter-{one.key}"
        if one.kind == "date":
            return Markup(
                '<label class="day"><span>{}</span><input id="{}" type="date" data-field="{}" value="{}"></label>'
            ).format(one.title, name, one.key, value)
        if not one.choices:
            return Markup(
                '<label class="search">{}<span class="unseen">{}</span><input id="{}" type="search" data-field="{}" '
                'placeholder="{}" value="{}" autocomplete="off" spellcheck="false"></label>'
            ).format(icon("search", 16), one.title, name, one.key, one.title, value)
        options = join(
            Markup('<option value="{}"{}>{}</option>').format(each, Markup(" selected") if each == value else "", title)
            for each, title in (("", f"{one.title}: all"), *one.choices)
        )
        return Markup(
            '<label><span class="unseen">{}</span><select id="{}" data-field="{}">{}</select></label>'
        ).format(one.title, name, one.key, options)

    def _head(self, column: Column[Row]) -> Markup:
        classes = _classes(column)
        if not column.sort:
            title = column.title or Markup('<span class="unseen">Actions</span>')
            return Markup('<th scope="col" role="columnheader"{}>{}</th>').format(classes, title)
        is_by, down = self.asked.sort == column.key, self.asked.descending
        wanted = column.key if not is_by or down else f"-{column.key}"
        order = Markup(' aria-sort="{}"').format("descending" if down else "ascending") if is_by else Markup()
        sign = icon("down" if down else "up", 14) if is_by else Markup()
        return Markup(
            '<th scope="col" role="columnheader"{}{}><button type="button" data-act="sort" data-value="{}">{}{}'
            "</button></th>"
        ).format(classes, order, wanted, column.title, sign)

    def _row(self, number: int, row: Row) -> Markup:
        made = self.page.made
        cells = join(
            Markup('<td role="cell"{} data-title="{}"><div>{}</div></td>').format(
                _classes(one), one.title, made[one.key][number] if one.key in made else one.cell(row)
            )
            for one in self._columns
        )
        key = Markup(' data-key="{}"').format(self._row_key(row)) if self._row_key else Markup()
        return Markup('<tr role="row"{}>{}</tr>').format(key, cells)

    def _foot(self) -> Markup:
        total = self.page.total
        start = whole(self.asked.cursor, 0) if total is not None else 0
        shown = len(self.page.rows)
        said = f"{shown:,} shown" if total is None else f"{start + 1:,}–{start + shown:,} of {total:,}"
        if not self.page.next and not self.asked.cursor:
            return Markup('<div class="table-foot"><span class="muted">{}</span></div>').format(
                said if total is None or total > 1 else "1 row"
            )
        buttons = Markup(
            '<span class="pager"><button type="button" class="button button-plain" data-act="back"{}>{}Back</button>'
            '<button type="button" class="button button-plain" data-act="next"{}>Next{}</button></span>'
        ).format(
            Markup("") if self.asked.cursor else _OFF,
            icon("left", 16),
            Markup("") if self.page.next else _OFF,
            icon("right", 16),
        )
        return Markup('<div class="table-foot"><span class="muted">{}</span>{}</div>').format(said, buttons)


def json_text(text: str) -> str:
    """A text, as a script has it."""
    return json.dumps(text)


def _classes(column: Column[Any]) -> Markup:
    names = [name for name, on in (("end", column.end), ("wide", column.wide)) if on]
    return Markup(' class="{}"').format(" ".join(names)) if names else Markup()


async def table(
    columns: Sequence[Column[Row]],
    fetch: Callable[[App, Asked], Page[Row]],
    *,
    caption: str,
    filters: Sequence[Filter] = (),
    empty: Markup | None = None,
    row_key: Callable[[Row], object] | None = None,
    on_act: Act | None = None,
    sort: str = "",
    limit: int = LIMIT,
    name: str = "",
    every: float | None = None,
) -> Table[Row]:
    """Show a table here.

    `fetch` is asked for each page, in a thread, with what is wanted of it: a service that pages, or `paged`.
    `caption`: what it is, for who does not see it, and another one for each `fetch` of a path: pages of the same path,
    name and caption share a look; `empty`: shown if there is no row at all (`marks.empty`); `row_key`:
    what a row is known by when it changes; `on_act`: told of ``data-act`` buttons in cells; `sort`: a column's key,
    with ``-`` before it for downwards; `name`: of one of several tables on a page; `every`: it is asked again after so
    many seconds.
    """
    made = Table(
        columns, fetch, caption=caption, filters=filters, empty=empty, row_key=row_key, on_act=on_act, sort=sort,
        limit=limit, name=name,
    )  # fmt: skip
    if every is None:
        await made.refresh()
    else:
        await made.follow((visit.current().path, name, caption), every)
    return made


def row_button(text: str, act: str, value: object, *, kind: str = "quiet", sign: str = "", label: str = "") -> Markup:
    """A button in a cell: `on_act` of the table is told `act` and `value`."""
    return Markup(
        '<button type="button" class="button button-{} small" data-act="{}" data-value="{}" aria-label="{}">{}'
        "{}</button>"
    ).format(kind, act, value, label or text, icon(sign, 14) if sign else "", text)
