"""What there is of events in an installation: those that are stored, files of them, people, and the rows of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidemill.entrances import Entrances
from tidemill.foundation import part

if TYPE_CHECKING:
    from tidemill.events.identity.service import IdentityService
    from tidemill.events.service import EventService
    from tidemill.events.sources.metadata import Metadata
    from tidemill.events.sources.source import Source
    from tidemill.events.uploads import UploadFiles, UploadService
    from tidemill.store.event_uploads import EventUploads


class EventParts(Entrances):
    """See the module."""

    @part
    def events(self) -> EventService:
        """Events and rejects."""
        from tidemill.events.service import EventService
        from tidemill.store.loads import Loads, Rejects

        return EventService(self.settings, self.lake, Loads(self.database), Rejects(self.database))

    @part
    def event_loads(self) -> UploadService:
        """Files of events that are sent, for workers to load. It opens no event store."""
        from tidemill.events.uploads import UploadService

        return UploadService(self.settings, self._uploads, self._upload_files)

    @part
    def _upload_files(self) -> UploadFiles:
        from tidemill.events.uploads import UploadFiles

        return UploadFiles(self.settings.spool_path, self.event_data)

    @part
    def identity(self) -> IdentityService:
        """Who is who."""
        from tidemill.events.identity.service import IdentityService
        from tidemill.store.people import PeopleBook

        return IdentityService(self.lake, PeopleBook(self.database))

    @part
    def sources(self) -> Mapping[str, Source]:
        """Where the rows of each model come from."""
        from tidemill.events.sources.amplitude_events import AmplitudeEventSource
        from tidemill.events.sources.events import EventSource
        from tidemill.events.sources.merge_ids import MergeIdSource
        from tidemill.events.sources.persons import PersonSource
        from tidemill.events.sources.sessions import SessionSource

        metadata = self._metadata
        return {
            "events": EventSource(self.lake),
            "persons": PersonSource(self.lake, self.identity, metadata),
            "sessions": SessionSource(self.lake),
            "amplitude_events": AmplitudeEventSource(self.lake, self.identity, metadata),
            "merge_ids": MergeIdSource(self.lake, self.identity, metadata),
        }

    @part
    def _metadata(self) -> Metadata:
        from tidemill.events.sources.metadata import Metadata
        from tidemill.store.tables import SCHEMA

        return Metadata(SCHEMA)

    @part
    def _uploads(self) -> EventUploads:
        from tidemill.store.event_uploads import EventUploads

        return EventUploads(self.database)
