"""The mapping language: what is made of a row, as data. A mapping of Segment's can be used as it is.

The language is that of Segment's mapping-kit (research on reverse ETL, section 3.2), with @hash, @date, @number and
@lookup beside it. It is described for users in docs/reference/mapping.md.
"""

from tidemill.reverse_etl.mapping.language import Mapping, compile  # noqa: A004 - mapping.compile is what it does
from tidemill.reverse_etl.mapping.paths import GIVEN, given_of
from tidemill.reverse_etl.mapping.suggestions import suggest

__all__ = ["GIVEN", "Mapping", "compile", "given_of", "suggest"]
