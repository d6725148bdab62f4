"""All models by name. Adding one costs its file and a line here."""

from __future__ import annotations

from tidemill.errors import NotFoundError
from tidemill.models.amplitude_events import AMPLITUDE_EVENTS
from tidemill.models.custom import CUSTOM
from tidemill.models.events import EVENTS
from tidemill.models.merge_ids import MERGE_IDS
from tidemill.models.model import Model
from tidemill.models.persons import PERSONS
from tidemill.models.sessions import SESSIONS

MODELS: dict[str, Model] = {
    model.name: model for model in (EVENTS, PERSONS, SESSIONS, AMPLITUDE_EVENTS, MERGE_IDS, CUSTOM)
}


def get(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    NotFoundError
        With the names that exist.
    """
    try:
        return MODELS[name]
    except KeyError:
        names = ", ".join(sorted(MODELS))
        raise NotFoundError("model_unknown", f"There is no model {name!r}.", hint=f"Models: {names}.") from None
