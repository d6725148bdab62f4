"""How a visitor came: the type of channel, by the first campaign, click ids and referrer of a session.

The order of the rules and the names of the channels are PostHog's (its channel_type): what utm_source says comes first,
then a campaign of a shop, utm_medium, and who referred. The lists of sites are our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tidemill.events import duck

#: Sites by what they are; matched as the name of a domain (www.google.co.uk is "google"), or as the whole utm_source.
_SEARCH = (
    *("google", "bing", "duckduckgo", "yahoo", "baidu", "yandex", "ecosia", "naver", "qwant", "startpage", "brave"),
    *("ask", "aol", "seznam", "sogou", "kagi", "msn", "daum", "rambler"),
)
_SOCIAL = (
    *("facebook", "fb", "instagram", "ig", "threads", "twitter", "x", "t", "linkedin", "lnkd", "reddit", "pinterest"),
    *("tiktok", "snapchat", "quora", "vk", "weibo", "whatsapp", "wechat", "telegram", "discord", "tumblr", "mastodon"),
    *("bsky", "bluesky", "ycombinator", "hackernews", "xing", "messenger", "slack"),
)
_VIDEO = ("youtube", "youtu", "vimeo", "twitch", "dailymotion", "wistia", "netflix", "hulu", "disneyplus")
_SHOPPING = ("amazon", "ebay", "etsy", "aliexpress", "alibaba", "walmart", "shopify", "shopping", "mercadolibre")
#: What utm_medium says, unless the source or the campaign does.
_MEDIA = {
    "Email": ("email", "e-mail", "e_mail", "e mail", "newsletter"),
    "SMS": ("sms",),
    "Audio": ("audio", "podcast"),
    "Affiliate": ("affiliate", "affiliates", "partnership", "partnerships"),
    "Display": ("display", "banner", "expandable", "interstitial", "cpm"),
    "Organic Social": ("social", "social-network", "social-media", "sm", "social network", "social media"),
    "Organic Video": ("video",),
    "Organic Search": ("organic",),
    "Push": ("push", "notification", "mobile"),
    "Referral": ("referral", "app", "link"),
}
#: What it says of visits that were paid for.
_PAID = {
    "Display": _MEDIA["Display"],
    "Paid Social": (*_MEDIA["Organic Social"], "paid-social", "paid_social", "paid social", "paidsocial"),
    "Paid Video": ("video", "paid-video", "paid_video", "paid video", "paidvideo"),
    "Paid Search": ("paid-search", "paid_search", "paid search", "paidsearch"),
    "Paid Shopping": ("paid-shopping", "paid_shopping", "paid shopping", "paidshopping"),
}
_PAID_MEDIA = ("cpc", "cpm", "cpv", "cpa", "ppc", "retargeting")
#: Names that are so short that they are others' too, but for these domains.
_SHORT = ("x.com", "t.co", "t.me", "m.me", "ig.me", "fb.com", "fb.me", "vk.com", "vk.ru")
#: What may stand before a site's name: www, a language, a version for telephones. Not mail, docs or a name.
_BEFORE = (
    r"(www[0-9]*|mobile|touch|lite|web|amp|app|search|news|images|old|new|out|away|lnk|lm|[a-z]{1,2}(-[a-z]{2})?)\."
)
#: What may stand behind it: com, de, co.uk, com.br.
_BEHIND = r"\.([a-z]{2,3}|social)(\.[a-z]{2})?"
_SITES: Mapping[str, Sequence[str]] = {"Search": _SEARCH, "Social": _SOCIAL, "Video": _VIDEO, "Shopping": _SHOPPING}


def channel_type() -> str:
    """A SQL expression over the columns entry_utm_source, …_medium, …_campaign, …_referring_domain, …_gclid,
    …_fbclid and …_gad_source."""
    source, medium, campaign, domain, gclid, fbclid, gad = (
        _given(f"entry_{name}")
        for name in ("utm_source", "utm_medium", "utm_campaign", "referring_domain", "gclid", "fbclid", "gad_source")
    )
    paid = f"({medium} IN ({_list(_PAID_MEDIA)}) OR starts_with({medium}, 'paid') OR {gclid} <> '' OR {gad} <> '')"
    shop = rf"regexp_matches({campaign}, '(^|[^a-df-z])shop|shopping')"
    direct = f"{domain} = '$direct'"
    no_campaign = f"{medium} = '' AND {source} IN ('', 'direct', '(direct)', '$direct') AND {fbclid} = ''"
    rules = [
        (f"{campaign} LIKE '%cross-network%'", "Cross Network"),
        *((f"{paid} AND ({test})", f"Paid {kind}") for kind, test in _kinds(source, shop, None)),
        *((f"{paid} AND {medium} IN ({_list(words)})", name) for name, words in _PAID.items()),
        *((f"{paid} AND ({test})", f"Paid {kind}") for kind, test in _kinds(None, None, domain)),
        (f"{paid} AND {gad} = '1'", "Paid Search"),
        (f"{paid} AND {campaign} LIKE '%video%'", "Paid Video"),
        (f"{paid} AND {fbclid} <> ''", "Paid Social"),
        (paid, "Paid Unknown"),
        (f"{direct} AND {no_campaign}", "Direct"),
        *((test, f"Organic {kind}") for kind, test in _kinds(source, shop, None)),
        *((f"{medium} IN ({_list(words)})", name) for name, words in _MEDIA.items()),
        *((test, f"Organic {kind}") for kind, test in _kinds(None, None, domain)),
        (f"{campaign} LIKE '%video%'", "Organic Video"),
        (f"{medium} LIKE '%push'", "Push"),
        (f"{fbclid} <> ''", "Organic Social"),
        (direct, "Direct"),
        (f"{domain} <> ''", "Referral"),
    ]
    return f"CASE {' '.join(f'WHEN {test} THEN {duck.literal(name)}' for test, name in rules)} ELSE 'Unknown' END"


def _kinds(source: str | None, shop: str | None, domain: str | None) -> list[tuple[str, str]]:
    """Search, Social, Video and Shopping, each with the test for it."""
    found = []
    for kind, sites in _SITES.items():
        tests = [f"{source} IN ({_list(sites)})"] if source else []
        if source and kind == "Search":
            tests.append(f"regexp_matches({source}, '^(google|bing)[-_ ]?(ads?)?$')")
        if shop and kind == "Shopping":
            tests.append(shop)
        if domain:
            names = "|".join(name for name in sites if len(name) > 2)
            tests.append(f"regexp_full_match({domain}, '({_BEFORE})*({names}){_BEHIND}(:[0-9]+)?')")
        if domain and kind == "Social":
            tests.append(f"regexp_full_match({domain}, '({_BEFORE})*({'|'.join(map(re.escape, _SHORT))})')")
        if tests:
            found.append((kind, " OR ".join(tests)))
    return found


def _given(column: str) -> str:
    """In lower case; '' for what is missing, or says that it is."""
    return f"coalesce(nullif(lower({column}), 'null'), '')"


def _list(words: Sequence[str]) -> str:
    return ", ".join(map(duck.literal, words))
