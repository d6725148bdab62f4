"""Who may come in, and what they did: keys, tokens, hooks, users and the audit log of one installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.foundation import Foundation, part

if TYPE_CHECKING:
    from tidemill.access.audit import AuditService
    from tidemill.access.calls import CallService
    from tidemill.access.hooks import HookService
    from tidemill.access.service import TokenService
    from tidemill.access.users import UserService
    from tidemill.capture.service import KeyService


class Entrances(Foundation):
    """See the module."""

    @part
    def keys(self) -> KeyService:
        """Keys by which SDKs send events."""
        from tidemill.capture.service import KeyService
        from tidemill.store.keys import Keys

        return KeyService(Keys(self.database))

    @part
    def tokens(self) -> TokenService:
        """Tokens by which programs use the API."""
        from tidemill.access.service import TokenService
        from tidemill.store.tokens import Tokens

        return TokenService(Tokens(self.database))

    @part
    def export_hooks(self) -> HookService:
        """Addresses by which exports are run."""
        from tidemill.access.hooks import HookService

        return HookService.of(self.database, "export")

    @part
    def sync_hooks(self) -> HookService:
        """Addresses by which syncs, and imports, are run."""
        from tidemill.access.hooks import HookService

        return HookService.of(self.database, "sync")

    @part
    def users(self) -> UserService:
        """People who use the web app."""
        from tidemill.access.users import UserService
        from tidemill.store.users import Users

        return UserService(Users(self.database), self.audit)

    @part
    def audit(self) -> AuditService:
        """Who did what."""
        from tidemill.access.audit import AuditService
        from tidemill.store.audit import AuditBook

        return AuditService(AuditBook(self.database))

    @part
    def calls(self) -> CallService:
        """Calls of the API that may be made again."""
        from tidemill.access.calls import CallService
        from tidemill.store.calls import Calls

        return CallService(Calls(self.database), self.secrets)
