"""The sessions model: one row a session, computed from its events. Names and rules are PostHog's."""

from __future__ import annotations

from tidemill.models.model import Column, Model
from tidemill.models.types import Type

_FIRST = "of the first page or screen that has one, else of the first event that has one"


def _entry(name: str, what: str) -> Column:
    return Column(f"entry_{name}", Type.STRING, f"{what} {_FIRST}.")


SESSIONS = Model(
    name="sessions",
    title="Sessions",
    description="One row for each session, computed from its events. Rows change when events are added to a session, "
    "however late: each run merges the newest.",
    columns=(
        Column("session_id", Type.STRING, "The id of the session: the $session_id of its events, a UUID of version 7."),
        Column("session_id_v7", Type.STRING, "The same id as a number of 128 bits, in decimal."),
        Column("team_id", Type.INT64, "The team (project) that the session belongs to."),
        Column("distinct_id", Type.STRING, "The distinct_id of the last event of the session."),
        Column("start_timestamp", Type.TIMESTAMP, "When the first event happened."),
        Column("end_timestamp", Type.TIMESTAMP, "When the last event happened."),
        Column("urls", Type.STRING, "The URLs of the pages and screens, each once, sorted.", repeated=True),
        Column("num_uniq_urls", Type.INT64, "The number of `urls`."),
        _entry("current_url", "The URL ($current_url)"),
        _entry("pathname", "The path of the URL"),
        _entry("hostname", "The host of the URL"),
        Column(
            "end_current_url",
            Type.STRING,
            "The URL of the last page or screen that has one, else of the last event that has one.",
        ),
        Column("end_pathname", Type.STRING, "The path of that URL."),
        Column("end_hostname", Type.STRING, "The host of that URL."),
        _entry("utm_source", "The utm_source"),
        _entry("utm_campaign", "The utm_campaign"),
        _entry("utm_medium", "The utm_medium"),
        _entry("utm_term", "The utm_term"),
        _entry("utm_content", "The utm_content"),
        _entry("referring_domain", "The domain that referred to it ($referring_domain)"),
        _entry("gclid", "Google's click id (gclid)"),
        _entry("fbclid", "Facebook's click id (fbclid)"),
        _entry("gad_source", "The source of a Google ad (gad_source)"),
        Column("pageview_count", Type.INT64, "The number of $pageview events."),
        Column("autocapture_count", Type.INT64, "The number of $autocapture events."),
        Column("screen_count", Type.INT64, "The number of $screen events."),
        Column("channel_type", Type.STRING, "How the visitor came: Direct, Organic Search, Paid Social and so on."),
        Column("session_duration", Type.INT64, "Whole seconds from the first event to the last."),
        Column("duration", Type.INT64, "The same as session_duration; kept for compatibility, deprecated."),
        Column(
            "is_bounce",
            Type.BOOL,
            "True if there was one page, screen or click, and the session took less than 10 seconds; NULL if none.",
        ),
        Column("last_external_click_url", Type.STRING, "The last link to elsewhere that was clicked."),
        Column("page_screen_autocapture_count_up_to", Type.INT64, "Pages, screens and clicks, counted up to 2."),
        Column("exit_current_url", Type.STRING, "The same as end_current_url; kept for compatibility."),
        Column("exit_pathname", Type.STRING, "The same as end_pathname; kept for compatibility."),
        Column("vitals_lcp", Type.FLOAT64, "Milliseconds to the largest contentful paint, as first measured."),
        _entry("gclsrc", "The source of Google's click id (gclsrc)"),
        _entry("dclid", "DoubleClick's click id (dclid)"),
        _entry("gbraid", "Google's id of a click in an app (gbraid)"),
        _entry("wbraid", "Google's id of a click on the web (wbraid)"),
        _entry("msclkid", "Microsoft's click id (msclkid)"),
        _entry("twclid", "X's click id (twclid)"),
        _entry("li_fat_id", "LinkedIn's click id (li_fat_id)"),
        _entry("mc_cid", "Mailchimp's campaign (mc_cid)"),
        _entry("igshid", "Instagram's share id (igshid)"),
        _entry("ttclid", "TikTok's click id (ttclid)"),
        _entry("_kx", "Klaviyo's id (_kx)"),
        _entry("irclid", "Impact's click id (irclid)"),
        Column("session_version", Type.INT64, "Grows when events are added to the session; rows are merged by it."),
        Column("bq_updated_timestamp", Type.TIMESTAMP, "When this state of the row was handed to BigQuery."),
    ),
    key=("team_id", "session_id"),
    began="start_timestamp",
    versions=("session_version",),
    cluster_by=("team_id", "session_id"),
    table="sessions",
)
