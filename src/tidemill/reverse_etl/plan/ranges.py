"""Ranges of buckets."""

from __future__ import annotations

from collections.abc import Iterable

from tidemill.reverse_etl.plan.port import Piece


def of_pieces(pieces: Iterable[Piece]) -> list[tuple[int, int]]:
    """Those of pieces, in order. Between pieces that follow each other there is no row that is to be delivered, so
    theirs are one: of very many pieces there would be more ranges than a statement may name."""
    made: list[tuple[int, int]] = []
    before = None
    for piece in sorted(pieces, key=lambda piece: piece.number):
        if made and piece.number - 1 == before:
            made[-1] = (made[-1][0], piece.last)
        else:
            made.append((piece.first, piece.last))
        before = piece.number
    return made
