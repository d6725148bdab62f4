"""Who is who: from events in commit order to persons, their ids and their properties."""
